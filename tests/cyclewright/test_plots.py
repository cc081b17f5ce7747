"""Figures: what is drawn where, that labels keep clear of each other, and how files are written."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from math import log10, sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclewright import plots
from cyclewright.plots.breakdown import bars_of, breakdown_scene
from cyclewright.plots.course import course_scene, panels_of
from cyclewright.plots.formatting import percent, si, significant, tick
from cyclewright.plots.labels import Box, place_label
from cyclewright.plots.memory import memory_scene
from cyclewright.plots.palette import DARK, LIGHT
from cyclewright.plots.roofline import roofline_scene
from cyclewright.plots.scales import LinearScale, LogScale
from cyclewright.plots.scene import Circle, Rect, Scene, Text, shorten, text_width
from cyclewright.plots.scene import Path as Line
from cyclewright.plots.stalls import COLOURS, FULL, rows_of, stalls_scene
from cyclewright.plots.svg import to_svg
from cyclewright.plots.timeline import timeline_scene
from cyclewright.plots.tornado import read_whatif, tornado_scene
from hwspecs.vocabulary.errors import ArgumentError, CyclewrightError, InvalidInput
from simulator.reading import read_document
from tests.cyclewright.sample_documents import HBM, sample_document, sample_result, sample_whatif

SIZES = (12, 70, 300)
WRITERS = (plots.write_roofline, plots.write_breakdown, plots.write_memory, plots.write_timeline, plots.write_stalls, plots.write_course)


def _texts(scene: Scene) -> list[Text]:
    return [shape for shape in scene.shapes if isinstance(shape, Text)]


def _boxes(texts: list[Text]) -> list[tuple[str, Box]]:
    boxes = []
    for text in texts:
        width = text_width(text.text, text.size, text.bold)
        left = {"start": text.x, "middle": text.x - width / 2, "end": text.x - width}[text.anchor]
        boxes.append((text.text, Box(left, text.y - text.size * 0.75, left + width, text.y + text.size * 0.2)))
    return boxes


def check_texts(scene: Scene) -> None:
    """Every text lies in the picture, and none covers another."""
    boxes = _boxes([text for text in _texts(scene) if not text.rotate])
    for name, box in boxes:
        assert box.left >= -0.5, name
        assert box.right <= scene.width + 0.5, name
        assert box.bottom <= scene.height + 0.5, name
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not first.overlaps(second), f"{one!r} covers {other!r} in {scene.description}"


@pytest.mark.parametrize("operators", SIZES)
@pytest.mark.parametrize("width", [1080, 360])
def test_no_text_of_a_figure_covers_another_or_leaves_the_picture(operators: int, width: int) -> None:
    result = sample_result(operators, repeats=operators == 12)
    scenes = [
        roofline_scene(result, width=width, height=600 if width > 600 else 430), breakdown_scene(result, width=width),
        memory_scene(result, width=width), timeline_scene(result, width=width), tornado_scene(sample_whatif(), width=width),
        stalls_scene(result, width=width), course_scene(result, width=width),
    ]  # fmt: skip
    for scene in scenes:
        check_texts(scene)


def test_a_dot_sits_where_its_numbers_say() -> None:
    result = sample_result(70)
    scene = roofline_scene(result)
    circles = {shape.link: shape for shape in scene.shapes if isinstance(shape, Circle) and shape.link}
    drawn = {f"op{row}": op for row, op in enumerate(result.operators) if op.time_s > 0 and 2 * op.macs + op.vector_ops > 0}
    assert set(circles) == set(drawn)
    solid = [(circles[name], op) for name, op in drawn.items() if op.dram_bytes > 0]
    (one, op_one), (two, op_two) = max(solid, key=lambda pair: pair[0].x), min(solid, key=lambda pair: pair[0].x)
    across = (one.x - two.x) / (log10(op_one.intensity) - log10(op_two.intensity))
    for circle, op in solid:
        assert circle.x == pytest.approx(two.x + across * (log10(op.intensity) - log10(op_two.intensity)), abs=0.01)
    # no dot lies above the slope of the off-chip memory: the samples are at or under their roofs
    slope = next(
        shape for shape in scene.shapes if isinstance(shape, Line) and shape.stroke == "ink" and shape.points[0][1] != shape.points[1][1]
    )
    (x0, y0), (x1, y1) = slope.points
    for circle, op in solid:
        if x0 < circle.x < x1 and op.bound_by == "memory:hbm":
            assert circle.y >= y0 + (circle.x - x0) / (x1 - x0) * (y1 - y0) - 0.01


def test_the_area_of_a_dot_is_its_share_of_the_time() -> None:
    result = sample_result(12, repeats=True)
    circles = {shape.link: shape for shape in roofline_scene(result).shapes if isinstance(shape, Circle) and shape.link}
    pairs = [(circles[f"op{row}"].radius, op.share) for row, op in enumerate(result.operators) if f"op{row}" in circles and op.share > 0.02]
    assert len(pairs) >= 4
    ratios = [radius / sqrt(share) for radius, share in pairs]
    assert max(ratios) == pytest.approx(min(ratios))


def test_the_heaviest_operators_are_labelled_with_their_rounds_and_share() -> None:
    result = sample_result(12, repeats=True)
    heaviest = max(result.operators, key=lambda op: op.share)
    labels = [text.text for text in _texts(roofline_scene(result))]
    assert any(heaviest.name in label and "×32" in label and percent(heaviest.share) in label for label in labels)


def test_every_memory_and_format_in_use_has_a_labelled_roof() -> None:
    labels = " | ".join(text.text for text in _texts(roofline_scene(sample_result(70))))
    for part in ("hbm: 3.35 TB/s", "l2: 12.0 TB/s", "sm bf16: 989 TFLOP/s", "sm vector fp32: 66.9 TFLOP/s"):
        assert part in labels
    assert "2:4" not in labels  # a pattern that no operator exploits


def test_operators_without_arithmetic_or_off_chip_bytes_are_accounted_for() -> None:
    scene = roofline_scene(sample_result(70))
    labels = [text.text for text in _texts(scene)]
    assert "stays on chip" in labels
    assert any(label.startswith("not drawn: 7 operators that only move data") for label in labels)


def test_the_parts_of_each_bar_sum_to_its_total() -> None:
    result = sample_result(70)
    sums = [sum(bar.parts.values()) for bar in bars_of(result)]
    time = sum(op.time_s for op in result.operators)
    assert sums == pytest.approx([time, time, result.energy_j, result.dram_bytes])


def test_a_bar_is_as_wide_as_its_part() -> None:
    result = sample_result(12, repeats=True)
    widths = [shape.width for shape in breakdown_scene(result, width=1024).shapes if isinstance(shape, Rect) and shape.height > 20]
    assert sum(widths) == pytest.approx(4 * 1000, abs=10)  # four bars between margins of 12


def test_the_capacity_line_is_drawn_where_it_is_near_and_named_where_it_is_not() -> None:
    labels = [text.text for text in _texts(memory_scene(sample_result(12)))]
    assert any(label == "capacity of l2: 50.0 MB" for label in labels)
    assert not any(label.startswith("capacity of hbm") for label in labels)
    assert any(label.startswith("Off chip: peak 16.0 GB, 20 % of hbm (80.0 GB)") for label in labels)


@pytest.mark.parametrize("operators", SIZES)
def test_the_parts_of_a_row_are_its_time_and_are_drawn_to_scale(operators: int) -> None:
    result = sample_result(operators, repeats=operators == 12)
    rows = rows_of(result)
    assert len(rows) <= 80
    assert sum(row.cycles for row in rows) == sum(map(sum, result.time_parts.values()))
    names = [operator.name for operator in result.operators]
    order = [names.index(row.label.partition(" ×")[0]) for row in rows if "shorter ones" not in row.label]
    assert order == sorted(order)
    assert all(min(row.parts.values()) >= 0 for row in rows)
    bars: dict[str, float] = {}
    for shape in stalls_scene(result).shapes:
        if isinstance(shape, Rect) and shape.title:
            name = shape.title.partition(":")[0]
            bars[name] = bars.get(name, 0.0) + shape.width
    longest = max(rows, key=lambda row: row.cycles)
    for row in rows:
        assert bars[row.label] == pytest.approx(bars[longest.label] * row.cycles / longest.cycles, abs=1.0)


def test_full_rate_is_the_least_time_of_the_arithmetic_and_never_more_than_computing() -> None:
    result = sample_result(70)
    operators = {operator.name: (operator, number) for number, operator in enumerate(result.operators)}
    seen = 0
    for row in rows_of(result):
        operator, number = operators[row.label]
        computing = result.time_parts["computing"][number]
        least = 2 * operator.executed_macs / result.roofs["compute:sm:bf16"] * result.clock_hz
        if operator.executed_macs:
            assert row.parts[FULL] == pytest.approx(min(computing, least))
            seen += 1
        assert sum(row.parts[part] for part in list(COLOURS)[:2]) == pytest.approx(computing)
    assert seen > 10


def test_the_course_is_drawn_at_the_height_of_its_values_and_keeps_its_area() -> None:
    result = sample_result(70)
    panel = next(panel for panel in panels_of(result) if panel.limit_name == "capacity")
    drawn = [shape for shape in course_scene(result).shapes if isinstance(shape, Line) and shape.fill == "s3"]
    assert drawn
    (_, _, levels) = panel.layers[0]
    highest = min(y for shape in drawn for _, y in shape.points)
    foot = max(y for shape in drawn for _, y in shape.points)
    area = sum(
        (second[0] - first[0]) * (foot - first[1])
        for shape in drawn
        for first, second in zip(shape.points[: len(shape.points) // 2 : 2], shape.points[1 : len(shape.points) // 2 : 2], strict=True)
    )
    marks = result.over_time["cycles"]
    mean = sum(level * (end - start) for level, start, end in zip(levels, marks, marks[1:], strict=False)) / marks[-1]
    # area over width is the mean height; the highest step is a mean over a pixel, so it is not above the highest value
    width = max(x for shape in drawn for x, _ in shape.points) - min(x for shape in drawn for x, _ in shape.points)
    assert area / width / (foot - highest) == pytest.approx(mean / max(levels), rel=0.05)


def test_the_timeline_merges_what_no_screen_can_tell_apart() -> None:
    result = sample_result(300)
    bars = [shape for shape in timeline_scene(result, width=360).shapes if isinstance(shape, Rect)]
    assert 0 < len(bars) < len(result.timeline)
    assert {round(bar.y) for bar in bars} == {round(bars[0].y), round(bars[0].y) + 26}


def test_the_tornado_ranks_by_the_largest_change_and_counts_the_rest() -> None:
    document = sample_whatif(24)
    metric, leaves = read_whatif(document)
    assert metric == "latency_s"
    assert leaves[0].double == pytest.approx(2**-0.8 - 1)
    labels = [text.text for text in _texts(tornado_scene(document, most=5))]
    assert labels.index("memory.hbm.bandwidth") < labels.index("memory.hbm.achieved") < labels.index("unit.sm.rates.bf16.dense")
    assert "19 other numbers change it less" in labels
    assert any("(assumed)" in label for label in labels)
    assert "−0.80" in labels


@pytest.mark.parametrize("metric", ["latency_s", "energy_j"])
def test_the_tornado_follows_the_ranked_metric(metric: str) -> None:
    document = {**sample_whatif(), "metric": metric}
    expected = 2 ** (-0.8 if metric == "latency_s" else -0.8 / 3) - 1
    assert read_whatif(document)[1][0].double == pytest.approx(expected)


def test_a_point_without_a_run_leaves_a_gap_and_no_error() -> None:
    document = sample_whatif(3)
    for point in document["leaves"][0]["points"]:
        point.update(latency_s=None, energy_j=None, error="does not fit")
    assert read_whatif(document)[1][0].largest == 0
    assert "2 other numbers" not in " ".join(text.text for text in _texts(tornado_scene(document)))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_files_are_written_whole_and_the_same_each_time(tmp_path: Path, writer: object, suffix: str) -> None:
    document = sample_document(12)
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    for path in (one, two):
        writer(document, path)  # type: ignore[operator]
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.name, two.name]
    if suffix == ".svg":
        assert ElementTree.fromstring(one.read_text(encoding="utf-8")).tag.endswith("svg")
        assert not re.search(r"href|url\(|@import|<image|<script", one.read_text(encoding="utf-8"))
    else:
        assert one.read_bytes().startswith(b"\x89PNG")


def test_svg_needs_no_plotting_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys, json\nfrom pathlib import Path\nfrom cyclewright.plots import write_roofline\n"
        "write_roofline(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])\n"
        "assert not {'matplotlib', 'numpy', 'numba'} & set(sys.modules), set(sys.modules)"
    )
    import json

    (tmp_path / "run.json").write_text(json.dumps(sample_document(12)))
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "run.json"), str(tmp_path / "r.svg")], check=True)


def test_a_wrong_suffix_or_folder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("roof.pdf", "roof", "missing/roof.svg"):
        with pytest.raises(ArgumentError):
            plots.write_roofline(sample_document(12), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def _broken() -> list[tuple[str, object]]:
    cases: list[tuple[str, object]] = [("not a mapping", []), ("empty", {}), ("text", "roofline")]
    for path, value in (
        ("latency_s", "fast"), ("latency_s", float("nan")), ("latency_s", None), ("cycles", 1.5), ("operators", {}), ("schema", 99),
        ("operators.0.time_s", float("inf")), ("operators.0.macs", True), ("roofs", [1]), ("memory_over_time.0", [1, 2]),
        ("warnings", "none"),
    ):  # fmt: skip
        document = sample_document(3)
        *parents, last = path.split(".")
        place: object = document
        for name in parents:
            place = place[int(name) if name.isdigit() else name]  # type: ignore[index]
        place[int(last) if last.isdigit() else last] = value  # type: ignore[index]
        cases.append((f"{path}={value}", document))
    return cases


@pytest.mark.parametrize(("case", "document"), _broken(), ids=[case for case, _ in _broken()])
def test_a_malformed_document_is_a_located_error(case: str, document: object, tmp_path: Path) -> None:
    with pytest.raises(CyclewrightError) as caught:
        plots.write_roofline(document, tmp_path / "roof.svg")  # type: ignore[arg-type]
    if "=" in case:
        field = case.split("=")[0].split(".")[0]
        assert field in str(caught.value)
    assert not (tmp_path / "roof.svg").exists()


@pytest.mark.parametrize(
    "document",
    [{}, {"base": {}, "leaves": []}, {"base": {"latency_s": float("nan")}, "leaves": []}, {"base": {"latency_s": 1.0}, "leaves": [{}]}],
)
def test_a_malformed_whatif_document_is_an_error(document: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        tornado_scene(document)


def test_a_document_reads_back_to_the_result_it_came_from() -> None:
    result = sample_result(12, repeats=True)
    again = read_document(sample_document(12, repeats=True))
    assert again.operators == result.operators
    assert again.timeline == result.timeline
    assert again.capacities == result.capacities


def test_names_with_markup_are_inert_in_svg() -> None:
    name = '"/><script>alert(1)</script>&\x07'
    text = to_svg(roofline_scene(sample_result(3, names=[name] * 3)))
    root = ElementTree.fromstring(text)
    assert not [element for element in root.iter() if element.tag.endswith("script")]


@pytest.mark.parametrize("operators", [0, 1])
def test_runs_without_operators_or_with_one_are_drawn(operators: int) -> None:
    result = (
        sample_result(1)
        if operators
        else read_document({**sample_document(1), "operators": [], "timeline": [], "memory_over_time": [], "time_parts": {}})
    )
    for scene in (
        roofline_scene(result),
        breakdown_scene(result),
        memory_scene(result),
        timeline_scene(result),
        stalls_scene(result),
        course_scene(result),
    ):
        ElementTree.fromstring(to_svg(scene))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"), (0.0123, "s", "12.3 ms"), (999.6e-6, "s", "1.00 ms"), (3.35e12, "B/s", "3.35 TB/s"), (0.5, "B", "0.500 B"),
        (1, "B", "1.00 B"), (80e9, "B", "80.0 GB"), (1978.9e12, "FLOP/s", "1.98 PFLOP/s"), (4.089e9, "MAC", "4.09 GMAC"),
        (2.5e-12, "J", "2.50 pJ"),
    ],
)  # fmt: skip
def test_quantities_are_written_with_a_fitting_prefix(value: float, unit: str, text: str) -> None:
    assert si(value, unit) == text


@given(st.floats(1e-14, 1e19))
def test_a_written_quantity_reads_back_within_its_digits(value: float) -> None:
    number, _, name = si(value, "s").partition(" ")
    factor = {
        "f": 1e-15,
        "p": 1e-12,
        "n": 1e-9,
        "µ": 1e-6,
        "m": 1e-3,
        "": 1,
        "k": 1e3,
        "M": 1e6,
        "G": 1e9,
        "T": 1e12,
        "P": 1e15,
        "E": 1e18,
    }[name[:-1]]
    assert float(number.replace(",", "")) * factor == pytest.approx(value, rel=0.0051)


def test_small_formats() -> None:
    assert [percent(0), percent(0.0001), percent(0.021), percent(0.5)] == ["0 %", "< 0.1 %", "2.1 %", "50 %"]
    assert [significant(1234.5), significant(0.00001), significant(12.345)] == ["1,230", "1.00e-05", "12.3"]
    assert [tick(1.5e9, "B"), tick(1e-3, "s"), tick(0, "B")] == ["1.5 GB", "1 ms", "0 B"]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(20, 780), st.floats(20, 380), st.floats(1, 30)), min_size=1, max_size=40),
    st.floats(20, 200),
    st.floats(8, 20),
)
def test_a_placed_label_is_inside_and_clear_of_the_others(dots: list[tuple[float, float, float]], width: float, height: float) -> None:
    frame, taken = Box(0, 0, 800, 400), []
    for x, y, radius in dots:
        box = place_label(x, y, radius, width, height, frame, taken, dots)
        if box is not None:
            assert box.inside(frame)
            assert not any(box.overlaps(other) for other in taken)
            taken.append(box)
    assert taken or width > 400


@given(st.text(min_size=1, max_size=60), st.floats(30, 300))
def test_shortened_text_fits_and_keeps_its_ends(text: str, room: float) -> None:
    short = shorten(text, 11, room)
    if text_width(text, 11) <= room:
        assert short == text
    elif len(short) > 3:
        assert text_width(short, 11) <= room
        assert "…" in short
        assert short[0] == text[0]


def test_scales() -> None:
    log = LogScale(1, 1000, 0, 300)
    assert [log(1), log(10), log(1000), log(1e9)] == pytest.approx([0, 100, 300, 300])
    assert log.decades() == [1, 10, 100, 1000]
    assert LinearScale(0, 9.3, 0, 100).ticks(4) == pytest.approx([0, 5])
    assert LinearScale(-0.4, 0.9, 0, 1).ticks(7) == pytest.approx([-0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8])


def test_both_themes_define_the_same_roles_with_readable_text() -> None:
    assert LIGHT.keys() == DARK.keys()
    for theme in (LIGHT, DARK):
        for role in ("ink", "muted", "alert"):
            assert _contrast(theme[role], theme["paper"]) >= 4.5, role
        for series in range(1, 9):
            assert _contrast(theme[f"on-s{series}"], theme[f"s{series}"]) >= 4.5, series


def _contrast(one: str, two: str) -> float:
    """Contrast of two colours as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_the_samples_are_what_they_claim() -> None:
    result = sample_result(12)
    assert sum(op.time_s for op in result.operators) == pytest.approx(result.latency_s)
    assert result.roofs["memory:hbm"] == HBM


def test_only_the_whole_is_100_percent() -> None:
    """43,680 of 29,003,584 bytes still move: 99.85 % are saved, not all of them."""
    assert percent(1 - 43_680 / 29_003_584) == "99.8 %"
    assert percent(0.9999) == "> 99.9 %"
    assert percent(1.0) == percent(1 - 1e-15) == "100 %"
