"""The schedule of the fewest cycles: residencies, order and alternatives chosen by playing.

Between operators there is a barrier, so the cycles of a block are the sum over its operators, each of which depends on its alternative
and on what it finds on chip or need not store. That is the form that ``ilp.mapped`` minimises, here with cycles as they are played in place
of bytes.
"""

from __future__ import annotations

from dataclasses import replace

from ilp.bits import bits
from ilp.mapped import optimal_schedule, priced_schedule
from ilp.parts import without_parts
from ilp.residency import BlockProblem
from ilp.residency_search import SHIFT, Prices
from ilp.schedule import Schedule
from ilp.trivial import trivial_schedule
from mappings.dataflow import MappedGraph
from simulator.lowering import Flow, Lowering
from simulator.play import play
from simulator.ports import Ports
from simulator.program import build_program, play_program

WIDTH = 64
"""States kept a step: what a residency costs in cycles is known only once it is played, so sweeps by cycles cannot look ahead."""


def fastest_schedule(mapped: MappedGraph, *, fidelity: str = "tile", known: Schedule | None = None) -> Schedule:
    """The fastest, as played, of the trivial schedule, the one of the fewest bytes, and one that was searched by cycles.

    Its ``lower_bound_bytes`` is that of the fewest bytes.

    Args:
        fidelity: ``tile`` or ``cycle``: the rung that is played (``roofline`` plays as ``tile``).
        known: takes the place of the trivial one.

    Raises:
        InfeasibleError: no alternative of an operator fits the on-chip memory; names the operator.
    """
    ports = Ports(mapped.hardware) if fidelity == "cycle" else None
    fewest = optimal_schedule(mapped)
    candidates = (known or trivial_schedule(mapped), fewest, priced_schedule(mapped, _Played(mapped, ports).prices, width=WIDTH))
    cycles = [play_program(build_program(mapped, one, ports))[0] for one in candidates]
    number = min(range(len(candidates)), key=lambda n: (cycles[n], candidates[n].extra_bytes, n))
    best = candidates[number]
    what = (candidates[0].method, "fewest bytes", "searched by cycles")[number]
    bound = fewest.lower_bound_bytes
    return replace(best, method=f"fastest as played: {what}", lower_bound_bytes=bound, proven=best.extra_bytes == bound)


class _Played:
    """Prices in cycles; flows that play alike are played once."""

    def __init__(self, mapped: MappedGraph, ports: Ports | None) -> None:
        self.mapped = mapped
        self.lowering = Lowering(mapped.hardware, ports)
        self.known: dict[object, int] = {}

    def prices(self, number: int, problem: BlockProblem) -> Prices:
        """See ``ilp.mapped.Pricing``."""
        operators = self.mapped.blocks[number].operators
        rows: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}

        def prices(operator: int, kept_reads: int, kept_writes: int) -> list[tuple[int, int, int]]:
            key = (operator, kept_reads, kept_writes)
            found = rows.get(key)
            if found is not None:
                return found
            item = operators[operator]
            writes = frozenset(problem.held[n].name for n in bits(kept_writes))
            reads = frozenset(problem.held[n].name for n in bits(kept_reads) if not problem.held[n].part)
            choices = problem.choices[operator]
            flows = []
            for pick, choice in choices:
                alternative = item.alternatives[pick]
                parts = [(problem.held[n].name, choice.loads.get(n, 0)) for n in bits(kept_reads) if problem.held[n].part]
                if parts:
                    alternative = without_parts(alternative, parts, self.lowering.off_chip.keys())
                flows.append(self.lowering.lower(item.operator, alternative, reads, writes).flow)
            found = []
            for (pick, choice), spent in zip(choices, self._cycles(item.operator, flows), strict=True):
                moved = choice.own + sum(nbytes for n, nbytes in choice.loads.items() if not kept_reads >> n & 1)
                moved += sum(nbytes for n, nbytes in choice.stores.items() if not kept_writes >> n & 1)
                found.append(((spent << SHIFT) + moved, choice.room, pick))
            rows[key] = found = sorted(found)
            return found

        return prices

    def _cycles(self, name: str, flows: list[Flow]) -> list[int]:
        new = [flow for flow in flows if flow.key not in self.known]
        for flow, outcome in zip(new, play(new, [name] * len(new)) if new else (), strict=True):
            self.known[flow.key] = outcome.cycles
        return [self.known[flow.key] for flow in flows]
