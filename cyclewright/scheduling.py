"""``schedule``: the order, residency, addresses and spills that move least off chip, for a model and a scratchpad."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.units import parse_quantity
from ilp.atomic import atomic_problem, compulsory_bytes
from ilp.budgets import Budgets, budgets
from ilp.problem import Answer, Problem
from workloads import load_model
from workloads.graph import Operator, OperatorGraph, Repeat

if TYPE_CHECKING:
    from ilp.baselines import Scheme

Progress = Callable[[str], None]
_BUDGETS = 0.3
"""Part of a wall-clock limit that the search for M_P may take."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The answer of ``schedule``.

    Attributes:
        scratchpad_bytes: what the plan may use. ``extra_bytes``: off-chip bytes of the plan beyond ``compulsory_bytes``.
        lower_bound_bytes: proven: no plan moves fewer extra bytes. ``proven``: the plan is optimal.
        method: what found the plan and what proved it; ``stopped``: why the search ended before a proof, or empty.
        seconds: wall clock of budgets and solving.
        budgets: M_R, M_H and M_P; None where they were not asked for.
        baselines: what simpler schemes move; empty where they were not asked for.
        settings: what the problem was made from; ``ilp.atomic`` makes the same one from them again.
        problem, answer, graph: the problem, the solver's answer with the plan, and the graph they come from.
        limit_s: wall-clock limit that was given for all of it, or None.
    """

    model: str
    scratchpad_bytes: int
    compulsory_bytes: int
    seconds: float
    budgets: Budgets | None
    baselines: tuple[Scheme, ...]
    settings: Mapping[str, Any]
    problem: Problem = field(repr=False)
    answer: Answer = field(repr=False)
    graph: OperatorGraph = field(repr=False)
    limit_s: float | None = None

    @property
    def extra_bytes(self) -> int:
        """Off-chip bytes of the plan beyond the compulsory ones."""
        return self.answer.extra_bytes

    @property
    def lower_bound_bytes(self) -> int:
        """Proven: no plan moves fewer extra bytes."""
        return self.answer.lower_bound_bytes

    @property
    def proven(self) -> bool:
        """The plan is optimal."""
        return self.answer.proven

    @property
    def method(self) -> str:
        """What found the plan and what proved it."""
        return self.answer.method

    def as_dict(self) -> dict[str, Any]:
        """The plan file as plain data, exactly what ``-o FILE.json`` writes."""
        from cyclewright.plan_file import document_of

        return document_of(self)


def schedule(
    model: str | Path | OperatorGraph,
    *,
    scratchpad: str | int | None = None,
    budget: str | None = None,
    weights: bool = False,
    in_place: bool = False,
    concat_views: bool = False,
    explicit_padding: bool = False,
    split_attention: bool = False,
    phase: str | None = None,
    batch: int = 1,
    context: int | None = None,
    tokens: int | None = None,
    format: str = "int8",
    dims: Mapping[str, int] | None = None,
    unknown_op: str = "refuse",
    method: str | None = None,
    solver: str | None = None,
    states: int | None = None,
    nodes: int | None = None,
    seconds: float | None = None,
    compare: bool = False,
    with_budgets: bool = True,
    progress: Progress | None = None,
) -> Scheduled:
    """The plan of least off-chip traffic for a model whose operators and tensors are atomic (arXiv 2311.18246).

    Args:
        model: as in ``run``; a graph is taken as it is.
        scratchpad: bytes, or text with a unit (``"2 MiB"``).
        budget: ``M_R`` (the largest operator; the default), ``M_H`` or ``M_P`` (``ilp.budgets``) instead.
        weights: count weights and caches too, not activations alone.
        in_place: elementwise operators may write over an operand that dies.
        concat_views: joins of tensors are left out; their parts stay in their place.
        explicit_padding, split_attention: write padding, and attention, as operators of their own first.
        phase, batch, context, tokens, format, dims, unknown_op: as in ``run``; operators are not fused.
        method: a method of ``ilp.solve``; None: the portfolio. ``solver``: of its linear models.
        states, nodes: effort.
        seconds: wall-clock limit of the whole call: budgets, plan, addresses and comparison share it. A plan that it cut short says so.
        compare: also fill ``baselines``; those that the limit cuts short are left out.
        with_budgets: False leaves ``budgets`` out where neither ``budget`` nor ``compare`` needs them.
        progress: called with a line of text now and then.

    Raises:
        CyclewrightError: bad input; InfeasibleError names the operator that does not fit and by how much.
    """
    clock = _Clock(seconds)
    passes = {"explicit_padding": explicit_padding, "split_attention": split_attention}
    choices = {"weights": weights, "in_place": in_place, "concat_views": concat_views}
    loading = {
        "phase": phase, "batch": batch, "context": context, "tokens": tokens, "format": format, "dims": dict(dims or {}),
        "unknown_op": unknown_op,
    }  # fmt: skip
    capacity = read_capacity(scratchpad, budget)
    if solver is not None:
        from ilp.solver import check_installed

        check_installed(solver)
    graph = load_graph(model, loading, passes)
    problem = atomic_problem(graph, **choices)
    start = time.perf_counter()
    wanted = budget in ("M_H", "M_P") or compare or with_budgets
    found = budgets(problem, seconds=clock.left(_BUDGETS), progress=progress) if wanted else None
    if capacity is None:
        from ilp.atomic import least_capacity

        capacity = found.named(budget or "M_R") if found is not None else least_capacity(problem)
    schemes = _Schemes(problem, capacity, found, clock)
    answer = _solved(problem, capacity, found, {"method": method, "solver": solver, "states": states, "nodes": nodes}, schemes, progress)
    elapsed = time.perf_counter() - start
    rows: tuple[Scheme, ...] = ()
    if compare and answer.stopped != "interrupted":
        try:
            rows = schemes()
        except KeyboardInterrupt:
            answer = replace(answer, stopped="interrupted")
    name = None if isinstance(model, OperatorGraph) else str(model)
    given = {key: value for key, value in {**loading, **passes, **choices}.items() if value not in (None, {}, False)}
    settings = {"model": name, **given}
    moved = compulsory_bytes(graph, weights=weights)
    return Scheduled(name or graph.name, capacity, moved, elapsed, found, rows, settings, problem, answer, graph, seconds)


class _Clock:
    """The wall-clock limit of a whole call."""

    def __init__(self, seconds: float | None) -> None:
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def left(self, part: float = 1.0) -> float | None:
        """``part`` of the seconds left, more than 0; None: no limit."""
        return None if self.deadline is None else max(1e-3, part * (self.deadline - time.monotonic()))


class _Schemes:
    """What simpler schemes move, found out once, where somebody asks."""

    def __init__(self, problem: Problem, capacity: int, known: Budgets | None, clock: _Clock) -> None:
        self.problem, self.capacity, self.known, self.clock = problem, capacity, known, clock
        self.rows: tuple[Scheme, ...] | None = None

    def __call__(self) -> tuple[Scheme, ...]:
        if self.rows is None:
            from ilp.baselines import baselines, orders_of_schemes
            from ilp.optimum import simple_schemes

            if self.known is None:
                self.rows = simple_schemes(self.problem, self.capacity, seconds=self.clock.left())
            else:
                orders = orders_of_schemes(self.problem, self.known.peak.course[0])
                self.rows = baselines(self.problem, self.capacity, orders, seconds=self.clock.left())
        return self.rows


def _solved(
    problem: Problem, capacity: int, known: Budgets | None, effort: Mapping[str, Any], schemes: _Schemes, progress: Progress | None
) -> Answer:
    """The placed answer; from the budgets alone where the scratchpad is as large as M_P; never worse than a baseline with addresses."""
    from ilp.optimum import optimum
    from ilp.placement_views import side_by_side_addresses

    if known is not None and capacity >= known.m_p_bytes and effort["method"] is None:
        plan = side_by_side_addresses(problem, known.plan, capacity)
        return Answer(plan, 0, 0, "minimum-peak order, placed", placed=True, stopped="interrupted" if known.interrupted else "")
    if known is not None and known.interrupted:
        return _simplest(problem, capacity, known)
    asked = {key: value for key, value in {**effort, "seconds": schemes.clock.left()}.items() if value is not None}
    return optimum(problem, capacity, progress=progress, effort=asked, schemes=schemes)


def _simplest(problem: Problem, capacity: int, known: Budgets) -> Answer:
    """What can be had at once: the best of simple schemes, for a search that Ctrl-C ended before it began."""
    from ilp.baselines import ORDERS, baselines, orders_of_schemes

    schemes = [(order, "belady", how) for order in ORDERS for how in ("linear", "best-fit")]
    rows = baselines(problem, capacity, orders_of_schemes(problem, known.peak.course[0]), schemes)
    best = min(rows, key=lambda row: row.extra_bytes)
    return Answer(best.plan, best.extra_bytes, 0, best.name, placed=True, stopped="interrupted")


def read_capacity(scratchpad: str | int | None, budget: str | None) -> int | None:
    """Whole bytes of ``scratchpad``, rounded down; None where a budget decides.

    Raises:
        ArgumentError: both are given, or less than one byte; UnitError: a text without a unit of size.
    """
    from ilp.budgets import NAMES

    if scratchpad is not None and budget is not None:
        raise ArgumentError("both a scratchpad and a budget are given", where="--budget", hint="give one of them")
    if budget is not None and budget not in NAMES:
        from hwspecs.vocabulary.suggest import did_you_mean

        raise ArgumentError(f"unknown budget {budget!r}", where="--budget", hint=did_you_mean(budget, NAMES))
    if scratchpad is None:
        return None
    size = float(scratchpad) if isinstance(scratchpad, int) else parse_quantity(scratchpad, "bytes")
    if size < 1 or isinstance(scratchpad, bool):
        raise ArgumentError(f"{scratchpad!r} is less than one byte", where="--scratchpad", hint='write "2 MiB"')
    return int(size)


def load_graph(model: str | Path | OperatorGraph, loading: Mapping[str, Any], passes: Mapping[str, bool]) -> OperatorGraph:
    """The graph behind a schedule: unfused, with the passes asked for."""
    from workloads.passes import explicit_padding, split_attention

    if isinstance(model, OperatorGraph):
        graph = model
    else:
        asked = {key: value for key, value in loading.items() if value not in (None, {})}
        graph = load_model(str(model), fuse=False, **asked)
    if passes.get("explicit_padding"):
        graph = explicit_padding(graph)
    if passes.get("split_attention"):
        graph = split_attention(graph)
    return graph


def kinds_of(graph: OperatorGraph) -> dict[str, str]:
    """Operator name to kind, of a graph whose repeats are written out as the problem has them."""
    from workloads.passes.unroll import unrolled

    while any(isinstance(node, Repeat) for node in graph.nodes):
        graph = unrolled(graph)
    return {node.name: node.kind for node in graph.nodes if isinstance(node, Operator)}
