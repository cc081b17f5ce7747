"""What a ledger row may measure: a closed set of names, paths and two-operand verbs, and means of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cyclewright.metrics import Document, metric_names, metric_of, metric_value
from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.graph import OperatorGraph


@dataclass(frozen=True, slots=True)
class ClaimRun:
    """One run behind a row: the graph and the stored form of the result."""

    graph: OperatorGraph
    document: Document


def _active_parameters(run: ClaimRun) -> float:
    from workloads import counts

    return float(counts(run.graph).active_parameters)


def _kv_cache_bytes_per_token(run: ClaimRun) -> float:
    positions = int(run.graph.meta.get("context") or run.graph.meta.get("tokens") or 0)
    if not positions:
        raise ArgumentError(f"{run.graph.name} has no context to divide its KV cache by", hint="give phase and context")
    return float(run.document["kv_cache_bytes"]) / (positions * int(run.graph.meta.get("batch", 1)))


def _stored_bits_per_parameter(run: ClaimRun) -> float:
    return 8.0 * float(run.document["stored_weight_bytes"]) / float(run.document["parameters"])


def _operation_reduction(run: ClaimRun) -> float:
    from workloads.training_counts import operation_reduction

    return operation_reduction(run.graph)


def _state_bytes_per_trained_parameter(run: ClaimRun) -> float:
    from workloads.training_counts import training_memory

    memory = training_memory(run.graph)
    if not memory.trained:
        raise ArgumentError(f"{run.graph.name} trains nothing", hint="give phase: train")
    return memory.state / memory.trained


def _training_state_bytes(run: ClaimRun) -> float:
    from workloads.training_counts import training_memory

    return float(training_memory(run.graph).state)


def _recurrent_step(run: ClaimRun) -> tuple[float, float, float]:
    """(seconds, joules on chip, operations of its largest matrix) of one step of a recurrent network on arrays."""
    layers = (run.document.get("in_memory") or {}).get("layers") or []
    rounds = max((int(layer["rounds"]) for layer in layers), default=1)
    if rounds < 2:
        raise ArgumentError(f"{run.graph.name} repeats no step on arrays", hint="name a recurrent network and a crossbar")
    off_chip = {memory for memory, (_, outside) in run.document["capacities"].items() if outside}
    rows = [row for row in run.document["operators"] if int(row["count"]) % rounds == 0]
    seconds = sum(float(row["time_s"]) for row in rows) / rounds
    joules = sum(value for row in rows for part, value in row["energy_j"].items() if part not in off_chip) / rounds
    operations = 2.0 * max(int(layer["rows"]) * int(layer["columns"]) for layer in layers if int(layer["rounds"]) == rounds)
    return seconds, joules, operations


def _recurrent_step_s(run: ClaimRun) -> float:
    return _recurrent_step(run)[0]


def _recurrent_power_w(run: ClaimRun) -> float:
    seconds, joules, _ = _recurrent_step(run)
    return joules / seconds


def _recurrent_operations_per_s(run: ClaimRun) -> float:
    seconds, _, operations = _recurrent_step(run)
    return operations / seconds


DERIVED: dict[str, Callable[[ClaimRun], float]] = {
    "active_parameters": _active_parameters,
    "kv_cache_bytes_per_token": _kv_cache_bytes_per_token,
    "operation_reduction": _operation_reduction,
    "recurrent_operations_per_s": _recurrent_operations_per_s,
    "recurrent_power_w": _recurrent_power_w,
    "recurrent_step_s": _recurrent_step_s,
    "state_bytes_per_trained_parameter": _state_bytes_per_trained_parameter,
    "stored_bits_per_parameter": _stored_bits_per_parameter,
    "training_state_bytes": _training_state_bytes,
}
MEAN = "mean"
VERBS: dict[str, Callable[[float, float], float]] = {
    "ratio": lambda a, b: a / b,
    "difference": lambda a, b: a - b,
    "sum": lambda a, b: a + b,
}


def measure(metric: str, runs: Mapping[str, ClaimRun], *, where: str) -> float:
    """The value of a row's metric in SI.

    Raises:
        UnknownNameError: no such metric, path or run.
        ArgumentError: the form is none of the allowed ones, or a division by zero.
    """
    words = metric.split()
    if words[:1] == [MEAN] and (terms := _terms(words)):
        return sum(measure(" ".join(term), runs, where=where) for term in terms) / len(terms)
    if len(words) == 1:
        return _operand(words[0], runs, where)
    if len(words) != 3 or words[0] not in VERBS:
        hint = "write NAME, ratio | difference | sum A B, mean A B C ..., or mean ratio A B C D ..."
        raise ArgumentError(f"cannot read the metric {metric!r}", where=where, hint=hint)
    first, second = (_operand(word, runs, where) for word in words[1:])
    if words[0] == "ratio" and not second:
        raise ArgumentError(f"{words[2]} is zero, there is no ratio", where=where)
    return VERBS[words[0]](first, second)


def _terms(words: list[str]) -> list[list[str]]:
    """What a mean is of: operands, or pairs of them with their verb; empty if the words are no mean."""
    if len(words) > 1 and words[1] in VERBS:
        operands = words[2:]
        whole = bool(operands) and len(operands) % 2 == 0
        return [[words[1], *operands[place : place + 2]] for place in range(0, len(operands), 2)] if whole else []
    return [[word] for word in words[1:]]


def check_form(metric: str, runs: Mapping[str, object]) -> str | None:
    """What is wrong with the form of a metric, before anything runs; None if nothing is."""
    words = metric.split()
    if words[:1] == [MEAN] and (terms := _terms(words)):
        words = [word for term in terms for word in term if word not in VERBS]
    elif len(words) == 3 and words[0] in VERBS:
        words = words[1:]
    elif len(words) != 1:
        return f"cannot read the metric {metric!r}: write NAME, {' | '.join(VERBS)} A B, {MEAN} A B C ... or {MEAN} ratio A B C D ..."
    if len(runs) > 1:
        for word in words:
            if word.partition(".")[0] not in runs:
                return f"the metric's {word!r} names none of the runs {', '.join(runs)}: write RUN.NAME"
    return None


def _operand(text: str, runs: Mapping[str, ClaimRun], where: str) -> float:
    name, dot, rest = text.partition(".")
    if name in runs and dot:
        run, path = runs[name], rest
    elif len(runs) == 1:
        run, path = next(iter(runs.values())), text
    else:
        raise UnknownNameError(f"{text!r} names no run", where=where, hint=did_you_mean(name, runs))
    if path in DERIVED:
        return DERIVED[path](run)
    if path.lower() in metric_names():
        return metric_value(run.document, metric_of(path))
    return _at_path(run.document, path, where)


def _at_path(document: Document, path: str, where: str) -> float:
    value: Any = document
    rest = path
    while rest:
        choices = value if isinstance(value, Mapping) else {row["name"]: row for row in value} if _named_rows(value) else {}
        # names of operators and components hold dots themselves, so the longest that fits is taken
        key = max((name for name in choices if rest == name or rest.startswith(name + ".")), key=len, default=None)
        if key is None:
            known = sorted({*choices, *(metric_names() if value is document else ()), *(DERIVED if value is document else ())})
            raise UnknownNameError(f"no metric {path!r}", where=where, hint=did_you_mean(rest, known))
        value, rest = choices[key], rest[len(key) + 1 :]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnknownNameError(f"{path!r} is not a number of the result", where=where, hint="give the path of a number")
    return float(value)


def _named_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) and "name" in row for row in value)
