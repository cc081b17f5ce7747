"""One layer of the down-set program of memory scheduling: every plan prefix of t operators to those of t + 1.

A state is what of a prefix matters for its future: D, the operators that ran; K, the live items in the scratchpad; W, the live items with a
copy off chip although nobody asked for one; its cost. Items are dropped lazily: only when the next operator does not fit, only
inclusion-minimal sets, and a drop is charged at once with the fetch that must follow it (and the store, the first time). Sets are bits in
64-bit words. The formulation, and why lazy dropping loses nothing, is that of the gap lemma (``ilp.downset``).
"""

from __future__ import annotations

import numpy as np
from numba import njit

ONE = np.uint64(1)
MOST_COMPARED = 400
"""States of the same down-set that a new one is compared with. Not to find that one is needless costs time and never truth."""


@njit(cache=True)
def _has(words, bit):  # type: ignore[no-untyped-def]
    return (words[bit >> 6] >> np.uint64(bit & 63)) & ONE != 0


@njit(cache=True)
def _drop_price(item, copies, size, stored):  # type: ignore[no-untyped-def]
    """Fetching the item again, and storing it first if no copy is off chip."""
    if stored[item] or _has(copies, item):
        return size[item]
    return 2 * size[item]


@njit(cache=True)
def _covers(big, small):  # type: ignore[no-untyped-def]
    missing = np.uint64(0)
    for word in range(len(small)):
        missing |= small[word] & ~big[word]
    return missing == 0


@njit(cache=True)
def _hash(words):  # type: ignore[no-untyped-def]
    value = np.uint64(1469598103934665603)
    for word in words:
        value = (value ^ word) * np.uint64(1099511628211)
        value ^= value >> np.uint64(29)
    return value


@njit(cache=True)
def _dominates(kept_a, copies_a, cost_a, kept_b, copies_b, cost_b, size, stored):  # type: ignore[no-untyped-def]
    """Whether state A can follow every future of B at no more cost: it drops what B does not hold, and stores what B had stored."""
    if cost_a > cost_b:
        return False
    paid = cost_a
    for word in range(len(kept_a)):
        drop = kept_a[word] & ~kept_b[word]
        copy = copies_b[word] & ~copies_a[word] & ~drop
        both = drop | copy
        if not both:
            continue
        for bit in range(64):
            mark = ONE << np.uint64(bit)
            if drop & mark:
                item = word * 64 + bit
                paid += size[item] if stored[item] or copies_a[word] & mark else 2 * size[item]
            elif copy & mark:
                paid += size[word * 64 + bit]
        if paid > cost_b:
            return False
    return paid <= cost_b


@njit(cache=True)
def _safe(v, done, kept, copies, held, reads, read_at, writes, write_at, users, size, stored, phi, capacity):  # type: ignore[no-untyped-def]
    """Whether running ``v`` now loses nothing: it fits without a drop, all it reads is there, and what it leaves can take the place of an
    operand that dies here, at no higher price of dropping (exchange argument in ``ilp.downset``)."""
    need = phi[v] + held
    for place in range(read_at[v], read_at[v + 1]):
        item = reads[place]
        if not _has(kept, item):
            return False
        need -= size[item]
    if need > capacity:
        return False
    left = np.int64(0)
    price = np.int64(0)
    for place in range(write_at[v], write_at[v + 1]):
        item = writes[place]
        left += size[item]
        price += size[item] if stored[item] else 2 * size[item]
    if left == 0:
        return True
    for place in range(read_at[v], read_at[v + 1]):
        item = reads[place]
        if size[item] < left or _drop_price(item, copies, size, stored) < price:
            continue
        last = True
        for word in range(len(done)):
            rest = users[item, word] & ~done[word]
            if word == v >> 6:
                rest &= ~(ONE << np.uint64(v & 63))
            if rest:
                last = False
        if last:
            return True
    return False


@njit(cache=True)
def _to_come(done, kept, copies, hard_item, hard_at, forced, gate, size, stored):  # type: ignore[no-untyped-def]
    """Bytes that every future of a state still pays: fetches of items that cannot stay while an operator to come runs (``ilp.downset``)."""
    total = np.int64(0)
    for number in range(len(hard_item)):
        item = hard_item[number]
        count = 0
        absent = False
        for place in range(hard_at[number], hard_at[number + 1]):
            if _has(done, forced[place]):
                continue
            if count == 0:
                absent = _covers(done, gate[place]) and not _has(kept, item)  # its drop is paid for already
            count += 1
        if absent:
            count -= 1
        total += count * size[item]
        if count > 0 and not stored[item] and not absent and not _has(copies, item):
            total += size[item]
    return total


@njit(cache=True)
def expand(  # type: ignore[no-untyped-def]
    first, made, effort, table, chain, done, kept, copies, cost, held, least_of, before, reads, read_at, writes, write_at, users, size,
    stored, phi, hard_item, hard_at, forced, gate, capacity, limit, most_drops, out_done, out_kept, out_copies, out_cost, out_least,
    out_held, out_parent, out_op, out_alive,
):  # fmt: skip
    """Successors of the states of one layer from state ``first`` on, dominated ones marked dead, until so many states were looked at.

    A layer is worked through in several calls, so that its caller can look at the clock; what they make does not depend on where one ends.

    Args:
        first, made: states worked through and successors made by the calls before. effort: states to look at (a parent is finished).
        table, chain: hash table of the successors (a power of two of slots, -1 at first), and the next of each in its slot.
        done, kept, copies: (states, words) sets D, K, W. cost, held, least_of: (states,) bytes paid so far, bytes of K, least bytes that
            are paid in the end.
        before: (operators, words) predecessors; ``users``: (items, words) operators that read an item.
        reads, read_at, writes, write_at: items of each operator, as compressed rows.
        size, stored: per item; ``phi``: bytes of each operator with its operands; ``capacity``: bytes of the scratchpad.
        hard_item, hard_at, forced, gate: items with the operators that they cannot outlast, in order (compressed rows), and for each of
            these the maker and users of the item that come before it, (places, words).
        most_drops: minimal drop sets that one step tries; with more the layer counts as truncated.
        limit: states whose least cost (paid and to come) is this or more are not made.
        out_*: room for the successors.

    Returns:
        (states worked through, successors made, both with the calls before; states looked at, whether some successors were left out, least
        cost of one that was left out, in this call).
    """
    states, words = done.shape
    item_words = kept.shape[1]
    operators = len(phi)
    room = len(out_cost)
    table_size = len(table)
    looked = 0
    truncated = False
    least_left_out = np.int64(1) << 62
    new_done = np.empty(words, np.uint64)
    new_kept = np.empty(item_words, np.uint64)
    new_copies = np.empty(item_words, np.uint64)
    others = np.empty(len(size), np.int64)
    rest = np.empty(len(size) + 1, np.int64)
    taken = np.zeros(len(size), np.bool_)
    next_use = np.zeros(len(size), np.int64)
    ready = np.empty(operators, np.int64)
    state = first
    while state < states and looked < effort:
        count = 0
        only = -1
        for v in range(operators):
            if _has(done[state], v) or not _covers(done[state], before[v]):
                continue
            if _safe(
                v, done[state], kept[state], copies[state], held[state], reads, read_at, writes, write_at, users, size, stored, phi,
                capacity,
            ):  # fmt: skip
                only = v
                break
            ready[count] = v
            count += 1
        if only >= 0:
            ready[0] = only
            count = 1
        for number in range(count):
            v = ready[number]
            need = phi[v] + held[state]
            for place in range(read_at[v], read_at[v + 1]):
                if _has(kept[state], reads[place]):
                    need -= size[reads[place]]
            for word in range(words):
                new_done[word] = done[state, word]
            new_done[v >> 6] |= ONE << np.uint64(v & 63)
            excess = need - capacity
            candidates = 0
            if excess > 0:
                for item in range(len(size)):
                    if not _has(kept[state], item):
                        continue
                    operand = False
                    for place in range(read_at[v], read_at[v + 1]):
                        if reads[place] == item:
                            operand = True
                    if not operand:
                        others[candidates] = item
                        candidates += 1
                        next_use[item] = operators
                        for user in range(operators):
                            if _has(users[item], user) and not _has(done[state], user):
                                next_use[item] = user
                                break
                for a in range(1, candidates):  # largest first, of equal ones the one used last, so that the promising drop sets come early
                    item, b = others[a], a - 1
                    while b >= 0 and (
                        size[others[b]] < size[item] or (size[others[b]] == size[item] and next_use[others[b]] < next_use[item])
                    ):
                        others[b + 1] = others[b]
                        b -= 1
                    others[b + 1] = item
            rest[candidates] = 0
            for a in range(candidates - 1, -1, -1):
                rest[a] = rest[a + 1] + size[others[a]]
                taken[a] = False
            if excess > rest[0]:
                continue  # nothing left to drop and still too large
            # depth-first over the candidates, largest first: take or leave each, until what is taken covers the excess. The one taken
            # last is the smallest, and without it the rest does not cover the excess: each set found is inclusion-minimal.
            depth = 0
            dropped = np.int64(0)
            tried = 0
            while True:
                if dropped >= excess:
                    tried += 1
                    looked += 1
                    paid = cost[state]
                    for word in range(item_words):
                        new_kept[word] = kept[state, word]
                        new_copies[word] = copies[state, word]
                    stay = held[state] - dropped
                    for a in range(depth):
                        if taken[a]:
                            item = others[a]
                            paid += _drop_price(item, copies[state], size, stored)
                            new_kept[item >> 6] &= ~(ONE << np.uint64(item & 63))
                            if not stored[item]:
                                new_copies[item >> 6] |= ONE << np.uint64(item & 63)
                    for place in range(write_at[v], write_at[v + 1]):
                        item = writes[place]
                        new_kept[item >> 6] |= ONE << np.uint64(item & 63)
                        stay += size[item]
                    for place in range(read_at[v], read_at[v + 1]):
                        item = reads[place]
                        mark = ONE << np.uint64(item & 63)
                        if not new_kept[item >> 6] & mark:
                            new_kept[item >> 6] |= mark
                            stay += size[item]
                        if _covers(new_done, users[item]):
                            new_kept[item >> 6] &= ~mark
                            new_copies[item >> 6] &= ~mark
                            stay -= size[item]
                    least = paid + _to_come(new_done, new_kept, new_copies, hard_item, hard_at, forced, gate, size, stored)
                    if least < limit:
                        slot = np.int64(_hash(new_done) & np.uint64(table_size - 1))
                        at = table[slot]
                        dominated = False
                        link = np.int64(-1)
                        compared = 0
                        while at >= 0 and compared < MOST_COMPARED:
                            if out_alive[at]:
                                same = True
                                for word in range(words):
                                    if out_done[at, word] != new_done[word]:
                                        same = False
                                        break
                                if same:
                                    compared += 1
                                    if _dominates(
                                        out_kept[at], out_copies[at], out_cost[at], new_kept, new_copies, paid, size, stored
                                    ):  # fmt: skip
                                        dominated = True
                                        break
                                    if _dominates(
                                        new_kept, new_copies, paid, out_kept[at], out_copies[at], out_cost[at], size, stored
                                    ):  # fmt: skip
                                        out_alive[at] = False
                            if out_alive[at]:
                                link = at
                            elif link >= 0:  # the dead are passed over from now on
                                chain[link] = chain[at]
                            else:
                                table[slot] = chain[at]
                            at = chain[at]
                        if not dominated:
                            if made == room:
                                truncated = True
                                least_left_out = min(least_left_out, least)
                            else:
                                for word in range(words):
                                    out_done[made, word] = new_done[word]
                                for word in range(item_words):
                                    out_kept[made, word] = new_kept[word]
                                    out_copies[made, word] = new_copies[word]
                                out_cost[made] = paid
                                out_least[made] = least
                                out_held[made] = stay
                                out_parent[made] = state
                                out_op[made] = v
                                out_alive[made] = True
                                chain[made] = table[slot]
                                table[slot] = made
                                made += 1
                    if tried >= most_drops:
                        truncated = True
                        least_left_out = min(least_left_out, least_of[state])
                        break
                    backtrack = True
                elif depth == candidates or dropped + rest[depth] < excess:
                    backtrack = True
                else:
                    taken[depth] = True
                    dropped += size[others[depth]]
                    depth += 1
                    backtrack = False
                if backtrack:
                    while depth > 0 and not taken[depth - 1]:
                        depth -= 1
                    if depth == 0:
                        break
                    taken[depth - 1] = False
                    dropped -= size[others[depth - 1]]
        state += 1
    return state, made, looked, truncated, least_left_out
