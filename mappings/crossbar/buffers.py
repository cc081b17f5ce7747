"""Rows that the edges of a layer pipeline hold, so that it never deadlocks.

Between two layers of a chain an edge holds two strides of rows beside the window. What is made once and read twice (a shortcut) or joined
from two sides needs more: rows must wait in one way while the other fills.

* A shortcut past a chain of layers holds as many rows as that chain can take in before it gives its first: then the chain is full before
  the shortcut is, and its end has what the join waits for. With a(e) rows that edge e takes in ahead, strides s and d further stages per
  layer: ``u(n) = a(join) + 2 d(n)``, ``u(i) = s(i + 1) u(i + 1) + a(i + 1) + 2 d(i)``, and the shortcut takes ``s(1) u(1) + a(1)``.
* Any other fork or join holds whole tensors: a branch between them then never waits for room.
* A layer that needs a whole tensor first (attention) starts when all before it has ended: what passes it by is held whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mappings.crossbar.rows import Window

DIGITAL_ROOM = 2
"""Rows between the arrays of a layer and its digital work."""


class Layered(Protocol):
    """A member of a pipeline, as far as its edges are concerned."""

    @property
    def index(self) -> int:
        """Place in program order."""

    @property
    def windows(self) -> Mapping[str, Window]:
        """Input to the rows of it that a row of the result needs."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Tensors that it makes."""

    @property
    def further(self) -> int:
        """Stages behind its first one."""


class Rooms:
    """Capacities of the edges between ``members``, given the rows (of padding, too) that are made of each tensor."""

    def __init__(self, members: Sequence[Layered], firings: Mapping[str, int]) -> None:
        self.firings = firings
        self.maker = {name: member.index for member in members for name in member.outputs}
        self.users: dict[str, list[Layered]] = {}
        for member in members:
            for name in member.windows:
                self.users.setdefault(name, []).append(member)
        self.cuts = [member.index for member in members if any(window.whole for window in member.windows.values())]
        self.shortcuts: dict[tuple[int, str], int] = {}
        self.joins: set[tuple[int, str]] = set()
        for name, users in self.users.items():
            self._shortcut(name, users)

    def room(self, member: Layered, name: str) -> int:
        """Tokens that the edge of ``name`` to ``member`` holds."""
        whole = self._whole(member, name)
        key = member.index, name
        start = self.maker.get(name, -1)
        if any(start < cut <= member.index for cut in self.cuts):
            return whole
        if key in self.shortcuts:
            return min(whole, self.shortcuts[key])
        single = len(self.users[name]) == 1 and len(member.windows) == 1
        return min(whole, self._base(member, name)) if single or key in self.joins else whole

    def _whole(self, member: Layered, name: str) -> int:
        window = member.windows[name]
        return max(window.stride, window.initial(), self.firings[name] + window.initial())

    def _base(self, member: Layered, name: str) -> int:
        """Two strides, and what is never taken."""
        window = member.windows[name]
        left = window.left(self.firings[member.outputs[0]], self.firings[name])
        return max(window.stride, window.initial(), 2 * window.stride + left)

    def _ahead(self, member: Layered, name: str) -> int:
        """Rows that may be made before ``member`` has taken any."""
        return min(self._base(member, name), self._whole(member, name)) - member.windows[name].initial()

    def _shortcut(self, name: str, users: Sequence[Layered]) -> None:
        """Find the chain from the first user of ``name`` to its second one, and what the edge past it must hold."""
        if len(users) != 2 or any(user.windows[name].whole for user in users):
            return
        first, join = users
        chain = [first]
        while True:
            link = self._next(chain[-1])
            if link is None or len(chain[-1].windows) != 1:
                return
            out, follower = link
            if follower.index == join.index:
                break
            chain.append(follower)
        if set(join.windows) != {name, out}:
            return
        strides = join.windows[out].stride
        ahead = self._ahead(join, out) + DIGITAL_ROOM * chain[-1].further
        for before, member in zip([*reversed(chain[:-1]), None], reversed(chain), strict=True):
            ((source, window),) = member.windows.items()
            strides *= window.stride
            ahead = window.stride * ahead + self._ahead(member, source)
            ahead += DIGITAL_ROOM * before.further if before is not None else 0
        past = join.windows[name]
        if strides != past.stride:
            return
        self.shortcuts[join.index, name] = max(self._base(join, name), ahead + past.initial())
        self.joins.update(((first.index, name), (join.index, out)))

    def _next(self, member: Layered) -> tuple[str, Layered] | None:
        """The only output of ``member`` that is used, and its only user, which takes it row by row; None if there is more to it."""
        used = [name for name in member.outputs if name in self.users]
        if len(used) != 1 or len(self.users[used[0]]) != 1:
            return None
        (user,) = self.users[used[0]]
        return None if user.windows[used[0]].whole else (used[0], user)
