"""An independent oracle for tiles on a systolic array: walks the tiled loop nest step by step and counts what moves.

Nothing is shared with the mapper but the choice (tile extents per dimension, loop order): operand boxes are found from the
extreme values of every index over the tile's own points, loads from watching which tile is in the buffer, cycles fold by fold.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product as combinations
from math import ceil, prod


def ranges(dims, tiles):
    """Every tile of a group as {dim: (start, stop)}, in loop order."""
    steps = [[(start, min(start + tiles[name], extent)) for start in range(0, extent, tiles[name])] for name, extent in dims]
    return [dict(zip((name for name, _ in dims), item, strict=True)) for item in combinations(*steps)]


def box(operand, shape, spans):
    """Elements of the operand's box under ``spans`` {dim: (start, stop)}; padding outside the tensor is not counted."""
    size = 1
    for axis, extent in zip(operand.axes, shape, strict=True):
        low = axis.offset + sum(c * (spans[d][0] if c > 0 else spans[d][1] - 1) for d, c in axis.terms)
        high = axis.offset + sum(c * (spans[d][1] - 1 if c > 0 else spans[d][0]) for d, c in axis.terms)
        size *= max(0, min(high, extent - 1) - max(low, 0) + 1)
    return size


def fold_walk(flow, m, n, k, rows, columns):
    """Cycles of one tile: an explicit loop over folds."""
    size = {"m": m, "n": n, "k": k}
    cycles = 0
    for _ in range(0, size[flow.rows], rows):
        for _ in range(0, size[flow.columns], columns):
            cycles += size[flow.time] + (2 * rows if flow.loads else rows) + columns - 2
    return cycles


def walk(nest, shapes, groups, batch, choice, rows, columns):
    """Play the tiled nest of one dense product, one byte per element, four per partial sum, and count.

    Args:
        groups: ``m``, ``n``, ``k`` to [(dim, extent)]; batch: [(dim, extent)].

    Returns:
        dict with ``a``, ``b``, ``out`` (bytes moved), ``spill`` (bytes of partial sums written; ``back``: read), ``cycles``, ``macs``.
    """
    a, b, out = nest.reads[0], nest.reads[1], nest.writes[0]
    tiles = {g: ranges(groups[g], choice.split[g].tiles) for g in "mnk"}
    total = dict.fromkeys(("a", "b", "out", "spill", "back", "cycles", "macs"), 0)
    for index in combinations(*(range(extent) for _, extent in batch)):
        fixed = {name: (value, value + 1) for (name, _), value in zip(batch, index, strict=True)}
        held = {"a": None, "b": None, "out": None}
        started: set = set()
        done: dict = {}

        def leave(key, fixed=fixed, done=done):
            spans = {**fixed, **tiles["m"][key[0]], **tiles["n"][key[1]]}
            size = box(out, shapes[2], spans)
            if done[key] == len(tiles["k"]):
                total["out"] += size
            else:
                total["spill"] += 4 * size

        for step in combinations(*(range(len(tiles[g])) for g in choice.order)):
            at = dict(zip(choice.order, step, strict=True))
            spans = {**fixed, **tiles["m"][at["m"]], **tiles["n"][at["n"]], **tiles["k"][at["k"]]}
            for name, operand, shape, pair in (("a", a, shapes[0], "mk"), ("b", b, shapes[1], "nk")):
                key = tuple(at[g] for g in pair)
                if held[name] != key:
                    total[name] += box(operand, shape, spans)
                    held[name] = key
            key = (at["m"], at["n"])
            if held["out"] != key:
                if held["out"] is not None:
                    leave(held["out"])
                if key in started:
                    total["back"] += 4 * box(out, shapes[2], spans)
                held["out"] = key
                started.add(key)
            done[key] = done.get(key, 0) + 1
            sizes = {g: prod(stop - start for start, stop in tiles[g][at[g]].values()) for g in "mnk"}
            total["macs"] += prod(sizes.values())
            total["cycles"] += fold_walk(choice.flow, sizes["m"], sizes["n"], sizes["k"], rows, columns)
        leave(held["out"])
    return total


def score_twin(flow, order, m, n, k, p, given=0.0):
    """The kernel's score of one candidate, stated again in plain Python. Tables and parameters as the kernel's docstring says."""
    (batch, size_m, size_n, size_k, rows, columns, copies, slow, rate, a_bytes, b_bytes, o_bytes, a_least, b_least, o_least, extra, stores,
     sum_bytes, double, unified, ifmap, filt, ofmap, epilogue, _near, _limit, price, packs, overlaps, fill, loaded_fill) = p  # fmt: skip
    trips = {"m": m[0], "n": n[0], "k": k[0]}
    loops = ("mnk", "mkn", "nkm")[order]
    a_tile, b_tile, o_tile = ceil(m[10] * k[10] * a_bytes), ceil(n[10] * k[12] * b_bytes), ceil(m[12] * n[12] * o_bytes)
    a_pass = max(ceil(batch * m[11] * k[11] * a_bytes), a_least)
    b_pass = max(ceil(batch * n[11] * k[13] * b_bytes), b_least)
    elements = batch * m[13] * n[13]
    o_pass = max(ceil(elements * o_bytes), o_least)

    def outside(still):
        """Trips of the loop that does not move an operand if a loop inside it runs more than once, else 1."""
        inner = loops[loops.index(still) + 1 :]
        return trips[still] if any(trips[g] > 1 for g in inner) else 1

    a_again, b_again = outside("n"), outside("m")
    spill = outside("k") > 1
    spilled = ceil(elements * sum_bytes) * (trips["k"] - 1) if spill else 0
    tiles_out = packs * trips["m"] * trips["n"]
    in_cells = flow == 0 and order == 0 and m[1] <= rows and n[1] <= columns
    wide = (trips["k"] > 1 and not in_cells) or (flow != 0 and k[1] > rows)
    part = {g: min(1, Fraction(int(table[1]), int(whole))) for g, table, whole in (("m", m, size_m), ("n", n, size_n), ("k", k, size_k))}
    leaving = stores if stores >= 0 else o_pass
    a_tile = max(a_tile, ceil(int(a_pass) * part["m"] * part["k"] / int(packs)))
    b_tile = max(b_tile, ceil(int(b_pass) * part["n"] * part["k"] / int(packs)))
    o_tile = max(o_tile, ceil(int(leaving) * part["m"] * part["n"] / int(packs)))
    held = max(ceil(m[12] * n[12] * sum_bytes) if wide else 0, o_tile) + ceil(int(extra) * part["m"] * part["n"] / int(packs))
    deep = 2 if double else 1
    need_a = a_tile * (deep if packs * trips["m"] * trips["k"] * a_again > 1 else 1)
    need_b = b_tile * (deep if packs * trips["n"] * trips["k"] * b_again > 1 else 1)
    need_o = held * (deep if tiles_out > 1 else 1)
    if unified >= 0:
        excess = max(0, need_a + need_b + need_o - unified)
    else:
        excess = max(0, need_a - ifmap) + max(0, need_b - filt) + max(0, need_o - ofmap)
    if spill and epilogue:
        excess = float("inf")
    space = {0: (m, n), 1: (k, n), 2: (k, m), 3: (m, n)}[flow]
    turns = 0
    for count_r, folds_r in ((space[0][4], space[0][6]), (space[0][5], space[0][7])):
        for count_c, folds_c in ((space[1][4], space[1][8]), (space[1][5], space[1][9])):
            turns += count_r * count_c * ceil(folds_r * folds_c / copies)
    time, streamed = {0: (trips["k"], batch * k[14]), 1: (trips["m"], packs * m[14]), 2: (trips["n"], batch * n[14]), 3: (0, 0)}[flow]
    if flow == 0 and order == 0 and m[1] <= rows and n[1] <= columns:
        time = 1
    ramp = fill if flow == 0 else loaded_fill
    cycles = given if flow == 3 else turns * (streamed + packs * time * ramp) * slow
    out_moved = (stores if stores >= 0 else o_pass) + extra
    if overlaps:
        out_moved = (stores if stores >= 0 else o_least) + extra + 2 * ceil(max(0, elements - o_least // o_bytes) * sum_bytes)
    moved = a_pass * a_again + b_pass * b_again + out_moved + 2 * spilled
    firings = packs * trips["m"] * trips["n"] * trips["k"]
    loads = {
        "a": (packs * trips["m"] * trips["k"] * a_again, a_pass * a_again),
        "b": (packs * trips["n"] * trips["k"] * b_again, b_pass * b_again),
    }
    sums = (tiles_out * max(1, trips["k"] - 1), spilled)
    streams = [*loads.values(), (tiles_out, out_moved - extra), (tiles_out, extra), sums, sums]
    busy = sum(times * ceil(size / (times * rate)) for times, size in streams)
    if flow == 0 and trips["k"] > 1 and not wide:
        busy += tiles_out * max(0, ramp * slow - deep * busy / firings)
    estimate = max(cycles, busy) + (a_tile + b_tile + o_tile) / rate
    return (estimate, moved, need_a + need_b + need_o, excess, firings, estimate + price * (moved / rate + cycles))
