"""Where time runs through a graph: which axis of each tensor counts frames, and how much of it one step renews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import gcd, prod

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Axis, Nest, Operand, Operator, Tensor

_ROW_FUNCTIONS = frozenset(("softmax", "log_softmax", "layernorm", "rmsnorm", "l2norm", "logsumexp"))
_WHOLE_FUNCTIONS = frozenset(("groupnorm", "instancenorm"))


@dataclass(frozen=True, slots=True)
class Timed:
    """A tensor that has an axis of frames.

    Attributes:
        axis: that axis.
        extent: frames of the whole window along it.
        fresh: frames that one step renews.
        last: index, in the window, of the newest frame that a step can make; ``extent - 1`` where nothing looks ahead, less where
            a window of the model reaches over the end of the input.
    """

    axis: int
    extent: int
    fresh: int
    last: int


@dataclass(frozen=True, slots=True)
class Use:
    """How a nest reads a timed tensor: frame ``p step + offset + taps``, taps from 0 to ``span - 1``.

    ``dim`` is p; None where no dimension of the output moves the frame.
    """

    tensor: str
    timed: Timed
    dim: str | None
    step: int
    offset: int
    span: int


@dataclass(frozen=True, slots=True)
class OperatorPlan:
    """What a step does of one operator.

    Attributes:
        timed: outputs and internal tensors that keep an axis of frames.
        history: input to the old frames that the step needs besides the fresh ones.
        dims: (place of the nest, dimension) to its extent in a step.
    """

    timed: Mapping[str, Timed]
    history: Mapping[str, int]
    dims: Mapping[tuple[int, str], int]


def plan_operator(operator: Operator, timed: Mapping[str, Timed], tensors: Mapping[str, Tensor]) -> OperatorPlan:
    """What a step does of ``operator``.

    A read at frame p step + r dilation + offset needs frames up to the newest that exist, so the newest output is
    floor((last - span + 1 - offset) / step). Of its input it needs slack + (outputs - 1) step + span frames, of which ``fresh`` are new;
    the rest is history: span - step frames where nothing lags behind (Rybakov et al., Streaming keyword spotting on mobile devices,
    arXiv 2005.06720, section 3: the ring buffer of a convolution).

    Raises:
        UnsupportedError: the operator mixes all frames, or steps at another pace than its input; the message names it.
    """
    if operator.kind in ("attention", "topk", "scan", "unknown"):
        raise _refusal(operator, f"{operator.kind} mixes all frames of the window", "stream the layers before it, or use phase decode")
    known = dict(timed)
    found = [(place, use) for place, nest in enumerate(operator.nests) for use in _uses(operator, nest, known, tensors)]
    outside = [(place, use) for place, use in found if use.tensor in timed]
    moving = [use for _, use in outside if use.dim is not None]
    if len({id(use) for use in moving}) and len(moving) != len(outside):
        raise _refusal(operator, "reads one input frame by frame and another as a whole", "split the operator")
    if not moving:
        return _reduced(operator, [use for _, use in outside])
    return _moved(operator, outside, timed, tensors)


def _moved(operator: Operator, outside: list[tuple[int, Use]], timed: Mapping[str, Timed], tensors: Mapping[str, Tensor]) -> OperatorPlan:
    """The plan of an operator whose outputs have an axis of frames."""
    extents = {dict(operator.nests[place].dims)[use.dim] for place, use in outside if use.dim is not None}
    if len(extents) != 1:
        raise _refusal(operator, "reads inputs of different lengths in time", "crop them first")
    extent = extents.pop()
    fresh = {_fresh(operator, use, extent) for _, use in outside}
    if len(fresh) != 1:
        raise _refusal(operator, "its inputs renew different numbers of frames", "choose a hop that all strides divide")
    last = min((use.timed.last - (use.span - 1) - use.offset) // use.step for _, use in outside)
    count = fresh.pop()
    history: dict[str, int] = {}
    for _, use in outside:
        slack = use.timed.last - (last * use.step + use.span - 1 + use.offset)
        old = slack + (count - 1) * use.step + use.span - use.timed.fresh
        history[use.tensor] = max(history.get(use.tensor, 0), old)
    made: dict[str, Timed] = {}
    dims: dict[tuple[int, str], int] = {}
    for place, nest in enumerate(operator.nests):
        uses = list(_uses(operator, nest, {**timed, **made}, tensors))
        for use in uses:
            if use.tensor in made and (use.dim is None or use.span != 1 or use.step != 1 or use.offset):
                raise _refusal(operator, "mixes frames of a tensor inside it", "run it unfused (fuse=False)")
        moved = {use.dim for use in uses if use.dim is not None}
        if not moved:
            continue
        dims.update({(place, dim): count for dim in moved})
        for operand in nest.writes:
            axis = _written_axis(operator, operand, moved)
            made[operand.tensor] = Timed(axis, extent, count, last)
    return OperatorPlan(made, history, dims)


def _reduced(operator: Operator, uses: list[Use]) -> OperatorPlan:
    """The plan of pooling over the window: old frames are kept, the sum over all of them is made anew in each step."""
    history: dict[str, int] = {}
    for use in uses:
        slack = use.timed.extent - 1 - (use.offset + use.span - 1)
        history[use.tensor] = max(history.get(use.tensor, 0), slack + use.span - use.timed.fresh)
    return OperatorPlan({}, history, {})


def _fresh(operator: Operator, use: Use, extent: int) -> int:
    if use.timed.fresh >= use.timed.extent:
        return extent
    if use.timed.fresh % use.step:
        times = use.step // gcd(use.step, use.timed.fresh)
        what = f"steps over {use.step} frames at a time, but {use.timed.fresh} arrive"
        raise _refusal(operator, what, f"choose a hop that all strides in time divide: {times} times this one, or a multiple of that")
    return min(extent, use.timed.fresh // use.step)


def _uses(operator: Operator, nest: Nest, timed: Mapping[str, Timed], tensors: Mapping[str, Tensor]) -> Iterable[Use]:
    """Reads of timed tensors by a nest."""
    extents = dict(nest.dims)
    written = {dim for operand in nest.writes for dim in operand.dims}
    uses = []
    for operand in nest.reads:
        found = timed.get(operand.tensor)
        if found is None:
            continue
        use = _use(operator, operand, found, extents, written)
        if nest.function in _WHOLE_FUNCTIONS or (nest.function in _ROW_FUNCTIONS and found.axis == _row_axis(operator, operand)):
            raise _refusal(operator, f"{nest.function} needs all frames of the window", "normalize each frame by itself")
        uses.append(use)
    moved = {use.dim for use in uses}
    for operand in nest.reads:
        if operand.tensor not in timed and operand.tensor in tensors and operand.dims & moved:
            raise _refusal(
                operator,
                f"reads {operand.tensor!r} by the place of a frame in the window",
                "a stream has no places: use none or relative ones",
            )
    return uses


def _use(operator: Operator, operand: Operand, timed: Timed, extents: Mapping[str, int], written: set[str]) -> Use:
    axis = operand.axes[timed.axis]
    elsewhere = {dim for i, other in enumerate(operand.axes) if i != timed.axis for dim, _ in other.terms}
    moving = [(dim, step) for dim, step in axis.terms if dim in written]
    taps = [(dim, step) for dim, step in axis.terms if dim not in written]
    if len(moving) > 1 or any(step < 1 or dim in elsewhere for dim, step in axis.terms):
        raise _refusal(operator, "does not go through time frame by frame", "stream the layers before it")
    if not axis.terms and timed.extent > 1:
        raise _refusal(operator, "takes one frame of the window", "stream the layers before it")
    span = 1 + sum((extents[dim] - 1) * step for dim, step in taps)
    dim, step = moving[0] if moving else (None, 1)
    return Use(operand.tensor, timed, dim, step, axis.offset, span)


def _written_axis(operator: Operator, operand: Operand, moved: set[str]) -> int:
    """The axis of a written tensor that counts frames."""
    found = [i for i, axis in enumerate(operand.axes) if any(dim in moved for dim, _ in axis.terms)]
    if len(found) == 1:
        axis = operand.axes[found[0]]
        if len(axis.terms) == 1 and axis.terms[0][1] == 1 and axis.offset == 0:
            return found[0]
    what = "is transposed in time" if operator.kind == "conv" else "joins or stretches tensors along time"
    raise _refusal(operator, what, "stream the layers before it")


def _row_axis(operator: Operator, operand: Operand) -> int:
    axis = operator.attributes.get("axis", len(operand.axes) - 1)
    return int(axis) % len(operand.axes)


def view_axis(operator: Operator, timed: Timed, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """The axis of frames in a view of shape ``after``.

    Raises:
        UnsupportedError: the view merges frames with something else.
    """
    outer = prod(before[: timed.axis])
    for place, size in enumerate(after):
        if size == timed.extent and prod(after[:place]) == outer:
            return place
    raise _refusal(operator, "flattens all frames of the window into one axis", "pool over time first, or stream the layers before it")


def moved_axis(axis: Axis, *, step: int, first: int, start: int) -> Axis:
    """``axis`` where outputs count from ``first`` of the window and the tensor read begins with frame ``start`` of it."""
    return Axis(axis.terms, first * step + axis.offset - start)


def _refusal(operator: Operator, what: str, hint: str) -> UnsupportedError:
    return UnsupportedError(f"{what}, so it cannot run on a stream", where=operator.name, hint=hint)
