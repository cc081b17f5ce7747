"""``schedule``: known optima, plan files that are read back and counted again, bad input, pictures."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cyclewright as cw
from cyclewright.cli.commands import main
from cyclewright.plan_file import plan_from, read_plan_file, replay
from cyclewright.plots.plan import plan_scene
from cyclewright.plots.scene import Rect, Text
from cyclewright.plots.traffic import traffic_scene
from hwspecs.vocabulary.errors import ArgumentError, InfeasibleError, InvalidInput
from ilp.recount import recount

PIXELS = 56 * 56
SMALL = ("schedule", "squeezenet-1.1")


def cli(*arguments: str) -> Result:
    done = CliRunner().invoke(main, list(arguments))
    assert "internal error" not in done.stderr, done.stderr
    return done


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def spilling() -> cw.Scheduled:
    """A schedule that must spill: half way between the largest operator and the peak."""
    return cw.schedule("densenet121", budget="M_H", compare=True)


def test_resnet50_moves_nothing_in_the_room_of_its_largest_operator() -> None:
    found = cw.schedule("resnet50")
    assert (found.scratchpad_bytes, found.extra_bytes, found.proven) == (2352 * 1024, 0, True)
    assert found.budgets is not None
    assert (found.budgets.m_r_bytes, found.budgets.m_h_bytes, found.budgets.m_p_bytes) == (2352 * 1024,) * 3
    assert found.compulsory_bytes == 3 * 224 * 224 + 1000  # the image in, the classes out, 8 bits each


def test_a_plan_is_what_the_counter_says(spilling: cw.Scheduled) -> None:
    plan = spilling.answer.plan
    assert plan is not None
    assert spilling.answer.placed
    assert recount(spilling.problem, plan, spilling.scratchpad_bytes) == spilling.extra_bytes >= spilling.lower_bound_bytes > 0
    document = spilling.as_dict()
    stays = document["plan"]["stays"]
    moved = sum(stay["bytes"] * ((stay["enters"] == "fetched") + (stay["leaves"] == "spilled")) for stay in stays)
    assert moved == spilling.extra_bytes
    placed = [row["extra_bytes"] for row in document["baselines"] if row["allocator"] != "none"]
    assert spilling.extra_bytes <= min(placed)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_plan_file_is_read_back_and_counted_again(spilling: cw.Scheduled, suffix: str, tmp_path: Path) -> None:
    from cyclewright.outputs import render_schedule

    document = spilling.as_dict()
    path = tmp_path / f"plan.{suffix}"
    path.write_bytes(render_schedule(document, path))
    assert read_plan_file(path) == json.loads(json.dumps(document))
    assert plan_from(read_plan_file(path), spilling.problem, "here") == spilling.answer.plan
    found = replay(path)
    assert (found.extra_bytes, found.placed) == (spilling.extra_bytes, True)
    done = cli("schedule", "--replay", str(path))
    assert (done.exit_code, f"{spilling.extra_bytes:,} extra bytes, as it states" in done.stdout) == (0, True)


def _spoil(document: dict[str, Any], how: str) -> None:
    plan = document["plan"]
    if how == "bytes":
        document["extra_bytes"] += 1
    elif how == "order":
        plan["operators"][3], plan["operators"][4] = plan["operators"][4], plan["operators"][3]
    elif how == "stay":
        del plan["stays"][0]
    elif how == "name":
        plan["stays"][0]["tensor"] = "nobody"
    elif how == "address":
        plan["stays"][0]["address"] = document["scratchpad_bytes"]
    elif how == "field":
        del plan["stays"][0]["last"]
    elif how == "schema":
        document["schema"] = 99
    elif how == "model":
        document["settings"]["model"] = "resnet18"
    elif how == "kind":
        del document["kind"]
    elif how == "enters":
        plan["stays"][0]["enters"] = "fetched"
    elif how == "leaves":
        plan["stays"][0]["leaves"] = "spilled"
    elif how == "no word":
        del plan["stays"][0]["leaves"]
    elif how == "no address":
        plan["stays"][0]["address"] = -1
    elif how == "proven":
        document["proven"] = not document["proven"]
    elif how == "bound":
        document["lower_bound_bytes"] = document["extra_bytes"] + 1


SPOILED = ["bytes", "order", "stay", "name", "address", "field", "schema", "model", "kind"]
STATED_WRONGLY = ["enters", "leaves", "no word", "no address", "proven", "bound"]


@pytest.mark.parametrize("how", [*SPOILED, *STATED_WRONGLY])
def test_a_plan_file_that_was_tampered_with_is_refused(how: str, tmp_path: Path) -> None:
    done = cli(*SMALL, "-o", "plan.json")
    assert done.exit_code == 0, done.stderr
    document = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    _spoil(document, how)
    (tmp_path / "plan.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(InvalidInput, match=r"plan\.json"):
        replay("plan.json")
    assert cli("schedule", "--replay", "plan.json").exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "plan.yaml:2:1"), ("a: 1", "no memory plan"), ("[" * 3000, "plan.yaml"), ("\x00", "plan.yaml")]
)
def test_a_file_that_is_no_plan(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text, "utf-8")
    done = cli("schedule", "--replay", "plan.yaml")
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_command_gives_what_the_function_gives(tmp_path: Path) -> None:
    done = cli(*SMALL, "--scratchpad", "1577088 B", "--json", "-o", "plan.json")
    assert done.exit_code == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert json.loads((tmp_path / "plan.json").read_text("utf-8")) == theirs
    ours = cw.schedule("squeezenet-1.1", scratchpad=1577088).as_dict()
    for document in (theirs, ours):
        document.pop("seconds")
    assert theirs == json.loads(json.dumps(ours))
    wanted = {"scratchpad_bytes", "extra_bytes", "lower_bound_bytes", "proven", "method", "plan", "compulsory_bytes", "budgets", "effort"}
    assert wanted <= set(theirs)


def test_a_limit_that_is_too_short_for_anything_still_gives_a_plan_that_no_scheme_beats() -> None:
    found = cw.schedule("darts-6", seconds=0.001, compare=True)
    document = found.as_dict()
    assert (document["limit_seconds"], document["placed"], document["stopped"]) == (0.001, True, "time limit")
    assert recount(found.problem, found.answer.plan, found.scratchpad_bytes) == document["extra_bytes"] >= document["lower_bound_bytes"]
    weighed = [row for row in document["baselines"] if row["allocator"] != "none"]
    assert document["extra_bytes"] <= min(row["extra_bytes"] for row in weighed)
    assert not any(row["replacement"] == "optimal" for row in weighed)  # nothing that the limit cut short is called optimal
    assert cw.schedule("squeezenet-1.1").as_dict()["limit_seconds"] is None


def test_a_scratchpad_that_is_too_small_names_the_operator_and_by_how_much() -> None:
    with pytest.raises(InfeasibleError, match="49600 more than the scratchpad of 2358848") as caught:
        cw.schedule("resnet50", scratchpad=2358848)
    assert caught.value.where == "layer1.0.add"
    assert cli("schedule", "resnet50", "--scratchpad", "2 MiB").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--budget", "M_Q"),
        ("--budget", "M_R", "--scratchpad", "2 MiB"),
        ("--scratchpad", "2"),
        ("--scratchpad", "2 s"),
        ("--scratchpad", "0.2 B"),
        ("--dim", "n"),
        ("-o", "plan.pdf"),
        ("--replay", "none.yaml"),
        ("--replay", "a.yaml", "--buffers", "b.csv"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_message_and_exit_code_two(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = cli(*SMALL, *arguments)
    assert (done.exit_code, done.stderr.count("error:")) == (2, 1)
    assert not any(tmp_path.iterdir())


def test_no_model() -> None:
    assert "no model is given" in cli("schedule").stderr
    with pytest.raises(ArgumentError):
        cw.schedule("squeezenet-1.1", scratchpad=True)


def test_interrupting_gives_the_best_plan_so_far(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("ilp.solve.sweep", interrupted)
    done = cli("schedule", "densenet121", "--scratchpad", "1.6 MiB", "-o", "plan.yaml")
    assert done.exit_code == 130
    assert "best plan so far" in done.stderr
    assert replay(tmp_path / "plan.yaml").placed


@pytest.mark.parametrize("budget", ["M_R", "M_H", "M_P"])
def test_interrupting_the_search_for_budgets_gives_a_simple_plan(budget: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("ilp.budgets.sweep", interrupted)
    done = cli("schedule", "densenet121", "--budget", budget, "-o", "plan.yaml")
    assert done.exit_code == 130
    assert "best plan so far" in done.stderr
    found = replay(tmp_path / "plan.yaml")
    assert found.placed
    assert found.document["stopped"] == "interrupted"
    assert (found.extra_bytes == 0) is (budget == "M_P")


def test_interrupting_the_comparison_keeps_the_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("ilp.baselines.baselines", interrupted)
    done = cli("schedule", "densenet121", "-o", "plan.html", "-o", "plan.yaml")
    assert done.exit_code == 130
    document = replay(tmp_path / "plan.yaml").document
    assert (document["proven"], document["extra_bytes"], document["baselines"]) == (True, 1_204_224, [])


def test_a_solver_that_is_missing_is_named_though_no_model_would_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp.apis.GUROBI_CMD.available", lambda self: False)
    done = cli("schedule", "resnet50", "--solver", "gurobi_cmd")
    assert (done.exit_code, "'GUROBI_CMD' is not installed" in done.stderr) == (1, True)


def test_the_map_draws_every_stay_inside_the_frame_and_marks_what_moves(spilling: cw.Scheduled) -> None:
    document = spilling.as_dict()
    plan = document["plan"]
    moves = sum((stay["enters"] == "fetched") + (stay["leaves"] == "spilled") for stay in plan["stays"])
    private = sum(own["bytes"] > 0 for row in plan["operators"] for own in row.get("private", ()))
    for width in (1080, 360):
        scene = plan_scene(document, width=width)
        blocks = [shape for shape in scene.shapes if isinstance(shape, Rect)]
        assert all(shape.x >= -1 and shape.x + shape.width <= width + 1 and 0 <= shape.y <= scene.height for shape in blocks)
        assert sum(shape.fill == "alert" for shape in blocks) == moves
        titled = [
            shape
            for shape in blocks
            if shape.title and ("after" in shape.title or "alone" in shape.title) and "bytes stored" not in shape.title
        ]
        assert len(titled) == len(plan["stays"]) + private
        assert any(isinstance(shape, Text) and shape.text.startswith("scratchpad:") for shape in scene.shapes)


def test_bars_are_as_long_as_what_moves(spilling: cw.Scheduled) -> None:
    document = spilling.as_dict()
    for width in (1080, 360):
        bars = [shape for shape in traffic_scene(document, width=width).shapes if isinstance(shape, Rect)]
        values = [row["extra_bytes"] for row in document["baselines"]] + [document["extra_bytes"]]
        scale = max(bar.width for bar in bars) / max(values)
        assert [bar.width for bar in bars] == pytest.approx([max(1.0, value * scale) for value in values])


def test_the_page_stands_alone_and_its_command_makes_the_plan_again(tmp_path: Path) -> None:
    assert cli(*SMALL, "--weights", "-o", "a.html", "-o", "a.json", "-o", "a.svg").exit_code == 0
    text = (tmp_path / "a.html").read_text("utf-8")

    loads: list[str] = []

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            loads.extend(value or "" for name, value in attrs if name in ("src", "href") and not (value or "").startswith(("#", "data:")))

    Page().feed(text)
    assert loads == []
    printed = text.partition("<code>")[2].partition("</code>")[0].split("&#x27;")
    words = [word for number, part in enumerate(printed) for word in ([part] if number % 2 else part.split())]
    assert words[:2] == ["cyclewright", "schedule"]
    assert cli(*words[1:], "-o", "b.json").exit_code == 0
    first, second = (json.loads((tmp_path / name).read_text("utf-8"))["plan"] for name in ("a.json", "b.json"))
    assert first == second
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<svg")


def test_with_hardware_the_plan_is_that_of_the_mapped_graph_and_a_run_costs_what_it_says(tmp_path: Path) -> None:
    from cyclewright.scheduling_mapped import schedule_on

    done = cli("schedule", "resnet18", "--hw", "edge-npu", "--json", "-o", "a.html")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    trivial = cw.run("resnet18", "edge-npu")
    assert document["lower_bound_bytes"] <= document["extra_bytes"] <= trivial.extra_bytes
    assert document["compulsory_bytes"] == trivial.compulsory_bytes
    for stay in document["plan"]["stays"]:
        assert 0 <= stay["address"] <= document["scratchpad_bytes"] - stay["bytes"]
        assert 0 <= stay["first"] <= stay["last"] < len(document["plan"]["operators"])
    tight = schedule_on("resnet18", "edge-npu", scratchpad="1 MiB")
    assert tight.scratchpad_bytes == 1 << 20
    assert tight.extra_bytes >= document["extra_bytes"]
    assert (tmp_path / "a.html").read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("option", [("--weights",), ("--budget", "M_R"), ("--compare",), ("--seconds", "1")], ids=" ".join)
def test_options_of_the_problem_without_hardware_are_refused_with_it(option: tuple[str, ...]) -> None:
    done = cli("schedule", "resnet18", "--hw", "edge-npu", *option)
    assert done.exit_code == 2
    assert option[0] in done.stderr
