"""The words that figures and reports use for what a result says."""

from __future__ import annotations

from collections.abc import Mapping

from cyclewright.naming import kinds_of, lengths_of, things_of
from cyclewright.plots.formatting import percent, significant
from simulator.result import OperatorResult, Result

_CAUSES = {"launch": "launch cost", "wait": "waiting between stages", "": "nothing"}


def resource_name(resource: str) -> str:
    """A resource as people call it: ``memory:hbm`` is ``hbm bandwidth``, ``compute:sm`` is ``sm arithmetic``.

    Layers of a crossbar that run side by side have arrays of their own: ``compute:array.conv1`` is ``arrays of conv1``.
    """
    head, _, name = resource.partition(":")
    if head == "memory":
        return f"{name} bandwidth"
    if head == "compute":
        _, dot, layer = name.partition(".")
        return f"arrays of {layer}" if dot else f"{name} arithmetic"
    if head == "link":
        return f"{name} bandwidth"
    if head == "vector":
        return f"{name} vector arithmetic"
    return _CAUSES.get(resource, resource)


def holder(operator: OperatorResult) -> str:
    """What holds an operator, in words; one that takes no time is held by nothing."""
    if operator.time_s > 0:
        return resource_name(operator.bound_by)
    return "nothing: moves nothing" if operator.kind == "view" else "nothing: takes no time"


def time_by(result: Result, attribute: str) -> dict[str, float]:
    """Seconds of all operators summed by one of their attributes (``kind``, ``bound_by``, ``unit``), largest first."""
    sums: dict[str, float] = {}
    for operator in result.operators:
        key = str(getattr(operator, attribute))
        sums[key] = sums.get(key, 0.0) + operator.time_s
    return largest_first(sums)


def largest_first(values: Mapping[str, float]) -> dict[str, float]:
    """The mapping ordered by value, names in order where values are equal."""
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))


def throughput(result: Result) -> tuple[float, str]:
    """What comes out per second and what it is: tokens where sequences have them, samples of a training step, inferences otherwise."""
    things = f"{things_of(result.phase, result.settings)}/s"
    if result.latency_s <= 0:
        return 0.0, things
    made = _number(result.settings.get("batch"), 1.0) * _number(result.settings.get("tokens"), 1.0)
    return made / result.latency_s, things


def verdict(result: Result) -> str:
    """One plain sentence: what the time goes into, and how far the run is from its roofline."""
    shares = time_by(result, "bound_by")
    total = sum(shares.values())
    if total <= 0:
        return "No operator of this model takes any time on this hardware."
    first, held = next(iter(shares.items()))
    text = f"Bound by {resource_name(first)}: it holds the operators that take {percent(held / total)} of the time"
    rest = [(name, part / total) for name, part in shares.items() if name != first and part / total >= 0.05][:2]
    if rest:
        text += "; " + " and ".join(f"{resource_name(name)} holds {percent(part)}" for name, part in rest)
    if result.roofline_s > 0:
        text += (
            f". The run takes {significant(result.latency_s / result.roofline_s)} times its roofline, the least time at data-sheet rates"
        )
    return text + "."


def off_chip_memories(result: Result) -> tuple[str, ...]:
    """Names of the off-chip memories; where the document does not say, the memory whose traffic is all the off-chip traffic."""
    named = tuple(name for name, (_, off_chip) in result.capacities.items() if off_chip)
    if named:
        return named
    exact = tuple(name for name, (read, written) in result.bytes_by_memory.items() if read + written == result.dram_bytes)
    return exact[:1] or tuple(name.partition(":")[2] for name in result.roofs if name.startswith("memory:"))[:1]


def capacity(result: Result, *, off_chip: bool) -> tuple[str, int] | None:
    """Name and bytes of the first memory off or on chip, or None where the document does not say."""
    return next(((name, size) for name, (size, outside) in result.capacities.items() if outside == off_chip), None)


def work(operator: OperatorResult) -> int:
    """Arithmetic of an operator, all rounds: two operations per dense multiply-accumulate, and its vector operations."""
    return 2 * operator.macs + operator.vector_ops


def title(result: Result) -> str:
    """What ran on what: ``llama-3-8b decode, batch 8, context 4096, bf16 on nvidia-h100-sxm (tile)``."""
    parts = [f"{result.model} {result.phase}".strip() if result.phase not in ("", "inference") else result.model]
    parts += [*lengths_of(result.phase, result.settings), *kinds_of(result.settings)]
    return f"{', '.join(parts)} on {result.hardware} ({result.fidelity})"


def asked(result: Result) -> dict[str, str]:
    """The settings that a user gives for this phase: a decode step has a context and one new token if nothing else is said, a prefill
    a prompt and no context.
    """
    idle = {"prefill": "context", "encode": "context"}.get(result.phase, "")
    if result.phase == "decode" and result.settings.get("tokens") in (0, 1):
        idle = "tokens"
    return {key: str(value) for key, value in result.settings.items() if value not in (None, "", 0) and key != idle}


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else default
