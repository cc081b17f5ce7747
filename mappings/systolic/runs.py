"""Run-length encoded firings of one stage of a tiled loop nest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hwspecs.vocabulary.records import dataclass
from mappings.dataflow import Segment, Transfer

RUNS_LIMIT = 24
"""Runs of unequal firings that a stage may hold. Beyond it the firings of a stage are made equal, its totals kept exact."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop over tiles: the group it moves and its (how many, points) in order."""

    group: str
    variants: tuple[tuple[int, int], ...]


Sizes = dict[str, int]
Runs = list[tuple[int, int]]


def runs(loops: Sequence[Loop], value: Callable[[Sizes], int]) -> Runs:
    """(repeat, value) of the firings of a loop nest, in order, equal neighbours merged.

    Args:
        value: of a firing, from the points of its tile per group.
    """
    if all(len(loop.variants) == 1 for loop in loops):
        count = 1
        for loop in loops:
            count *= loop.variants[0][0]
        return [(count, value({loop.group: loop.variants[0][1] for loop in loops}))]
    classes = _classes(loops, value)
    if len({item for _, item in classes}) == 1:
        return [(sum(count for count, _ in classes), classes[0][1])]
    found = _expand(loops, {}, value)
    if found is not None:
        return found
    return spread(sum(count * item for count, item in classes), sum(count for count, _ in classes))


def product_runs(loops: Sequence[tuple[tuple[int, int], ...]]) -> Runs:
    """As ``runs``, for a value that is a product of one factor per loop: ``loops`` holds (how many, factor) per loop, in order."""
    count, common = 1, 1
    unequal = False
    for variants in loops:
        if len(variants) == 1:
            count *= variants[0][0]
            common *= variants[0][1]
        elif variants[0][1] == variants[1][1]:
            count *= variants[0][0] + variants[1][0]
            common *= variants[0][1]
        else:
            unequal = True
    if not unequal:
        return [(count, common)]
    found: Runs = [(1, 1)]
    for variants in reversed(loops):
        longer = _repeated(variants, found)
        if longer is None:
            total, firings = 1, 1
            for each in loops:
                total *= sum([repeat * factor for repeat, factor in each])
                firings *= sum([repeat for repeat, _ in each])
            return spread(total, firings)
        found = longer
    return found


def _repeated(variants: tuple[tuple[int, int], ...], inner: Runs) -> Runs | None:
    """``inner`` repeated and scaled by each variant in turn; None where that makes too many runs."""
    result: Runs = []
    for repeat, factor in variants:
        scaled_inner = [(count, value * factor) for count, value in inner]
        if len(inner) == 1:
            scaled_inner = [(scaled_inner[0][0] * repeat, scaled_inner[0][1])]
        elif len(inner) * repeat + len(result) > RUNS_LIMIT:
            return None
        else:
            scaled_inner = scaled_inner * repeat
        for run in scaled_inner:
            if result and result[-1][1] == run[1]:
                result[-1] = (result[-1][0] + run[0], run[1])
            else:
                result.append(run)
    return result if len(result) <= RUNS_LIMIT else None


def spread(total: int, firings: int) -> Runs:
    """``total`` over ``firings`` as evenly as whole numbers allow, the larger ones first."""
    each, more = divmod(total, firings)
    return [item for item in ((more, each + 1), (firings - more, each)) if item[0]]


def scaled(weights: Runs, total: int) -> Runs:
    """Firings in the proportions of ``weights`` that sum to ``total`` exactly."""
    if len(weights) == 1:
        return spread(total, weights[0][0])
    weight = sum([repeat * item for repeat, item in weights])
    if weight == total:
        return weights
    if weight == 0:
        return spread(total, sum(repeat for repeat, _ in weights))
    result = [(repeat, item * total // weight) for repeat, item in weights]
    short = total - sum([repeat * item for repeat, item in result])
    place = max((index for index in range(len(result)) if weights[index][1]), key=lambda index: result[index][0])
    repeat, item = result[place]
    each, more = divmod(short, repeat)
    result[place : place + 1] = [run for run in ((more, item + each + 1), (repeat - more, item + each)) if run[0]]
    return result


def _classes(loops: Sequence[Loop], value: Callable[[Sizes], int]) -> list[tuple[int, int]]:
    found: list[tuple[int, Sizes]] = [(1, {})]
    for loop in loops:
        found = [(count * repeat, {**sizes, loop.group: size}) for count, sizes in found for repeat, size in loop.variants]
    return [(count, value(sizes)) for count, sizes in found]


def _expand(loops: Sequence[Loop], sizes: Sizes, value: Callable[[Sizes], int]) -> Runs | None:
    if not loops:
        return [(1, value(sizes))]
    result: Runs = []
    for repeat, size in loops[0].variants:
        inner = _expand(loops[1:], {**sizes, loops[0].group: size}, value)
        if inner is None or len(inner) * (repeat if len(inner) > 1 else 1) + len(result) > RUNS_LIMIT:
            return None
        for run in [(inner[0][0] * repeat, inner[0][1])] if len(inner) == 1 else inner * repeat:
            if result and result[-1][1] == run[1]:
                result[-1] = (result[-1][0] + run[0], run[1])
            else:
                result.append(run)
    return result


def moving(
    firings: Runs, sources: Sequence[tuple[str, float]], source: str, target: str, totals: Mapping[str, int], access_bytes: int = 0
) -> tuple[Segment, ...]:
    """Segments of a port stage that moves ``firings`` bytes of one tensor, or of several whose ``totals`` are kept exactly.

    Args:
        access_bytes: length of one contiguous piece, of one tensor alone.
    """
    if len(sources) == 1:
        name = sources[0][0]
        return tuple(
            [Segment(repeat, 0, (Transfer(name, size, source, target, access_bytes),) if size else ()) for repeat, size in firings]
        )
    parts = [(name, scaled(firings, totals[name])) for name, _ in sources]
    return zipped([(name, part) for name, part in parts], source, target)


def zipped(parts: Sequence[tuple[str, Runs]], source: str, target: str, access_bytes: int = 0) -> tuple[Segment, ...]:
    """Segments whose firings move several tensors, each with runs of its own over the same number of firings."""
    if len(parts) == 1:
        return moving(parts[0][1], ((parts[0][0], 1.0),), source, target, {}, access_bytes)
    left = [list(part) for _, part in parts]
    segments = []
    while left and left[0]:
        step = min(queue[0][0] for queue in left)
        transfers = tuple(Transfer(name, queue[0][1], source, target) for (name, _), queue in zip(parts, left, strict=True) if queue[0][1])
        segments.append(Segment(step, 0, transfers))
        for queue in left:
            repeat, size = queue[0]
            queue[0:1] = [(repeat - step, size)] if repeat > step else []
    return tuple(segments)


def computing(firings: Runs) -> tuple[Segment, ...]:
    """Segments of a stage on a unit that moves nothing off chip."""
    return tuple(Segment(repeat, cycles) for repeat, cycles in firings)
