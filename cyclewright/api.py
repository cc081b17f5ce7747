"""``run`` and the steps behind it: load, map, schedule, simulate."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwspecs import load_hardware
from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.suggest import did_you_mean
from simulator.result import Result
from workloads import load_model
from workloads.graph import OperatorGraph

if TYPE_CHECKING:
    from ilp.schedule import Schedule
    from mappings.dataflow import MappedGraph

__all__ = [
    "FIDELITIES",
    "Plan",
    "Prepared",
    "Result",
    "document_of",
    "evaluate",
    "load_hardware",
    "load_model",
    "plan",
    "play",
    "prepare",
    "run",
]

FIDELITIES = ("roofline", "tile", "cycle")
SEARCHES = ("auto", "estimate", "play")
SCHEDULES = ("trivial", "optimal", "fastest")
Overrides = Sequence[str] | Mapping[str, object]
_DEFAULTS: dict[str, object] = {
    "batch": 1, "unknown_op": "refuse", "fidelity": "tile", "search": "auto", "schedule": "trivial", "dims": {}, "overrides": {},
}  # fmt: skip
"""Of the options that are None by default, None; an option that has its default is left out of ``Prepared.asked``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A model and a device, loaded: everything that ``evaluate`` needs, and what variations of the device start from.

    Attributes:
        hardware_source: name or path that the device was loaded from; None if the caller gave a ``Hardware``.
        overrides: the caller's changes of the spec: dotted path to text with a unit or SI number.
        load_s: seconds that loading took.
        search: ``auto``, ``estimate`` or ``play``, ``schedule``: ``trivial``, ``optimal`` or ``fastest``, as in ``run``.
        asked: what the caller gave, for the command that makes the run again; defaults are left out, ``model`` and ``hardware`` are
            None where the caller gave an object.
    """

    graph: OperatorGraph
    hardware: Hardware
    hardware_source: str | None
    overrides: Mapping[str, object]
    fidelity: str
    model_source: str
    load_s: float
    search: str = "auto"
    asked: Mapping[str, object] = dataclasses.field(default_factory=dict)
    schedule: str = "trivial"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A mapped graph with its schedule, and the seconds that making them took."""

    mapped: MappedGraph
    schedule: Schedule
    map_s: float
    schedule_s: float


def run(
    model: str | Path | OperatorGraph,
    hardware: str | Path | Hardware,
    *,
    phase: str | None = None,
    batch: int = 1,
    context: int | None = None,
    tokens: int | None = None,
    format: str | None = None,
    sparsity: str | None = None,
    fidelity: str = "tile",
    overrides: Overrides = (),
    dims: Mapping[str, int] | None = None,
    unknown_op: str = "refuse",
    interval: bool = False,
    accounting: str | None = None,
    search: str = "auto",
    stream: str | None = None,
    delta: str | float | Mapping[str, float] | None = None,
    keep_tokens: str | float | Mapping[int, float] | None = None,
    schedule: str = "trivial",
    optimizer: str | None = None,
    precision: str | None = None,
    gradients: str | None = None,
    recompute: str | None = None,
    frozen: str | None = None,
    attention: str | None = None,
    lora: int | None = None,
    reduction: str | None = None,
) -> Result:
    """What a model costs on a device: cycles, seconds, joules, bytes, and why.

    Args:
        model: zoo name, ``gemm:MxNxK`` and the like, path to an ONNX file or a Hugging Face ``config.json``, or a graph.
        hardware: name of the library, path to a spec, or a ``Hardware``.
        phase: ``prefill``, ``decode`` or ``encode`` for models that have phases.
        batch: sequences or images at once.
        context: positions that a decode step attends to, the new token among them.
        tokens: prompt length of a prefill or sequence length of an encoder.
        format: number format (``bf16``, ``w4a16``, ...); None takes the device's default.
        sparsity: ``2:4``, ``unstructured:0.5``, ... of the weights.
        fidelity: ``roofline``, ``tile`` or ``cycle``.
        overrides: changes of the spec, ``["memory.hbm.bandwidth=4 TB/s"]`` or a mapping of path to text or SI number.
        dims: values of an ONNX model's dynamic axes.
        unknown_op: ``refuse`` or ``bytes-only`` for ONNX operators that the importer does not know.
        interval: also evaluate the box of the spec's assumed numbers and fill ``Result.interval``.
        accounting: ``scalesim:calc`` or ``scalesim:user``: also count as SCALE-Sim does and fill ``Result.scalesim``
            (systolic arrays with a split scratchpad; the other numbers stay as they are).
        search: ``estimate`` takes each operator's mapping by the mapper's ranking; ``play`` plays the mappings that it kept, fused chains
            and branches side by side, and takes what runs fastest (slower to answer, never slower in the answer than layer by layer);
            ``auto`` plays where layers have arrays of their own and run as a pipeline (crossbars), and else takes the ranking.
        stream: ``hop=4`` or ``window=16,hop=4,axis=2``: one step on overlapping windows, old frames in ring buffers.
        delta: share of the activations that change from frame to frame: a number, a mapping of layers to numbers, or the path of a YAML
            file with one; layers keep their sums and work on what changed.
        keep_tokens: ``0.5``, ``4=0.7,7=0.49`` (or ``{4: 0.7, 7: 0.49}``), ``merge:16`` (ToMe), ``evit:0.7``: tokens that go on,
            by layer of a transformer.
            These three apply to a model that is given as a graph, too.
        schedule: what stays on chip between operators: ``trivial`` (program order and a greedy rule), ``optimal`` (alternatives, order and
            residencies of the fewest bytes off chip, with a proven bound) or ``fastest`` (of the fewest cycles as played; never slower than
            the other two).
        optimizer, precision, gradients, recompute, frozen, attention, lora, reduction: of the phase ``train``, see
            ``workloads.training_step.OPTIONS``: ``adam``, ``fp16-mixed``, ``fp32``, ``blocks``, ``bn*``, ``split``, ``16``, ``online``.

    Raises:
        CyclewrightError: bad input, unsupported or infeasible; never a NaN or a silent default.
    """
    prepared = prepare(
        model, hardware, phase=phase, batch=batch, context=context, tokens=tokens, format=format, sparsity=sparsity, fidelity=fidelity,
        overrides=overrides, dims=dims, unknown_op=unknown_op, search=search, stream=stream, delta=delta, keep_tokens=keep_tokens,
        schedule=schedule, optimizer=optimizer, precision=precision, gradients=gradients, recompute=recompute, frozen=frozen,
        attention=attention, lora=lora, reduction=reduction,
    )  # fmt: skip
    start = time.perf_counter()
    counted = _accounted(prepared, accounting)
    accounting_s = time.perf_counter() - start
    planned = plan(prepared)
    result = play(prepared, planned)
    asked = {**prepared.asked, "interval": interval} | ({"accounting": accounting} if accounting else {})
    result = dataclasses.replace(result, meta={**result.meta, "asked": asked})
    if counted is not None:
        result = dataclasses.replace(_timed(result, "accounting", accounting_s), scalesim=counted)
    return _bounded(prepared, planned, result) if interval else result


def _timed(result: Result, name: str, seconds: float) -> Result:
    """The result with one more timing of the tool itself."""
    timings = {**dict(result.meta["timings_s"]), name: seconds}  # type: ignore[call-overload]
    return dataclasses.replace(result, meta={**result.meta, "timings_s": timings})


def _bounded(prepared: Prepared, planned: Plan, result: Result) -> Result:
    """The result with the range that its metrics take over the assumed numbers of the spec."""
    from cyclewright.interval import interval_of

    start = time.perf_counter()
    bounds, notes = interval_of(prepared, planned, result)
    timed = _timed(result, "interval", time.perf_counter() - start)
    return dataclasses.replace(timed, interval=bounds, warnings=(*result.warnings, *notes))


def prepare(
    model: str | Path | OperatorGraph,
    hardware: str | Path | Hardware,
    *,
    phase: str | None = None,
    batch: int = 1,
    context: int | None = None,
    tokens: int | None = None,
    format: str | None = None,
    sparsity: str | None = None,
    fidelity: str = "tile",
    overrides: Overrides = (),
    dims: Mapping[str, int] | None = None,
    unknown_op: str = "refuse",
    search: str = "auto",
    stream: str | None = None,
    delta: str | float | Mapping[str, float] | None = None,
    keep_tokens: str | float | Mapping[int, float] | None = None,
    schedule: str = "trivial",
    optimizer: str | None = None,
    precision: str | None = None,
    gradients: str | None = None,
    recompute: str | None = None,
    frozen: str | None = None,
    attention: str | None = None,
    lora: int | None = None,
    reduction: str | None = None,
) -> Prepared:
    """Check the arguments and load model and device; arguments as in ``run``."""
    loading: dict[str, Any] = {
        "phase": phase, "batch": batch, "context": context, "tokens": tokens, "format": format, "sparsity": sparsity,
        "dims": dict(dims or {}), "unknown_op": unknown_op,
    }  # fmt: skip
    choices = {"fidelity": fidelity, "search": search, "schedule": schedule}
    reused = _given(stream=stream, delta=delta, keep_tokens=keep_tokens)
    steps = _given(
        optimizer=optimizer, precision=precision, gradients=gradients, recompute=recompute, frozen=frozen, attention=attention, lora=lora,
        reduction=reduction,
    )  # fmt: skip
    _check(choices, {**loading, **reused})
    changes = overrides_of(overrides)
    start = time.perf_counter()
    device, source = _device(hardware, changes)
    graph = _graph(model, device, loading, reused, steps)
    load_s = time.perf_counter() - start
    name = graph.name if isinstance(model, OperatorGraph) else str(model)
    told = {"overrides": {path: str(value) for path, value in changes.items()}, **reused, **steps}
    asked = {key: value for key, value in {**loading, **choices, **told}.items() if value != _DEFAULTS.get(key)}
    asked = {"model": None if isinstance(model, OperatorGraph) else name, "hardware": source, **asked}
    return Prepared(graph, device, source, changes, fidelity, name, load_s, search, asked, schedule)


def _given(**options: Any) -> dict[str, Any]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def _check(choices: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Refuse what is out of range before anything is loaded."""
    for name, known in (("fidelity", FIDELITIES), ("search", SEARCHES), ("schedule", SCHEDULES)):
        if choices[name] not in known:
            raise ArgumentError(f"unknown {name} {choices[name]!r}", where=name, hint=did_you_mean(choices[name], known))
    for name in ("batch", "context", "tokens"):
        value = options[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ArgumentError(f"{name} is {value!r}", where=name, hint="give a whole number of at least 1")
    for name in ("phase", "format", "sparsity", "stream", "delta", "keep_tokens"):
        if options.get(name) == "":
            raise ArgumentError(f"{name} is empty", where=name, hint="leave it out for the default")


def _device(hardware: str | Path | Hardware, changes: Mapping[str, object]) -> tuple[Hardware, str | None]:
    """The device, and the name or path that it was loaded from."""
    if not isinstance(hardware, Hardware):
        return load_hardware(str(hardware), changes), str(hardware)
    if changes:
        raise ArgumentError("a loaded Hardware takes no overrides", where="overrides", hint="give its name or path instead")
    return hardware, None


def _graph(
    model: str | Path | OperatorGraph, device: Hardware, loading: Mapping[str, Any], reused: Mapping[str, Any], steps: Mapping[str, Any]
) -> OperatorGraph:
    """The operator graph; a graph that is given is changed by the passes of ``reused`` alone."""
    if not isinstance(model, OperatorGraph):
        return load_model(str(model), default_format=device.default_format, training=dict(steps) or None, **{**loading, **reused})
    if steps:
        name = next(iter(steps))
        raise ArgumentError(f"{name} does not apply to a graph", where=name, hint="apply workloads.training_step to it, or give a name")
    return _reusing(model, reused) if reused else model


def _reusing(graph: OperatorGraph, reused: Mapping[str, Any]) -> OperatorGraph:
    from workloads.passes import reuse

    return reuse(graph, **reused)


def overrides_of(overrides: Overrides) -> dict[str, object]:
    """Changes as a mapping of path to value: splits ``PATH=VALUE`` texts, takes quotes off the value.

    Raises:
        ArgumentError: a text without ``=``, or one path twice.
    """
    if isinstance(overrides, Mapping):
        return dict(overrides)
    if isinstance(overrides, str):
        raise ArgumentError("overrides is one text", where="overrides", hint='give a list, ["memory.hbm.bandwidth=4 TB/s"]')
    changes: dict[str, object] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        path, value = path.strip(), value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if not equals or not path or not value:
            hint = 'write PATH=VALUE, such as memory.hbm.bandwidth="4 TB/s"'
            raise ArgumentError(f"cannot read the override {text!r}", where="--set", hint=hint)
        if path in changes:
            raise ArgumentError(f"{path} is set twice", where="--set", hint="set each leaf once")
        changes[path] = value
    return changes


def _accounted(prepared: Prepared, accounting: str | None) -> dict[str, object] | None:
    """What another tool would count for a prepared model; None if nobody asked."""
    if accounting is None:
        return None
    from simulator.accounting import account

    return account(prepared.graph, prepared.hardware, accounting)


def plan(prepared: Prepared, hardware: Hardware | None = None) -> Plan:
    """Map and schedule a prepared model, on its own device or on a variation of it."""
    from ilp import trivial_schedule
    from mappings import map_graph

    start = time.perf_counter()
    mapped = map_graph(prepared.graph, hardware or prepared.hardware)
    middle = time.perf_counter()
    if prepared.search == "play" or (prepared.search == "auto" and mapped.in_memory is not None):
        from simulator import search

        found = search(mapped, fidelity=prepared.fidelity)
        mapped, schedule = found.mapped, found.schedule
    else:
        schedule = trivial_schedule(mapped)
    if prepared.schedule == "optimal":
        from ilp import optimal_schedule

        schedule = optimal_schedule(mapped)
    elif prepared.schedule == "fastest":
        from simulator import fastest_schedule

        schedule = fastest_schedule(mapped, fidelity=prepared.fidelity, known=schedule)
    return Plan(mapped, schedule, middle - start, time.perf_counter() - middle)


def play(prepared: Prepared, planned: Plan, *, timeline: bool = True) -> Result:
    """Simulate a plan.

    Returns:
        The result; with ``timeline`` also with provenance, and under ``meta`` the tool's own timings and what a training step holds.
    """
    from simulator import simulate

    start = time.perf_counter()
    result: Result = simulate(planned.mapped, planned.schedule, fidelity=prepared.fidelity, timeline=timeline)
    if not timeline:
        return result
    timings = {"load": prepared.load_s, "map": planned.map_s, "schedule": planned.schedule_s, "simulate": time.perf_counter() - start}
    meta = {**result.meta, "timings_s": timings, "python": platform.python_version(), "asked": prepared.asked}
    if prepared.graph.meta.get("phase") == "train":
        from workloads.training_counts import training_memory

        meta["training_memory"] = training_memory(prepared.graph).as_dict()
    memory_plan = None
    if prepared.schedule != "trivial":
        from cyclewright.mapped_plan import memory_plan as told

        memory_plan = told(planned.mapped, planned.schedule)
    provenance = {**result.provenance, **_provenance(prepared)}
    return dataclasses.replace(result, provenance=provenance, meta=meta, memory_plan=memory_plan)


def evaluate(prepared: Prepared, hardware: Hardware | None = None) -> Result:
    """Map, schedule and simulate a prepared model, on its own device or on a variation of it."""
    return play(prepared, plan(prepared, hardware))


def _provenance(prepared: Prepared) -> dict[str, object]:
    return {
        "model_source": str(prepared.graph.meta.get("source", prepared.model_source)),
        "overrides": {path: str(value) for path, value in prepared.overrides.items()},
    }


def document_of(result: Result) -> dict[str, Any]:
    """The stored form of a result as plain data, exactly what ``-o FILE.json`` writes."""
    from simulator.stored import to_document

    return to_document(result)
