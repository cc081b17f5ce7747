"""The report page: what it says, that it refers to nothing outside, and that names in it are inert."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser

import pytest

from cyclewright.plots.formatting import amount, energy, percent, seconds, si
from cyclewright.plots.wording import throughput, title, verdict
from cyclewright.report import render
from cyclewright.report.sources import command
from hwspecs.vocabulary.errors import CyclewrightError
from tests.cyclewright.sample_documents import as_document, sample_document, sample_result, sample_whatif

VOID = {"meta", "link", "input", "br", "wbr", "hr", "img"}


class Page(HTMLParser):
    """Collects elements, and notes what is not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.faults: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.stack]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.mark.parametrize("operators", [1, 12, 70, 300])
def test_the_page_is_balanced_and_ids_are_unique(operators: int) -> None:
    page = Page(render(sample_document(operators), whatif=sample_whatif()))
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"]
    assert set(targets) <= set(ids)


def test_nothing_is_loaded_from_outside() -> None:
    text = render(sample_document(70), whatif=sample_whatif())
    page = Page(text)
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), f"<{tag} {name}={value}>"
    assert not re.search(r"@import|url\(|https?://", text)
    policy = next(attributes["content"] for tag, attributes in page.elements if tag == "meta" and "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_headline_numbers_are_those_of_the_document() -> None:
    document = sample_document(12, repeats=True)
    text = Page(render(document)).text
    for shown in (
        seconds(document["latency_s"]), seconds(document["roofline_s"]), energy(document["energy_j"]), amount(document["dram_bytes"]),
        amount(document["compulsory_bytes"]), amount(document["extra_bytes"]), amount(document["peak_memory_bytes"]),
        percent(document["mfu"]),
        si(document["macs"], "MAC", 4), si(document["energy_j"] / document["latency_s"], "W"), "hbm bandwidth",
        f"{seconds(document['interval']['latency_s'][0])} to {seconds(document['interval']['latency_s'][1])} over the assumed numbers",
    ):  # fmt: skip
        assert shown in text


@pytest.mark.parametrize("operators", [12, 70, 300])
def test_every_operator_has_a_row_whose_sort_keys_are_its_numbers(operators: int) -> None:
    document = sample_document(operators, repeats=operators == 12)
    text = render(document)
    rows = re.findall(r'<tr id="op(\d+)">(.*?)</tr>', text)
    assert [int(number) for number, _ in rows] == list(range(operators))
    for (_, row), operator in zip(rows, document["operators"], strict=True):
        keys = [float(key) for key in re.findall(r'data-v="([^"]+)"', row)]
        assert keys[1] == pytest.approx(operator["time_s"])
        assert keys[2] == pytest.approx(operator["share"])
        assert keys[4:6] == pytest.approx([operator["dram_bytes"], operator["dram_bytes"] - operator["compulsory_bytes"]])
        assert keys[7:10] == pytest.approx([operator["macs"], operator["vector_ops"], operator["count"]])
        assert keys[-1] == pytest.approx(sum(operator["energy_j"].values()))
        shown = re.sub(r"<[^>]+>", "", row)
        assert operator["name"] in shown
        assert (f"×{operator['count']}" in shown) or operator["count"] == 1


@pytest.mark.parametrize(
    ("phase", "settings", "expected", "unit"),
    [
        ("decode", {"batch": 8, "context": 4096}, 8 / 0.5, "tokens/s"),
        ("prefill", {"batch": 2, "tokens": 1000}, 2000 / 0.5, "tokens/s"),
        ("inference", {"batch": 4}, 4 / 0.5, "inferences/s"),
        ("inference", {}, 1 / 0.5, "inferences/s"),
    ],
)
def test_throughput_counts_what_the_phase_puts_out(phase: str, settings: dict[str, int], expected: float, unit: str) -> None:
    from dataclasses import replace

    result = replace(sample_result(3), phase=phase, settings=settings, latency_s=0.5)
    assert throughput(result) == (pytest.approx(expected), unit)


def test_the_title_names_new_tokens_of_a_decode_step_only_where_there_are_several() -> None:
    from dataclasses import replace

    result = replace(sample_result(3), phase="decode", settings={"batch": 1, "tokens": 1, "context": 64})
    assert "tokens" not in title(result)
    assert "tokens 4" in title(replace(result, settings={"batch": 1, "tokens": 4, "context": 64}))


def test_the_verdict_names_the_cause_with_its_share_of_the_time() -> None:
    result = sample_result(70)
    shares: dict[str, float] = {}
    for operator in result.operators:
        shares[operator.bound_by] = shares.get(operator.bound_by, 0.0) + operator.time_s / result.latency_s
    assert max(shares, key=lambda cause: shares[cause]) == "launch"
    assert verdict(result).startswith(f"Bound by launch cost: it holds the operators that take {percent(shares['launch'])} of the time")
    assert f"{result.latency_s / result.roofline_s:.2f} times its roofline" in verdict(result)


def test_hostile_names_are_inert_everywhere() -> None:
    hostile = '</script><script>alert("x")</script><img src=http://evil/x onerror=alert(1)>\'"&'
    document = sample_document(12, names=[hostile] * 12)
    operator = document["operators"][0]
    operator.update(
        alternative=hostile, compute_format=hostile, unit=hostile, fell_back_from=hostile, kind=hostile, bound_by=f"memory:{hostile}"
    )
    document["timeline"][0]["operator"] = hostile
    document.update(model=hostile, hardware=hostile, warnings=[hostile], phase=hostile)
    document["settings"] = {"batch": hostile, "format": hostile}
    document["energy_by_component"][hostile] = 1.0
    document["provenance"] = {"leaves": {hostile: {"text": hostile, "source": hostile, "cite": hostile}}, hostile: hostile}
    whatif = sample_whatif()
    whatif["leaves"][0].update(path=hostile, text=hostile, source=hostile)
    whatif["change"]["overrides"] = [hostile]
    page = Page(render(document, whatif=whatif))
    assert page.faults == []
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert tags.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_same_document_gives_the_same_page() -> None:
    one = render(sample_document(70), whatif=sample_whatif())
    two = render(json.loads(json.dumps(sample_document(70))), whatif=sample_whatif())
    assert one == two


def test_the_script_is_the_one_that_the_policy_allows() -> None:
    from base64 import b64encode
    from hashlib import sha256

    text = render(sample_document(3))
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script is not None
    assert f"'sha256-{b64encode(sha256(script[1].encode()).digest()).decode()}'" in text


def test_assumed_numbers_are_marked_and_counted() -> None:
    text = render(sample_document(12))
    assert "1 of 2 are assumed" in text
    row = re.search(r'<tr class="assumed">(.*?)</tr>', text)
    assert row is not None
    assert "memory.hbm.achieved" in row[1]


def test_warnings_fallbacks_and_a_model_that_does_not_fit_are_shown() -> None:
    document = sample_document(12)
    document["fits"] = False
    document["operators"][4]["fell_back_from"] = "tensor"
    text = Page(render(document)).text
    assert "does not fit" in text
    assert "fell back from tensor" in text
    assert document["warnings"][0] in text


def test_what_takes_no_time_is_held_by_nothing() -> None:
    document = sample_document(12)
    view = next(operator for operator in document["operators"] if operator["kind"] == "view")
    view.update(time_s=0.0, bound_by="wait")
    row = re.findall(r'<tr id="op\d+">.*?</tr>', render(document))[document["operators"].index(view)]
    assert "nothing: moves nothing" in row
    assert "waiting" not in row


def test_the_columns_that_the_page_tells_one_to_read_come_first() -> None:
    names = re.findall(r'<th scope="col" aria-sort="none"><button[^>]*>([^<]+)</button>', render(sample_document(3)))
    assert names[:10] == ["#", "Operator", "Kind", "Time", "Share", "Bound by", "Of roof", "Off-chip", "Extra", "How it runs"]
    assert names[-1] == "Dynamic energy"


def test_occupied_is_not_useful_and_static_energy_is_named() -> None:
    from dataclasses import replace

    from cyclewright.report.headline import cards

    result = sample_result(3)
    text = cards(replace(result, bound_by="compute:sm", busy={"compute:sm": result.latency_s * 0.76}))
    assert "occupied 76 % of the time, idle elements, filling and draining included" in text
    assert "of it static" in text


def test_the_command_reproduces_the_run() -> None:
    from dataclasses import replace

    result = sample_result(12, repeats=True)
    assert command(result) == (
        "cyclewright run llama-3-8b --hw nvidia-h100-sxm --phase decode --batch 8 --context 4096 --format bf16 -o report.html"
    )
    changed = replace(result, provenance={"overrides": {"memory.hbm.bandwidth": "4 TB/s"}}, fidelity="roofline")
    assert "--fidelity roofline --set 'memory.hbm.bandwidth=4 TB/s'" in command(changed)


def test_the_command_carries_paths_dimensions_and_policies_as_they_were_given() -> None:
    from dataclasses import replace

    asked = {
        "model": "my models/net.onnx", "hardware": "specs/it's mine.yaml", "dims": {"batch": 8}, "unknown_op": "bytes-only",
        "overrides": {"memory.dram.bandwidth": "4 TB/s"}, "fidelity": "cycle", "interval": False,
    }  # fmt: skip
    result = replace(sample_result(3), meta={"asked": asked})
    assert shlex.split(command(result)) == [
        "cyclewright", "run", "my models/net.onnx", "--hw", "specs/it's mine.yaml", "--unknown-op", "bytes-only", "--fidelity", "cycle",
        "--dim", "batch=8", "--set", "memory.dram.bandwidth=4 TB/s", "--no-interval", "-o", "report.html",
    ]  # fmt: skip
    whatif = {"metric": "energy_j", "change": {"overrides": ["clock=2 GHz"]}}
    assert shlex.split(command(replace(result, meta={"asked": {"model": "resnet50", "hardware": "edge-npu"}}), whatif=whatif)) == [
        "cyclewright", "whatif", "resnet50", "--hw", "edge-npu", "--metric", "energy", "--set", "clock=2 GHz", "-o", "report.html",
    ]  # fmt: skip


def test_a_run_of_objects_says_that_no_command_makes_it() -> None:
    from dataclasses import replace

    assert command(replace(sample_result(3), meta={"asked": {"model": None, "hardware": "edge-npu"}})).startswith("# ")


def test_the_concrete_change_stands_beside_the_base() -> None:
    text = Page(render(sample_document(12), whatif=sample_whatif())).text
    assert "memory.hbm.bandwidth=4.8 TB/s" in text
    for part in ("10.0 ms", "7.50 ms", "−25 %"):
        assert part in text


def test_a_run_without_timeline_or_interval_or_capacities_still_reports() -> None:
    document = sample_document(12)
    document.update(timeline=[], interval={}, capacities={}, provenance={}, meta={}, memory_over_time=[], over_time={}, time_parts={})
    page = Page(render(document))
    assert page.faults == []
    assert "cycles at 1.755 GHz" in page.text


def test_the_counts_of_the_dram_are_shown_where_the_cycle_rung_made_them() -> None:
    document = sample_document(12)
    assert 'id="dram"' not in render(document)
    document["dram"] = {"hbm": {"row_hit_rate": 0.875, "efficiency": 0.9412, "reads": 1234567.0, "turnarounds": 89.0, "busy_s": 1.5e-3}}
    page = Page(render(document))
    assert page.faults == []
    for text in ("Row hits", "88 %", "94 %", "1,234,567", "89", "1.50 ms", "hbm 3.35 TB/s"):
        assert text in page.text


@pytest.mark.parametrize("document", [None, [], {}, {"schema": 7}, {**as_document(sample_result(2)), "latency_s": "soon"}])
def test_a_malformed_document_is_an_error_of_ours(document: object) -> None:
    with pytest.raises(CyclewrightError):
        render(document)  # type: ignore[arg-type]


def test_a_malformed_whatif_document_is_an_error_of_ours() -> None:
    with pytest.raises(CyclewrightError):
        render(sample_document(2), whatif={"base": 3})
