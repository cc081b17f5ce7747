"""The portfolio: the best plan that a bounded effort finds, and the best bound that it proves.

Each part between clean cuts is solved by itself, equal parts once. A part is swept by the down-set program with ever wider layers; each
sweep looks only for plans that are cheaper than the best so far, so the sweep that leaves nothing out and finds none is the proof. What all
cheaper plans keep (``ilp.precedences``) is added to the part before it is swept again. What the narrow sweeps leave open is bounded by what
crosses each operator (``ilp.order_model``), once the gap model has found the optimal replacement for the best order and for program order.
Between sweeps, windows of the best plan's steps are searched anew (``ilp.windows``): a cheaper plan leaves the next sweep less to look at.
What is unproven in the end goes to the gap model again, and to the joint model, which starts from the best plan and may find a better order
or prove that there is none.

Effort is counted in states and in nodes, so that the same input gives the same plan on every machine; a wall-clock limit is a last resort,
and an answer that it (or Ctrl-C) cut short says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from ilp.atomic import check_fits
from ilp.decompose import Segment, joined, segments
from ilp.downset import NO_LIMIT, Tables, plan_of, sweep, tables_of
from ilp.modelling import MOST_WINDOWS, NOTHING, Found, bounded, jointly, preferred, replaced, windows
from ilp.precedences import tightened
from ilp.problem import Answer, Problem
from ilp.recount import recount
from ilp.solver import CP_SAT, HIGHS, Effort, check_installed
from ilp.windows import SPANS, improved

WIDTHS = (16, 256, 4_096, 65_536, 524_288)
"""States kept a layer, sweep after sweep."""
STATES = 20_000_000
"""States that all sweeps of all parts may look at, unless the caller says otherwise; about a minute."""
WINDOWED = 8
"""After each sweep but the narrowest, windows of a part may look at one state for so many that the sweeps may look at in all."""
SMALL = 40
"""Operators of parts that are swept twice, which is quick, before a linear model is made of them."""
NODES = 200
"""Nodes that a solver may spend on each model of each part, unless the caller says otherwise."""
METHODS = ("auto", "downset", "joint", "gap", "timed", "cp-sat")
MOST_TIMED = 200_000
"""Pairs of items times steps beyond which the time-indexed model is refused."""

Progress = Callable[[str], None]


@dataclass(slots=True)
class _Sought:
    """The plans of a part that move fewer than ``limit`` bytes: its problem with what they all keep, and whether models bounded them."""

    limit: int
    problem: Problem
    tables: Tables
    bounded: bool = False


@dataclass(slots=True)
class _Search:
    """A search under way: what it may spend, has spent (states of sweeps, and of windows apart), and knows of each part."""

    problem: Problem
    capacity: int
    parts: tuple[Segment, ...]
    states: int
    nodes: int
    deadline: float | None
    solver: str | None
    progress: Progress | None
    found: dict[Hashable, Found] = field(default_factory=dict)
    tables: dict[Hashable, Tables] = field(default_factory=dict)
    sought: dict[Hashable, _Sought] = field(default_factory=dict)
    replaced: set[Hashable] = field(default_factory=set)
    spent: int = 0
    windowed: int = 0

    def open(self) -> list[Segment]:
        """The distinct parts that are not proven."""
        return [part for part in {part.key: part for part in self.parts}.values() if not self.known(part).proven]

    def known(self, part: Segment) -> Found:
        """What is known of a part."""
        return self.found.get(part.key, NOTHING)

    def tables_of(self, part: Segment) -> Tables:
        """The down-set program's arrays of a part, made once."""
        if part.key not in self.tables:
            self.tables[part.key] = tables_of(part.problem, self.capacity)
        return self.tables[part.key]

    def over(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def left(self) -> Effort:
        """What the next model may spend."""
        if self.deadline is None:
            return Effort(self.nodes, None)
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise _OutOfTimeError
        return Effort(self.nodes, seconds)


class _OutOfTimeError(Exception):
    """The time is up."""


def solve(
    problem: Problem, capacity: int, *, states: int = STATES, seconds: float | None = None, progress: Progress | None = None,
    method: str = "auto", solver: str | None = None, nodes: int = NODES,
) -> Answer:  # fmt: skip
    """The best plan of an atomic problem that the effort finds, not placed yet (but by the time-indexed model, which places it).

    Args:
        states: effort of the down-set program. nodes: effort of a solver, for each model of each part.
        seconds: wall-clock limit; the answer says if it was hit, and may differ from run to run then.
        progress: called with a line of text now and then.
        method: ``auto``: sweeps, then models for what they leave unproven. ``downset``: sweeps alone. ``joint``, ``cp-sat``: the joint
            model on each part, from the plan of a narrow sweep. ``gap``: the optimal replacement for the order of a narrow sweep.
            ``timed``: COSMA's time-indexed model with addresses, for small problems.
        solver: ``highs``, ``cbc``, ``cp-sat`` or any that PuLP lists. None: HiGHS, but CP-SAT for the joint model of ``auto`` where ortools
            is installed.

    Raises:
        InfeasibleError: an operator does not fit by itself; names it.
        ArgumentError: no such method. UnknownNameError: no such solver.
        UnsupportedError: the solver is not installed, or the problem is too large for the time-indexed model.
    """
    if method not in METHODS:
        raise ArgumentError(f"no method is called {method!r}", hint=f"one of {', '.join(METHODS)}")
    check_fits(problem, capacity)
    if solver is not None or method == "cp-sat":
        check_installed(CP_SAT if method == "cp-sat" else solver or HIGHS)
    if method == "timed":
        return _timed(problem, capacity, solver, Effort(nodes, seconds))
    deadline = time.monotonic() + seconds if seconds is not None else None
    if method in ("joint", "gap", "cp-sat"):
        solver = CP_SAT if method == "cp-sat" else solver or HIGHS
    search = _Search(problem, capacity, segments(problem), states, nodes, deadline, solver, progress)
    stopped = ""
    try:
        sweeping = method in ("auto", "downset")
        stopped = _sweeps(search, WIDTHS if sweeping else WIDTHS[:1], bounds=sweeping, models=method == "auto")
        if method != "downset":
            stopped = _models(search, method) or stopped or ("order not searched" if method == "gap" else "")
    except _OutOfTimeError:
        stopped = "time limit"
    except KeyboardInterrupt:
        stopped = "interrupted"
    return _answer(search, stopped)


def _sweeps(search: _Search, widths: tuple[int, ...], *, bounds: bool, models: bool = False) -> str:
    """Sweep all open parts, ever wider; why it stopped, or nothing. Without ``bounds`` only the plans are taken.

    Args:
        models: the order model bounds what the first sweep leaves open of large parts, and the second of small ones.
    """
    for number_of_width, width in enumerate(widths):
        todo = search.open()
        for number, part in enumerate(todo):
            modelled = models and number_of_width > (len(part.problem.tasks) <= SMALL)
            sought = _ready(search, part, modelled)
            if sought is None:
                continue
            first = not number_of_width  # the narrowest is quick, and without it there is no plan
            told = _telling(search, f"part {number + 1} of {len(todo)}, width {width}", timed=not first)
            known = _swept(search, part, sought, width, told, None if first else search.over)
            search.found[part.key] = known if bounds else replace(known, bound_bytes=0)
            search.spent += known.states
            if not first and len(part.problem.tasks) > SPANS[0] and _ready(search, part, modelled) is not None:
                search.found[part.key] = _windowed(search, part, search.known(part))
        if search.spent >= search.states:
            return "state limit" if search.open() else ""
    return ""


def _ready(search: _Search, part: Segment, modelled: bool) -> _Sought | None:
    """What is sought of a part, bounded by models if ``modelled``; None once it is proven."""
    sought = _sought(search, part)
    if sought is not None and modelled:
        sought = _bounded(search, part, sought)
    return None if search.known(part).proven else sought


def _sought(search: _Search, part: Segment) -> _Sought | None:
    """What plans of a part keep that are cheaper than the one known; None if that shows that there are none."""
    known = search.known(part)
    if known.course is None:
        return _Sought(NO_LIMIT, part.problem, search.tables_of(part))
    sought = search.sought.get(part.key) or _Sought(NO_LIMIT, part.problem, search.tables_of(part))
    if sought.limit != known.extra_bytes:
        problem = tightened(sought.problem, search.capacity, known.extra_bytes)
        if problem is None:
            search.found[part.key] = replace(known, bound_bytes=known.extra_bytes, bound_by="precedences of cheaper plans")
            return None
        if problem is not sought.problem:
            sought = _Sought(known.extra_bytes, problem, tables_of(problem, search.capacity))
        sought.limit = known.extra_bytes
        search.sought[part.key] = sought
    return sought


def _bounded(search: _Search, part: Segment, sought: _Sought) -> _Sought | None:
    """What is sought of a part, with its bound by the order model; the first time, optimal replacement makes what is known better."""
    if sought.bounded:
        return sought
    if search.progress is not None:
        search.progress(f"{search.problem.name}: replacement and order model of {len(part.problem.tasks)} operators")
    with suppress(UnsupportedError):  # no solver installed: the sweeps go on without it
        if part.key not in search.replaced:
            search.replaced.add(part.key)
            for order in (None, tuple(range(len(part.problem.tasks)))):
                search.found[part.key] = replaced(part.problem, search.capacity, search.known(part), search.solver, search.left(), order)
                if search.found[part.key].stopped == "interrupted":
                    raise KeyboardInterrupt
        better = _sought(search, part)
        if better is None:
            return None
        better.bounded = True
        search.found[part.key] = bounded(better.problem, search.capacity, search.known(part), search.solver, search.left())
        return better
    return sought


def _windowed(search: _Search, part: Segment, known: Found) -> Found:
    """What is known of a part after windows of its course were searched anew."""
    if known.course is None:
        return known

    def tell(step: int, steps: int, states: int) -> bool:
        if search.progress is not None:
            search.progress(f"{search.problem.name}: windows from step {step} of {steps}, {states} states")
        return search.over()

    states = max(1, search.states // WINDOWED)
    tables = search.tables_of(part)
    found = improved(part.problem, search.capacity, known.course, states=states, progress=tell, over=search.over, tables=tables)
    search.windowed += found.states
    if found.extra_bytes >= known.extra_bytes:
        return known
    return replace(known, course=found.course, extra_bytes=found.extra_bytes, plan_by=f"windows of a {_beam(known.width)}")


def _beam(width: int) -> str:
    return f"down-set beam of {width} states"


def _models(search: _Search, method: str) -> str:
    """Models for all open parts; why the last one stopped, or nothing."""
    stopped = ""
    todo = search.open()
    for number, part in enumerate(todo):
        for model in (replaced, jointly):
            known = search.known(part)
            if known.proven or (model is replaced and method in ("joint", "cp-sat")) or (model is jointly and method == "gap"):
                continue
            sought = _sought(search, part) if model is jointly and method == "auto" else None
            problem = part.problem if sought is None else sought.problem
            if search.known(part).proven or (sought and windows(problem) > MOST_WINDOWS[preferred(search.solver) == CP_SAT]):
                continue
            if search.progress is not None:
                name = "joint model" if model is jointly else "optimal replacement"
                search.progress(f"{search.problem.name}: part {number + 1} of {len(todo)}, {name}, up to {search.nodes} nodes")
            found = search.found[part.key] = model(problem, search.capacity, known, search.solver, search.left())
            stopped = found.stopped or stopped
            if found.stopped == "interrupted":
                raise KeyboardInterrupt
    return stopped


def _timed(problem: Problem, capacity: int, solver: str | None, effort: Effort) -> Answer:
    from ilp.timed_model import solve_timed

    size = len(problem.tasks) * len(problem.items) ** 2
    if size > MOST_TIMED:
        hint = "take another method, which places its plan afterwards"
        raise UnsupportedError(f"too large for the time-indexed model ({size} pairs of items over time)", where=problem.name, hint=hint)
    told = solve_timed(problem, capacity, solver=solver or HIGHS, effort=effort)
    spent = {"nodes": told.nodes, "rows": told.rows, "columns": told.columns}
    name = f"time-indexed model by {told.solver}" if told.plan is not None else "none found"
    placed = told.plan is not None and bool(problem.private)
    return Answer(told.plan, told.extra_bytes, max(0, told.bound_bytes), name, placed, spent, told.stopped)


def _telling(search: _Search, what: str, *, timed: bool) -> Callable[[int, int, int], bool]:
    """What a sweep calls after each layer; its answer says that the time is up, so that the sweep ends as narrow as it can."""
    told = time.monotonic()

    def tell(layer: int, layers: int, states: int) -> bool:
        nonlocal told
        late = timed and search.over()
        if late and layer == 1:
            raise _OutOfTimeError
        if search.progress is not None and time.monotonic() - told > 1.0:
            told = time.monotonic()
            search.progress(f"{search.problem.name}: {what}: step {layer} of {layers}, {states} states")
        return late

    return tell


def _swept(
    search: _Search, part: Segment, sought: _Sought, width: int, tell: Callable[[int, int, int], bool], over: Callable[[], bool] | None
) -> Found:
    """What is known of a part after one more sweep."""
    known, states = search.known(part), max(1, search.states - search.spent)
    swept = sweep(
        sought.problem, search.capacity, width=width, limit=sought.limit, state_limit=states, progress=tell, over=over, tables=sought.tables
    )
    if 0 < swept.bound_bytes < NO_LIMIT and swept.bound_bytes > known.bound_bytes:
        known = replace(known, bound_bytes=swept.bound_bytes, bound_by="")
    if swept.order is not None:
        known = replace(known, course=(swept.order, swept.kept), extra_bytes=swept.extra_bytes, width=width, plan_by="")
    if known.course is not None:
        known = replace(known, bound_bytes=min(known.bound_bytes, known.extra_bytes))
    return replace(known, states=swept.states, width=known.width or width)


def _answer(search: _Search, stopped: str) -> Answer:
    known = [search.known(part) for part in search.parts]
    distinct = {part.key: search.known(part) for part in search.parts}
    effort = {"states": search.spent + search.windowed, "nodes": sum(found.nodes for found in distinct.values())}
    effort |= {"parts": len(search.parts), "distinct_parts": len(distinct)}
    bound = sum(found.bound_bytes for found in known)
    courses = [found.course for found in known if found.course is not None]
    if len(courses) < len(search.parts):
        return Answer(None, -1, bound, "none found", effort=effort, stopped=stopped or "state limit")
    order, kept = joined(search.parts, courses)
    plan = plan_of(search.problem, order, kept)
    extra = recount(search.problem, plan, search.capacity)
    proven = extra == bound
    return Answer(plan, extra, bound, _method(known, proven), effort=effort, stopped="" if proven else stopped or "width limit")


def _method(known: list[Found], proven: bool) -> str:
    """Which methods gave the plan and the bound."""
    beam = _beam(max(found.width for found in known))
    models = sorted({found.plan_by for found in known} - {""})
    bounds = sorted({found.bound_by for found in known} - {""})
    if proven and not models and not bounds:
        return "down-set program"
    swept = [beam] if any(not found.plan_by for found in known) else []
    plan = ", ".join(swept + models)
    if not bounds:
        return f"{plan}, proven by the down-set program" if proven else plan
    return f"{plan}, {'proven' if proven else 'bound'} by the {', '.join(bounds)}"
