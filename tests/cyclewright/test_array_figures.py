"""Figures of crossbars: every array of the chip is drawn once, where and as full as the result says, and layers work when it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from cyclewright.arrays import Layer, read_arrays, stretches
from cyclewright.plots import FIGURES, write_figure, write_parts
from cyclewright.plots.array_map import array_map_scene, grid_of, squares
from cyclewright.plots.array_wording import told
from cyclewright.plots.parts import parts_scene, stacks_of
from cyclewright.plots.pipeline import pipeline_scene, rows_of
from cyclewright.plots.scene import Rect, Scene, Text
from cyclewright.plots.timeline import timeline_scene
from cyclewright.report import render
from hwspecs.vocabulary.errors import InvalidInput, UnknownNameError
from simulator.result import Result, Span
from simulator.stored import to_document
from tests.cyclewright.sample_documents import sample_result
from tests.cyclewright.test_plots import check_texts


def layer(name: str, rows: int, columns: int, size: tuple[int, int], each: int = 2, **more: Any) -> Layer:
    """A matrix on arrays of ``size`` cells, ``each`` cells a weight along a row, laid out by the definition."""
    held = size[1] // each
    parts = ceil(rows / size[0]), ceil(columns / held)
    groups = more.get("groups", 1)
    arrays = parts[0] * parts[1] * groups
    use = rows * columns * groups * each / (arrays * size[0] * size[1])
    facts = {
        "groups": 1, "instances": 1, "rounds": 1, "packed": 1, "copies": 1, "resident": True, "cycles_per_product": 8, "products": 16,
        "cycles": 128, "written_bytes": 0,
    }  # fmt: skip
    return Layer(
        name=name, rows=rows, columns=columns, arrays=arrays, row_parts=parts[0], column_parts=parts[1], use=use, **{**facts, **more}
    )


def chip(layers: tuple[Layer, ...], arrays: int, size: tuple[int, int], per_tile: int, chips: int = 1) -> dict[str, object]:
    """``Result.in_memory`` of a chip that holds ``layers``."""
    used = sum(item.placed for item in layers)
    cells = sum(item.placed * item.use for item in layers)
    return {
        "unit": "array", "rows": size[0], "columns": size[1], "tiles": arrays // per_tile // chips, "arrays_per_tile": per_tile,
        "arrays": arrays, "used": used, "use": cells / used if used else 0.0, "chips": chips, "cells": round(cells * size[0] * size[1]),
        "written_bytes": 0, "peak": {"tops": 2.0, "tops_per_w": 4.0, "tops_per_mm2": None, "power_w": 0.5, "area_mm2": 3.0},
        "energy_j": {"adc": 1e-6, "cells": 2e-6}, "area_mm2": {"adc": 2.0, "cells": 1.0},
        "adc_share": {"energy": 0.3, "time": 1.0, "area": 0.667}, "interval_s": 1e-4, "interval_bound_by": "arrays of one",
        "throughput_per_s": 1e4, "layers": [{name: getattr(item, name) for name in Layer.__slots__} for item in layers],
    }  # fmt: skip


def on_arrays(in_memory: Mapping[str, object]) -> Result:
    """A made-up run with these arrays."""
    return replace(sample_result(12), in_memory=in_memory)


def rects(scene: Scene, start: str) -> list[Rect]:
    return [shape for shape in scene.shapes if isinstance(shape, Rect) and shape.title.startswith(start)]


@pytest.fixture(scope="module")
def piped() -> Result:
    return cw.run("resnet18", "neurosim-rram", search="play", interval=False)


@given(
    rows=st.integers(1, 40), columns=st.integers(1, 40), size=st.tuples(st.integers(1, 12), st.integers(4, 12)),
    each=st.integers(1, 4), copies=st.integers(1, 3), groups=st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_each_array_is_as_full_as_the_cells_that_lie_in_it(
    rows: int, columns: int, size: tuple[int, int], each: int, copies: int, groups: int
) -> None:
    item = layer("one", rows, columns, size, each, copies=copies, groups=groups)
    held = size[1] // each
    counted: Counter[tuple[int, int]] = Counter()
    for row in range(rows):
        for column in range(columns):
            counted[row // size[0], column // held] += each
    one_group = [counted[row, column] for row in range(item.row_parts) for column in range(item.column_parts)]
    found = read_arrays(chip((item,), item.placed, size, 1))
    assert found is not None
    drawn = [stretch.use * size[0] * size[1] for stretch in stretches(found) for _ in range(stretch.arrays)]
    assert drawn == pytest.approx(one_group * groups * copies)


def test_layers_that_share_weights_or_are_written_take_no_place_of_their_own() -> None:
    size = (8, 8)
    one = layer("one", 16, 8, size, instances=3, copies=2)
    again = layer("again", 16, 8, size, instances=0)
    written = layer("written", 8, 8, size, resident=False)
    found = read_arrays(chip((one, again, written), 40, size, 4))
    assert found is not None
    assert [(item.name, item.placed) for item in found.placed] == [("one", 4 * 3 * 2)]
    assert sum(stretch.arrays for stretch in stretches(found)) == found.used == 24


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9)), min_size=1, max_size=9),
    per_tile=st.integers(1, 24), spare=st.integers(0, 60), chips=st.integers(1, 3), width=st.sampled_from([1080.0, 360.0]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_map_draws_each_array_once_with_its_layer(
    sizes: list[tuple[int, int, int]], per_tile: int, spare: int, chips: int, width: float
) -> None:
    size = (8, 8)
    layers = tuple(layer(f"layer {place}", rows, columns, size, copies=copies) for place, (rows, columns, copies) in enumerate(sizes))
    used = sum(item.placed for item in layers)
    arrays = ceil((used + spare) / (per_tile * chips)) * per_tile * chips
    in_memory = chip(layers, arrays, size, per_tile, chips)
    found = read_arrays(in_memory)
    assert found is not None
    grid = grid_of(found, width - 24)
    scene = array_map_scene(on_arrays(in_memory), width=width)
    area: dict[str, float] = {}
    for rect in rects(scene, "tile"):
        name = rect.title.partition(": ")[2].partition(",")[0]
        area[name] = area.get(name, 0.0) + rect.width * rect.height / grid.size**2 * grid.arrays
        assert rect.x >= 11.9
        assert rect.x + rect.width <= width - 11.9
    if grid.arrays == 1:
        assert {name: round(value) for name, value in area.items() if name != "no weights"} == {item.name: item.placed for item in layers}
        assert round(area.get("no weights", 0.0)) == arrays - used
    else:
        assert sum(area.values()) == pytest.approx(arrays)


def test_squares_of_several_arrays_keep_the_cells_of_the_chip() -> None:
    size = (16, 16)
    layers = tuple(layer(f"layer {place}", 30 + 7 * place, 50, size, copies=40 + place) for place in range(20))
    used = sum(item.placed for item in layers)
    found = read_arrays(chip(layers, used + 500 - used % 500, size, 500))
    assert found is not None
    boxes, each = ceil(found.arrays / 500), 500 / 96
    content = squares(found, boxes, 500, each, 96)
    shown = sum(square.use * (each if place < 95 else 500 - 95 * each) for row in content for place, square in enumerate(row))
    assert shown == pytest.approx(found.use * found.used)


def test_a_chip_of_a_hundred_thousand_arrays_stays_a_small_picture_that_names_its_layers() -> None:
    size = (64, 64)
    layers = tuple(layer(f"block{place}.projection", 640, 640, size, copies=4) for place in range(90))
    in_memory = chip(layers, 100_000, size, 16)
    found = read_arrays(in_memory)
    assert found is not None
    assert found.used > 60_000
    for width in (1080, 360):
        scene = array_map_scene(on_arrays(in_memory), width=width)
        assert len(scene.shapes) < 8_000
        assert scene.height < 2_000
        texts = [shape.text for shape in scene.shapes if isinstance(shape, Text)]
        named = [text for text in texts if text.startswith("block")]
        assert len(named) == (60 if width > 600 else 24)
        assert any(text.startswith(f"{90 - len(named)} other layers in") for text in texts)
        smallest = min(min(rect.width, rect.height) for rect in rects(scene, "tile"))
        assert smallest >= 1


@pytest.mark.parametrize("width", [1080, 360])
def test_no_text_covers_another_or_leaves_the_picture(piped: Result, width: int) -> None:
    chips = chip(tuple(layer(f"one.{place}", 30, 30, (8, 8), copies=3) for place in range(12)), 1800, (8, 8), 100, chips=6)
    written = on_arrays(chip((layer("one", 30, 30, (8, 8)), layer("later", 60, 60, (8, 8), resident=False)), 600, (8, 8), 100))
    scenes = [array_map_scene(result, width=width) for result in (piped, on_arrays(chips), written)]
    scenes += [pipeline_scene(piped, width=width), timeline_scene(piped, width=width), parts_scene(piped, width=width)]
    scenes += [parts_scene([piped, sample_result(12)], width=width), parts_scene([piped] * 7, width=width)]
    for scene in scenes:
        check_texts(scene)


def test_layers_side_by_side_start_and_end_as_the_timeline_says_and_are_busy_as_long_as_their_arrays(piped: Result) -> None:
    found = read_arrays(piped.in_memory)
    assert found is not None
    rows = {row.name: row for row in rows_of(piped, found)}
    assert set(rows) == {name for operator in piped.operators for name in operator.members} - {"flatten"}
    spans = {span.stage: span for span in piped.timeline if span.resource.startswith("compute:array.")}
    assert len(spans) == 21  # 17 convolutions, 3 in shortcuts, 1 classifier
    for name, span in spans.items():
        row = rows[name]
        assert row.arrays == ((span.start_cycles, span.end_cycles),)
        held = next(item for item in found.layers if item.name == name)
        assert row.busy == pytest.approx(held.cycles / (span.end_cycles - span.start_cycles), rel=0.02)
        assert found.placed[row.number].name == name
    starts = [row.arrays[0][0] for row in rows.values() if row.arrays]
    assert starts[0] == min(starts)
    assert rows["conv1"].arrays[0][1] > rows["layer1.0.conv1"].arrays[0][0]


def test_layer_by_layer_the_arrays_of_one_layer_work_at_a_time() -> None:
    result = cw.run("resnet18", "neurosim-rram", search="estimate", interval=False)
    found = read_arrays(result.in_memory)
    assert found is not None
    rows = [row for row in rows_of(result, found) if row.arrays]
    assert len(rows) == 21
    for before, after in pairwise(rows):
        assert before.arrays[-1][1] <= after.arrays[0][0]
    bars = [rect for rect in rects(pipeline_scene(result), "layer1.0.conv1:") if rect.opacity == 1.0]
    (row,) = [row for row in rows if row.name == "layer1.0.conv1"]
    assert row.busy is not None
    assert bars[0].height == pytest.approx(10 * row.busy)


def test_inputs_of_a_batch_share_a_row_and_overlaps_are_counted_once() -> None:
    base = chip((layer("one", 8, 8, (8, 8)),), 4, (8, 8), 4)
    group = replace(sample_result(12).operators[0], name="one .. pool", members=("one", "pool"), count=1)
    spans = [Span("compute:array.one", group.name, f"one [{image}]", 100 * image, 100 * image + 150) for image in range(3)]
    spans += [Span("compute:digital", group.name, "one digital [0]", 10, 160), Span("memory:dram", group.name, "load x", 0, 10)]
    spans += [Span("compute:digital", group.name, f"pool [{image}]", 500 * image, 500 * image + 20) for image in range(2)]
    result = replace(
        sample_result(12), in_memory=base, operators=(group,), timeline=tuple(spans), clock_hz=1e6, busy={"compute:array.one": 210e-6}
    )
    found = read_arrays(base)
    assert found is not None
    one, pool = rows_of(result, found)
    assert (one.name, one.arrays, one.digital) == ("one", ((0, 350),), ((10, 160),))
    assert one.busy == pytest.approx(210 / 350)
    assert (pool.name, pool.arrays, pool.digital, pool.number) == ("pool", (), ((0, 20), (500, 520)), -1)


def test_layers_that_use_the_same_weights_by_turns_have_the_number_of_the_first_and_their_own_cycles() -> None:
    size = (8, 8)
    layers = (layer("one", 8, 8, size, cycles=40, held_as="one"), layer("again", 8, 8, size, instances=0, cycles=20, held_as="one"))
    base = chip(layers, 4, size, 4)
    group = replace(sample_result(12).operators[0], name="one .. again", members=("one", "again"), count=1)
    spans = [Span("compute:array.one", group.name, name, 100 * place, 100 * place + 80) for place, name in enumerate(group.members)]
    result = replace(
        sample_result(12), in_memory=base, operators=(group,), timeline=tuple(spans), clock_hz=1e6, busy={"compute:array.one": 60e-6}
    )
    found = read_arrays(base)
    assert found is not None
    assert [(row.name, row.number, row.busy) for row in rows_of(result, found)] == [("one", 0, 0.5), ("again", 0, 0.25)]


def test_the_general_timeline_keeps_one_row_for_all_arrays(piped: Result) -> None:
    labels = [shape.text for shape in timeline_scene(piped).shapes if isinstance(shape, Text)]
    assert labels.count("array") == 1
    assert not any(text.startswith("array.") for text in labels)


def test_parts_of_each_design_add_up_and_are_drawn_to_one_scale(piped: Result) -> None:
    other = cw.run("resnet18", "isaac", interval=False)
    stacks = {stack.heading.partition(" ")[0]: stack for stack in stacks_of([piped, other])}
    assert [sum(parts.values()) for parts in stacks["Energy"].parts] == pytest.approx([piped.energy_j, other.energy_j])
    areas = [found.peak.area_mm2 for found in map(read_arrays, (piped.in_memory, other.in_memory)) if found is not None]
    assert [sum(parts.values()) for parts in stacks["Area"].parts] == pytest.approx(areas)
    assert "adc" in stacks["Energy"].names
    assert "adc" in stacks["Area"].names
    scene = parts_scene([piped, other], width=1080)
    adc = {rect.fill for rect in rects(scene, "adc: ")}
    assert len(adc) == 1
    widths = [rect.width for rect in rects(scene, "adc: ")]
    energies = [parts["adc"] for parts in stacks["Energy"].parts]
    assert widths[0] / widths[1] == pytest.approx(energies[0] / energies[1], rel=1e-6)


@pytest.mark.parametrize("number", [3, 8, 12])
def test_parts_of_one_bar_differ_in_colour_and_the_smallest_are_summed_up(number: int) -> None:
    parts = {name: 2.0**-place for place, name in enumerate(["tile", "cells", "adc", *(f"part {more}" for more in range(number - 3))])}
    scene = parts_scene(replace(sample_result(12), energy_by_component=parts), width=1080)
    start = next(place for place, shape in enumerate(scene.shapes) if isinstance(shape, Text) and shape.text.startswith("Energy by"))
    swatches = [shape for shape in scene.shapes[start:] if isinstance(shape, Rect) and shape.width == shape.height == 11]
    fills = [shape.fill for shape in swatches]
    assert len(set(fills)) == len(fills) == min(number, 8)
    names = [shape.text for shape in scene.shapes[start:] if isinstance(shape, Text)]
    assert any(name.startswith(f"{number - 7} others: ") for name in names) == (number > 8)


def test_other_hardware_has_no_arrays_but_has_parts(tmp_path: Path) -> None:
    result = sample_result(12)
    for scene in (array_map_scene(result), pipeline_scene(result)):
        assert any(isinstance(shape, Text) and "no arrays" in shape.text for shape in scene.shapes)
    assert 'id="arrays"' not in render(to_document(result))
    assert [stack.heading for stack in stacks_of([result])] == ["Time by what holds it up", "Energy by component"]
    document = to_document(result)
    write_parts([document, document], tmp_path / "two.svg", labels=("one", "other"))
    assert ">other</text>" in (tmp_path / "two.svg").read_text("utf-8")
    for name in FIGURES:
        write_figure(name, document, tmp_path / f"{name}.svg")
    with pytest.raises(UnknownNameError, match="did you mean"):
        write_figure("arays", document, tmp_path / "x.svg")
    assert not (tmp_path / "x.svg").exists()


def test_the_report_says_of_the_arrays_what_the_terminal_says(piped: Result) -> None:
    found = read_arrays(piped.in_memory)
    assert found is not None
    page = render(to_document(piped))
    for _, text in told(found):
        assert text.replace("'", "&#x27;") in page
    assert page.count("<td>layer4.<wbr>1.<wbr>conv2</td>") == 1
    hostile = dict(chip((layer("<script>alert(1)</script>", 8, 8, (8, 8)),), 4, (8, 8), 4))
    assert "<script>alert" not in render(to_document(on_arrays(hostile)))


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("arrays", "many", "in_memory.arrays"),
        ("adc_share", {}, "in_memory.adc_share.energy"),
        ("layers", [{"name": "x"}], "in_memory.layers[0]"),
    ],
)
def test_a_broken_document_is_named_where_it_is_broken(key: str, value: object, where: str) -> None:
    broken = {**chip((layer("one", 8, 8, (8, 8)),), 4, (8, 8), 4), key: value}
    with pytest.raises(InvalidInput) as caught:
        render(to_document(on_arrays(broken)))
    assert where in str(caught.value)


def test_what_is_said_of_arrays_leaves_out_what_is_not_stated() -> None:
    bare = chip((layer("one", 8, 8, (8, 8)),), 4, (8, 8), 4)
    bare = {**bare, "adc_share": {"energy": 0.0, "time": 0.0, "area": 0.0}, "area_mm2": {}, "peak": {"tops": 2.0}}
    found = read_arrays(bare)
    assert found is not None
    assert dict(told(found)) == {
        "arrays": "2 of 4 hold weights, in 100 % of their cells", "copies": "1 of each of 1 layer",
        "pipelined": "a run every 100 µs, 10.0 k/s (the time of the arrays of one)", "converters": "none", "chip": "peak 2.00 TOPS",
    }  # fmt: skip
