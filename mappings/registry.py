"""Which mapper serves which kind of compute unit.

A mapper registers under the ``kind`` that a spec's unit names: the built-in ones here, others by an entry point of the group
``cyclewright.mappers`` (``my-kind = "my_package:MyMapper"``) or, within one process, by ``register_mapper``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol, runtime_checkable

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ArgumentError, ContractError
from hwspecs.vocabulary.plug_ins import loaded, plug_ins
from mappings.dataflow import MappedOperator
from workloads.graph import Operator, Tensor

MAPPER_GROUP = "cyclewright.mappers"

_BUILT_IN = {
    "crossbar": "mappings.crossbar:CrossbarMapper",
    "gpu": "mappings.gpu:GpuMapper",
    "simd": "mappings.simd:SimdMapper",
    "sparse_array": "mappings.sparse_array:SparseArrayMapper",
    "systolic": "mappings.systolic:SystolicMapper",
    "vector": "mappings.vector:VectorMapper",
}
"""Named here as well as in the package's entry points, so that a checkout that is not installed works too."""


@dataclass(frozen=True, slots=True)
class Unmappable:
    """A mapper's answer that its unit cannot run an operator; ``reason`` completes "the unit cannot run it: ..."."""

    reason: str


@runtime_checkable
class Mapper(Protocol):
    """What serves one kind of compute unit.

    ``map_graph`` makes one instance per run, so an instance may remember what it has searched; nothing may outlive it. A mapper may have
    a method ``prepare(graph, unit, hardware) -> Hardware``, called once before the first ``map`` if it serves the device's first unit: it
    sees the whole graph (weights that must have places all at once) and says what the device is for this graph (several chips, say).
    """

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """Ways to run ``operator`` on ``unit``.

        Args:
            operator: has at least one loop nest with at least one point.
            tensors: every tensor that crosses the operator's border; internal ones are in ``operator.internal``.
            unit: a unit of the kind that the mapper is registered for.
            hardware: the whole device: memories, clock (all cycles count ``hardware.clock_hz``), other units.

        Returns:
            At least one alternative, best estimate first; or ``Unmappable`` to hand the operator to ``unit.fallback``.
            Empty ``reads`` and ``writes`` are filled in with the compulsory bytes.
        """
        ...


_registered: dict[str, Callable[[], Mapper]] = {}


def register_mapper(kind: str, factory: Callable[[], Mapper]) -> None:
    """Let ``factory()`` serve units of ``kind`` in this process.

    Raises:
        ArgumentError: a built-in mapper serves the kind, or ``factory`` cannot be called.
    """
    if not isinstance(kind, str) or not kind or not callable(factory):
        raise ArgumentError(
            f"register_mapper takes a kind and a class (or function) that makes its mapper, not {kind!r} and {factory!r}",
            hint='write register_mapper("my-kind", MyMapper)',
        )
    if kind in _BUILT_IN:
        raise ArgumentError(f"the built-in mapper of kind {kind!r} cannot be replaced", hint="give the unit in your spec a kind of its own")
    _registered[kind] = factory


def mapper_kinds() -> tuple[str, ...]:
    """Kinds of compute units that can be served here, sorted."""
    return tuple(sorted({*_BUILT_IN, *_registered, *plug_ins(MAPPER_GROUP)}))


def find_mapper(kind: str) -> Mapper | None:
    """A new instance of the mapper that serves ``kind``; None if nothing does.

    Raises:
        UnsupportedError: a plug-in is registered for the kind but cannot be loaded.
        ContractError: what a plug-in registered makes no mapper.
    """
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        mapper: Mapper = getattr(import_module(module), name)()
        return mapper
    if kind in _registered:
        return _made(kind, _registered[kind])
    point = plug_ins(MAPPER_GROUP).get(kind)
    if point is None:
        return None
    return _made(kind, loaded(point, f"mapper plug-in {point.value!r} of kind {kind!r}"))


def _made(kind: str, factory: Any) -> Mapper:
    try:
        mapper = factory()
    except Exception as error:  # the plug-in's own code
        raise plug_in_fault(kind, error) from error
    if not isinstance(mapper, Mapper):
        raise ContractError(
            f"what is registered for kind {kind!r} makes a {type(mapper).__name__} without a method `map`", hint="register a mapper class"
        )
    return mapper


def is_built_in(kind: str) -> bool:
    """Whether a mapper of this package serves ``kind``."""
    return kind in _BUILT_IN


def plug_in_fault(kind: str, error: Exception, operator: str | None = None) -> ContractError:
    """What a plug-in raised, as an error that names the plug-in's kind and the line."""
    place = ""
    if frames := extract_tb(error.__traceback__):
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return ContractError(
        f"the mapper of kind {kind!r} raised {type(error).__name__}: {error}{place}",
        where=operator,
        hint="this is a fault of the plug-in; CYCLEWRIGHT_DEBUG=1 shows where it happened",
    )
