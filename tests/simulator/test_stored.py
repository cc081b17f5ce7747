"""The stored form: exact round trip, refusal of what is not a stored result, tables and traces made from it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from hwspecs.vocabulary.errors import ContractError, ModelError
from ilp import trivial_schedule
from simulator import from_json, operators_csv, simulate, to_json, trace_json
from simulator.stored import TOP, digest
from tests.simulator.build import layered, mapped_operator, tensor
from workloads.graph import Role


@pytest.fixture(scope="module")
def result():
    operators = [mapped_operator("mlp, up", {"x": 100, "w": 5_000}, {"t": 300}, macs=10**6), mapped_operator("add", {"t": 300}, {"y": 100})]
    mapped = layered([tensor("t", 300), tensor("w", 5_000, Role.WEIGHT)], operators, 80, 100, tail=10)
    return simulate(mapped, trivial_schedule(mapped))


def test_round_trip_is_exact_and_floats_keep_every_bit(result):
    odd = replace(result, latency_s=0.1 + 0.2, provenance={"low": 5e-324, "nested": {"list": [1, 2.5, "x", None, True]}})
    text = to_json(odd)
    assert from_json(text) == odd
    assert to_json(from_json(text)) == text


def test_the_headline_keys_come_first_and_operators_below(result):
    document = json.loads(to_json(result))
    assert tuple(document)[: len(TOP)] == TOP
    assert [row["name"] for row in document["operators"]] == ["mlp, up", "add", "tail"]
    assert document["schema"] == 1


def test_meta_is_outside_the_digest_and_everything_else_inside(result):
    plain = json.loads(to_json(result))["digest"]
    assert json.loads(to_json(replace(result, meta={"seconds": 1.0})))["digest"] == plain
    assert json.loads(to_json(replace(result, cycles=result.cycles + 1)))["digest"] != plain
    assert json.loads(to_json(replace(result, warnings=("careful",))))["digest"] != plain


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_errors(result, value):
    with pytest.raises(ContractError, match=r"result\.mfu: the number is"):
        to_json(replace(result, mfu=value))
    with pytest.raises(ContractError, match=r"result\.energy_by_component\.dram: the number is"):
        to_json(replace(result, energy_by_component={"dram": value}))


def change(text, **values):
    return json.dumps({**json.loads(text), **values})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-20], "not a stored result"),
        (lambda text: "[1, 2]", "no key 'schema'"),
        (lambda text: change(text, schema=99), "of schema 99, this version reads 1"),
        (lambda text: change(text, cycles=1), "changed after it was written"),
        (lambda text: change(text, surprise=1), r"unknown \['surprise'\]"),
        (lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "roofs"}), r"keys missing \['roofs'\]"),
    ],
)
def test_what_is_no_stored_result_is_refused(result, spoil, message):
    with pytest.raises(ModelError, match=message):
        from_json(spoil(to_json(result)))


def test_a_value_of_the_wrong_form_is_refused_with_its_place(result):
    document = json.loads(to_json(result))
    document["operators"][0]["macs"] = "many"
    document["digest"] = digest(document)
    with pytest.raises(ModelError, match="wrong form: should be int, is 'many'") as caught:
        from_json(json.dumps(document))
    assert caught.value.where == "operators[0].macs"


def test_the_table_has_a_line_per_operator_that_reads_back(result):
    rows = list(csv.DictReader(io.StringIO(operators_csv(result))))
    assert [row["training_pass"] for row in rows] == [operator.training_pass for operator in result.operators]
    assert [row["name"] for row in rows] == ["mlp, up", "add", "tail"]
    assert [float(row["time_s"]) for row in rows] == [operator.time_s for operator in result.operators]
    assert sum(int(row["macs"]) for row in rows) == result.macs


def test_the_trace_names_threads_and_lies_within_the_run(result):
    document = json.loads(trace_json(result))
    events = document["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert set(names.values()) == {"operators", "memory:dram", "compute:array"}
    complete = [event for event in events if event["ph"] == "X"]
    assert {event["tid"] for event in complete} == set(names)
    assert all(event["dur"] > 0 and event["ts"] >= 0 for event in complete)
    assert max(event["ts"] + event["dur"] for event in complete) <= result.latency_s * 1e6 * (1 + 1e-9)
    # "add" takes no time, because both of its tensors stay on chip
    assert [event["name"] for event in complete if names[event["tid"]] == "operators"] == ["mlp, up", "tail"]


def test_the_timeline_is_bounded_and_keeps_the_longest(result):
    from simulator.program import build_program, play_program
    from simulator.timeline import spans

    operators = [mapped_operator(f"op{number}", {"x": 100}, {f"t{number}": 1 + 50 * number}) for number in range(20)]
    operators.append(mapped_operator("end", {"x": 100}, {"y": 100}))
    mapped = layered([tensor(f"t{number}", 1 + 50 * number) for number in range(20)], operators, 2, 100)
    program = build_program(mapped, trivial_schedule(mapped))
    timings = play_program(program)[1]
    every, some = spans(program, timings), spans(program, timings, limit=10)
    assert len(some) == 10
    assert [span for span in every if span in some] == list(some)
    shortest_kept = min(span.end_cycles - span.start_cycles for span in some)
    assert all(span.end_cycles - span.start_cycles <= shortest_kept for span in every if span not in some)
