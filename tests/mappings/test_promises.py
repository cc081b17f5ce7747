"""What mappers promise: built-in ones keep it over the zoo and the library, plug-ins that break it are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwspecs import list_hardware, load_hardware
from hwspecs.vocabulary.errors import ArgumentError, ContractError, CyclewrightError, InfeasibleError
from mappings import Unmappable, find_mapper, map_graph, register_mapper
from mappings.dataflow import PORT, Alternative, Edge, MappedOperator, Segment, Stage, Transfer
from mappings.promises import check_promises
from tests.mappings.builders import gemm, graph, systolic, with_kind
from workloads import load_model

KIND = "test-promises"
M, N, K = 32, 48, 64
LEAST = M * N * K // (8 * 8)
"""Cycles of the product at the rate of the 8 x 8 array of ``systolic()``."""


def good(operator, tensors, unit):
    """An honest answer: everything is loaded, worked on and stored, one after the other."""
    loads = tuple(Transfer(name, tensors[name].stored_bytes, "dram", "scratchpad") for name in operator.inputs)
    stores = tuple(Transfer(name, tensors[name].stored_bytes, "scratchpad", "dram") for name in operator.outputs)
    stages = (
        Stage("store", PORT + "dram", (Segment(1, 0, stores),)),
        Stage("load", PORT + "dram", (Segment(1, 0, loads),)),
        Stage("work", unit.name, (Segment(1, LEAST),)),
    )
    only = Alternative("only", stages, (Edge("load", "work"), Edge("work", "store")), 0, LEAST, {f"{unit.name}.mac.int8": operator.macs})
    return MappedOperator(
        operator.name, operator.kind, unit.name, (only,), macs=operator.macs, executed_macs=operator.macs, compute_format="int8"
    )


def answer(mutate):
    """Map one product with a plug-in that gives the honest answer, changed by ``mutate``."""

    class Plugin:
        def map(self, operator, tensors, unit, hardware):
            return mutate(good(operator, tensors, unit))

    register_mapper(KIND, Plugin)
    return map_graph(graph(gemm("fc", M, N, K)), with_kind(systolic(), KIND))


def only(mapped, **changes):
    return replace(mapped, alternatives=(replace(mapped.alternatives[0], **changes),))


def stage(mapped, place, segment, **changes):
    stages = list(mapped.alternatives[0].stages)
    stages[place] = replace(stages[place], segments=(segment,), **changes)
    return only(mapped, stages=tuple(stages))


def moved(name, size, source="dram", target="scratchpad"):
    return Transfer(name, size, source, target)


BROKEN = {
    "too few cycles": (
        lambda m: stage(m, 2, Segment(1, LEAST - 1)),
        f"busy for {LEAST - 1} cycles; its MACs at the rate for int8 .dense. take {LEAST}",
    ),
    "no cycles": (lambda m: stage(m, 2, Segment(0, 5)), "busy for 0 cycles"),
    "fractional cycles": (lambda m: stage(m, 2, Segment(1, 1e6)), "whole numbers"),
    "negative repeat": (lambda m: stage(m, 2, Segment(-1, 5)), "whole numbers"),
    "less vector time": (lambda m: replace(m, unit="vector", vector_ops=10**9), "busy for 0 cycles"),
    "a read left out": (lambda m: stage(m, 1, Segment(1, 0, (moved("x", M * K),))), "reads 0 bytes of 'w'; 3072 are compulsory"),
    "half a write": (
        lambda m: stage(m, 0, Segment(1, 0, (moved("y", M * N - 1, "scratchpad", "dram"),))),
        "writes 1535 bytes of 'y'; 1536 are",
    ),
    "fractional bytes": (lambda m: stage(m, 1, Segment(1, 0, (moved("x", 2048.0), moved("w", 3072)))), "bytes are whole numbers"),
    "unknown tensor": (
        lambda m: stage(m, 1, Segment(1, 0, (moved("z", 1),))),
        "transfers 'z', which is no tensor of the operator .partial sums, w, x, y",
    ),
    "unknown memory": (lambda m: stage(m, 1, Segment(1, 0, (moved("x", 1, "dram", "l2"),))), "memories are dram, scratchpad"),
    "unknown unit": (lambda m: stage(m, 2, Segment(1, LEAST), unit="dots"), "runs on 'dots', which is no unit"),
    "unknown port": (lambda m: stage(m, 2, Segment(1, LEAST), unit="port:hbm"), "ports are port:dram"),
    "unit of the operator": (lambda m: replace(m, unit="dots"), "unit 'dots' is not in the spec"),
    "no MACs issued": (lambda m: replace(m, executed_macs=0), "executed_macs is 0 for 98304 MACs of dense tensors"),
    "other MACs": (lambda m: replace(m, macs=5), "macs is 5, the operator has 98304"),
    "no rate": (lambda m: replace(m, compute_format="fp8"), "compute_format is 'fp8' .dense., for which unit 'array' has no rate"),
    "action of nothing": (lambda m: only(m, actions={"mac.int8": 1}), "actions are <unit>.<action>"),
    "off-chip action": (lambda m: only(m, actions={"dram.bytes": 1}), "counts the action 'dram.bytes'"),
    "infinite action": (lambda m: only(m, actions={"array.mac.int8": float("inf")}), "counts inf"),
    "edge to nowhere": (lambda m: only(m, edges=(Edge("load", "dots"),)), "an edge joins 'load' and 'dots'"),
    "twins": (lambda m: only(m, stages=m.alternatives[0].stages * 2), "two stages have one name"),
    "estimate": (lambda m: only(m, cycles_estimate=1.5), "cycles_estimate is 1.5"),
    "nothing": (lambda m: None, "returned None, not a MappedOperator"),
    "a number": (lambda m: 3, "returned a int"),
    "no alternative": (lambda m: replace(m, alternatives=()), "returned no alternative"),
}


def test_an_honest_answer_is_taken():
    (operator,) = answer(lambda mapped: mapped).blocks[0].operators
    assert (operator.reads, operator.writes) == ({"x": M * K, "w": K * N}, {"y": M * N})


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_names_mapper_operator_and_promise(case):
    mutate, message = BROKEN[case]
    with pytest.raises(ContractError, match=message) as caught:
        answer(mutate)
    assert "mapper of kind 'test-promises'" in str(caught.value)
    assert caught.value.where == "fc"
    assert "docs/adding-a-unit.md" in (caught.value.hint or "")


def test_what_a_plug_in_raises_names_it_and_keeps_the_cause():
    with pytest.raises(
        ContractError, match=r"fc: the mapper of kind 'test-promises' raised KeyError: 'lanes' \(test_promises.py, line \d+\)"
    ) as caught:
        answer(lambda mapped: {}["lanes"])
    assert isinstance(caught.value.__cause__, KeyError)


def test_errors_of_the_tree_pass_through():
    def refuse(mapped):
        raise InfeasibleError("does not fit", where="fc")

    with pytest.raises(InfeasibleError, match="does not fit"):
        answer(refuse)


def test_unmappable_without_a_fallback_is_no_broken_promise():
    hardware = with_kind(systolic(vector=False), KIND)
    register_mapper(KIND, type("Never", (), {"map": lambda self, *_: Unmappable("never")}))
    with pytest.raises(CyclewrightError, match="never"):
        map_graph(graph(gemm("fc", M, N, K)), hardware)


@pytest.mark.parametrize(("kind", "factory"), [("foo", 3), ("", list), (5, list)])
def test_only_what_makes_a_mapper_is_registered(kind, factory):
    with pytest.raises(ArgumentError, match="register_mapper takes a kind and a class"):
        register_mapper(kind, factory)


def test_a_factory_that_fails_or_makes_something_else_is_named():
    register_mapper("test-list", list)
    with pytest.raises(ContractError, match="kind 'test-list' makes a list without a method `map`"):
        find_mapper("test-list")
    register_mapper("test-raises", lambda: 1 // 0)
    with pytest.raises(ContractError, match="kind 'test-raises' raised ZeroDivisionError"):
        find_mapper("test-raises")


MODELS = [("resnet50", None), ("mobilenet-v2", None), ("bert-base", None), ("mixtral-8x7b", "prefill"), ("mixtral-8x7b", "decode")]
SERVED = [name for name in list_hardware() if name != "xilinx-vcu1525-sat" and load_hardware(name).family != "crossbar"]
"""Crossbars have their own models: weights must fit their arrays (``test_crossbar``)."""


@pytest.mark.parametrize("name", SERVED)
def test_the_built_in_mappers_keep_their_promises(name, monkeypatch):
    """The same checks, turned on for the built-in mappers: classical and language models on every device of the library."""
    seen = []

    def checked(accepted, operator, tensors, kind, hardware):
        seen.append(operator.name)
        check_promises(accepted, operator, tensors, kind, hardware)

    monkeypatch.setattr("mappings.mapping.is_built_in", lambda kind: False)
    monkeypatch.setattr("mappings.mapping.check_promises", checked)
    hardware = load_hardware(name)
    for model, phase in MODELS:
        map_graph(load_model(model, phase=phase, format=hardware.default_format), hardware)
    assert len(seen) > 40
