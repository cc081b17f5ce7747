"""Overlapping windows as a stream: each step computes only the new frames, and ring buffers keep the old ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.counting import stored_tensors
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import axis, plain_axes, point_dims
from workloads.passes.stream_plan import OperatorPlan, Timed, moved_axis, plan_operator, view_axis

_HINT = "write window=16,hop=4, or hop=4 for the whole input; axis=2 is the axis of frames"


@dataclass(frozen=True, slots=True)
class Streaming:
    """A window that slides over a signal.

    Attributes:
        hop: frames by which it moves: new frames of each step.
        window: frames that the model sees at once; 0: whatever the model's input has.
        axis: axis of the inputs that counts frames, for (batch, channels, frames, ...) 2.
    """

    hop: int
    window: int = 0
    axis: int = 2


def parse_streaming(text: str) -> Streaming:
    """Read ``hop=4``, ``window=16,hop=4`` or ``window=16,hop=4,axis=2``.

    Raises:
        ArgumentError: another form, an unknown word, or a size out of range.
    """
    values: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([a-z]+)\s*=\s*(\d{1,9})\s*", part)
        if match is None:
            raise ArgumentError(f"cannot read the stream {text!r}", where="stream", hint=_HINT)
        name = match[1]
        if name not in ("window", "hop", "axis"):
            raise ArgumentError(f"a stream has no {name!r}", where="stream", hint=did_you_mean(name, ("window", "hop", "axis")))
        if name in values:
            raise ArgumentError(f"{name} is given twice", where="stream", hint=_HINT)
        values[name] = int(match[2])
    if "hop" not in values:
        raise ArgumentError(f"the stream {text!r} has no hop", where="stream", hint=_HINT)
    return Streaming(values["hop"], values.get("window", 0), values.get("axis", 2))


def stream(graph: OperatorGraph, streaming: str | Streaming) -> OperatorGraph:
    """One step of ``graph`` on a stream: ``hop`` new frames come in, and each layer computes only the frames that they make new.

    Old frames that a window still needs are kept in ring buffers: for each such tensor a state ``<tensor>.ring`` of span - stride
    rows, which each step reads and appends to. Zeros that padded the window's ends in time become the frames that lie there in the
    signal; where a layer looks ahead, its outputs come later, and shortcuts beside it wait in a ring. Pooling over the whole window is
    done anew in each step, over old and new rows.

    Raises:
        ArgumentError: the text cannot be read, or window, hop or axis do not fit the input.
        UnsupportedError: an operator mixes all frames of the window; the message names it.
    """
    setting = parse_streaming(streaming) if isinstance(streaming, str) else streaming
    entering = _entering(graph, setting)
    done = _Stream(graph, entering)
    result = done.graph()
    hop, window = setting.hop, next(iter(entering.values())).extent
    held = sum(tensor.stored_bytes * times for tensor, times in stored_tensors(result) if tensor.name.endswith(".ring"))
    # behind pooling over time an output has no frames: then the layers before it say how late it is
    ends = [done.timed[name] for name in graph.outputs if name in done.timed] or list(done.timed.values())
    late = max([(end.extent - 1 - end.last) * hop // max(1, end.fresh) for end in ends], default=0)
    note = f"stream: {hop} new of {window} frames a step; rings hold {held} bytes"
    if late > 0:
        note += f"; outputs come {late} frames late, because layers look ahead"
    text = f"window={window},hop={hop}" + (f",axis={setting.axis}" if setting.axis != 2 else "")
    return replace(result, notes=(*graph.notes, note), meta={**graph.meta, "stream": text})


def _entering(graph: OperatorGraph, setting: Streaming) -> dict[str, Timed]:
    """Inputs of the graph that have frames."""
    entering = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if tensor.role is not Role.ACTIVATION or len(tensor.shape) <= setting.axis:
            continue
        extent = tensor.shape[setting.axis]
        if setting.window and setting.window != extent:
            hint = f"give window={extent}, or load the model with other dims"
            raise ArgumentError(f"the window is {setting.window}, but input {name!r} has {extent} frames", where="stream", hint=hint)
        if not 1 <= setting.hop <= extent:
            raise ArgumentError(f"the hop is {setting.hop} of {extent} frames", where="stream", hint="a hop is from 1 to the window")
        entering[name] = Timed(setting.axis, extent, setting.hop, extent - 1)
    if not entering:
        raise ArgumentError(
            f"no input of {graph.name} has an axis {setting.axis} of frames", where="stream", hint="give axis=, counted from 0"
        )
    return entering


class _Stream:
    """One graph (or body) being turned into a step."""

    def __init__(self, graph: OperatorGraph, entering: Mapping[str, Timed]) -> None:
        self.source = graph
        self.timed: dict[str, Timed] = dict(entering)
        self.history: dict[str, int] = {}
        self.tensors: dict[str, Tensor] = {}
        self.plans: dict[str, OperatorPlan] = {}
        self.bodies: dict[str, _Stream] = {}
        for node in graph.nodes:
            if isinstance(node, Repeat):
                self._plan_repeat(node)
            elif any(name in self.timed for name in node.inputs):
                self._plan(node)

    def _plan(self, node: Operator) -> None:
        if node.kind == "view":
            source = next(name for name in node.inputs if name in self.timed)
            entering = self.timed[source]
            for name in node.outputs:
                place = view_axis(node, entering, self.source.tensors[source].shape, self.source.tensors[name].shape)
                self.timed[name] = replace(entering, axis=place)
            return
        plan = plan_operator(node, {name: self.timed[name] for name in node.inputs if name in self.timed}, self.source.tensors)
        self.plans[node.name] = plan
        for name in node.outputs:
            if name in plan.timed:
                self.timed[name] = plan.timed[name]
        for name, rows in plan.history.items():
            self.history[name] = max(self.history.get(name, 0), rows)

    def _plan_repeat(self, node: Repeat) -> None:
        entering = {inner: self.timed[outer] for inner, outer in node.inputs.items() if outer in self.timed}
        if not entering:
            return
        carried = {inner for _, inner in node.carried}
        if not entering.keys() <= carried:
            raise UnsupportedError("steps through the frames one after the other, so it cannot run on a stream", where=node.name,
                                   hint="stream the layers before it")  # fmt: skip
        body = _Stream(node.body, entering)
        for output, inner in node.carried:
            made, came = body.timed.get(output), body.timed.get(inner)
            if (made is None) != (came is None) or (
                made is not None and came is not None and (made.axis, made.extent, made.fresh) != (came.axis, came.extent, came.fresh)
            ):
                raise UnsupportedError(
                    "its rounds change the number of frames, so they are not equal on a stream",
                    where=node.name,
                    hint="write them one by one",
                )
        self.bodies[node.name] = body
        for inner, outer in node.outputs.items():
            if inner in body.timed:
                came = next(iter(entering.values()))
                made = body.timed[inner]
                self.timed[outer] = replace(made, last=came.last + node.count * (made.last - came.last))

    def graph(self) -> OperatorGraph:
        """The step."""
        self.tensors = {name: self._sized(tensor) for name, tensor in self.source.tensors.items()}
        nodes: list[Operator | Repeat] = [
            self._append(name) for name in self.source.inputs if self.history.get(name, 0) > 0 and name in self.timed
        ]
        for node in self.source.nodes:
            nodes.append(self._step(node))
            made = node.outputs.values() if isinstance(node, Repeat) else node.outputs
            nodes.extend(self._append(name) for name in made if self.history.get(name, 0) > 0)
        return replace(self.source, tensors=self.tensors, nodes=tuple(nodes))

    def _sized(self, tensor: Tensor) -> Tensor:
        found = self.timed.get(tensor.name)
        return tensor if found is None else _with_frames(tensor, found.axis, found.fresh)

    def _append(self, name: str) -> Operator:
        """The new rows of ``name`` go into its ring, as new positions go into a KV cache; ``<name>.span`` is the ring with them."""
        timed, fresh, old = self.timed[name], self.tensors[name], self.history[name]
        ring = replace(_with_frames(fresh, timed.axis, old), name=f"{name}.ring", role=Role.STATE, alias_of=None, region_bytes=0)
        whole = _with_frames(fresh, timed.axis, old + timed.fresh)
        dims = point_dims(len(fresh.shape))
        here = list(plain_axes(dims))
        there = list(here)
        there[timed.axis] = axis((dims[timed.axis], 1), offset=old)
        new = Nest(
            tuple(zip(dims, fresh.shape, strict=True)), "copy", (Operand(name, tuple(here)),), (Operand(f"{name}.span", tuple(there)),)
        )
        self.tensors[ring.name] = ring
        if timed.fresh <= old:
            self.tensors[f"{name}.span"] = replace(
                whole, name=f"{name}.span", role=Role.STATE, alias_of=ring.name, region_bytes=fresh.stored_bytes
            )
            return Operator(
                f"{name}.ring_append", "copy", (name, ring.name), (f"{name}.span",), (new,), attributes={"function": "ring_append"},
                origin="stream",
            )  # fmt: skip
        # more rows come than the ring holds: old and new ones are joined, and the last of them are the next ring
        self.tensors[f"{name}.span"] = replace(whole, name=f"{name}.span", role=Role.ACTIVATION, alias_of=None, region_bytes=0)
        self.tensors[f"{name}.ring_new"] = replace(ring, name=f"{name}.ring_new", alias_of=ring.name, region_bytes=ring.stored_bytes)
        rows = tuple(zip(dims, ring.shape, strict=True))
        before = Nest(rows, "copy", (Operand(ring.name, tuple(here)),), (Operand(f"{name}.span", tuple(here)),))
        tail = list(here)
        tail[timed.axis] = axis((dims[timed.axis], 1), offset=timed.fresh - old)
        keep = Nest(rows, "copy", (Operand(name, tuple(tail)),), (Operand(f"{name}.ring_new", tuple(here)),))
        return Operator(
            f"{name}.ring_append", "copy", (name, ring.name), (f"{name}.span", f"{name}.ring_new"), (before, new, keep),
            attributes={"function": "ring_append"}, origin="stream",
        )  # fmt: skip

    def _step(self, node: Operator | Repeat) -> Operator | Repeat:
        if isinstance(node, Repeat):
            body = self.bodies.get(node.name)
            return node if body is None else replace(node, body=body.graph())
        plan = self.plans.get(node.name)
        if plan is None:
            return node
        names = {name: f"{name}.span" for name in node.inputs if self.history.get(name, 0) > 0}
        nests = tuple(self._nest(place, nest, plan, names) for place, nest in enumerate(node.nests))
        internal = {
            name: _with_frames(tensor, plan.timed[name].axis, plan.timed[name].fresh) if name in plan.timed else tensor
            for name, tensor in node.internal.items()
        }
        reads = {
            names.get(name, name): self._read_bytes(name, count) if name in self.timed else count for name, count in node.read_bytes.items()
        }
        for name, span in names.items():
            rows = self.timed[name].fresh + plan.history.get(name, 0)
            if span not in reads and rows < self.timed[name].fresh + self.history[name]:  # another reader needs older rows than this one
                reads[span] = _with_frames(self.source.tensors[name], self.timed[name].axis, rows).stored_bytes
        return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs), nests=nests, internal=internal, read_bytes=reads)

    def _read_bytes(self, name: str, count: int) -> int:
        """Bytes read of a tensor whose frames became fewer, in proportion."""
        old, timed = self.source.tensors[name], self.timed[name]
        rows = timed.fresh + self.history.get(name, 0)
        return min(-(-count * rows // timed.extent), _with_frames(old, timed.axis, rows).stored_bytes)

    def _nest(self, place: int, nest: Nest, plan: OperatorPlan, names: Mapping[str, str]) -> Nest:
        """The nest over the new outputs, counted from 0; a read begins with the oldest row that is there."""
        dims = tuple((dim, plan.dims.get((place, dim), extent)) for dim, extent in nest.dims)
        reads = []
        for operand in nest.reads:
            timed = self.timed.get(operand.tensor)
            if timed is None or operand.tensor in plan.timed:
                reads.append(operand)
                continue
            along = operand.axes[timed.axis]
            start = timed.last - timed.fresh - self.history.get(operand.tensor, 0) + 1
            moving = [(dim, step) for dim, step in along.terms if (place, dim) in plan.dims]
            if moving:
                out = next(iter(plan.timed.values()))
                moved = moved_axis(along, step=moving[0][1], first=out.last - out.fresh + 1, start=start)
            else:  # the window as a whole ends with the newest frame
                moved = moved_axis(along, step=0, first=0, start=start + timed.extent - 1 - timed.last)
            axes = (*operand.axes[: timed.axis], axis(*moved.terms, offset=moved.offset), *operand.axes[timed.axis + 1 :])
            reads.append(Operand(names.get(operand.tensor, operand.tensor), axes))
        return Nest(dims, nest.function, tuple(reads), nest.writes, nest.vector_ops)


def _with_frames(tensor: Tensor, axis: int, frames: int) -> Tensor:
    """``tensor`` with another number of frames."""
    shape = (*tensor.shape[:axis], frames, *tensor.shape[axis + 1 :])
    return Tensor(tensor.name, shape, tensor.format, tensor.role, tensor.sparsity, tensor.alias_of, tensor.region_bytes)
