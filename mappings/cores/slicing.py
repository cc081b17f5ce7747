"""Cutting an operator along one dimension into slices that cores can work on, each an operator of its own.

A cut starts at a dimension of the nest that writes the operator's result and follows the tensors through all its nests: what a
slice writes is its own part of each output, what it reads is the part of each input that its points touch (with the halo of a
window), the rest of a tensor whole. Together the slices do every point of every nest once; an input byte that no point touches (between
strides) belongs to the slice before it, so that the slices read at least what the operator reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hwspecs.vocabulary.records import dataclass
from mappings.systolic.problem import ROW_FUNCTIONS
from workloads.graph import Axis, Nest, Operand, Operator, Tensor

Range = tuple[int, int]
_WHOLE_IMAGE = ("groupnorm", "instancenorm")
_ATTENTION_SIZES = {"b": ("batch",), "h": ("heads", "kv_heads"), "q": ("queries",)}
"""Dimensions of a fused attention and the attributes that state their extents."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of an operator.

    Attributes:
        tensors: name to tensor as the slice sees it, for every tensor of the operator.
        whole: inputs that the slice reads entire: every slice reads the same.
    """

    operator: Operator
    tensors: Mapping[str, Tensor]
    whole: frozenset[str]


def cuttable(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[tuple[int, str, int], ...]:
    """(nest, dimension, extent) of the dimensions that may be cut, the largest extents first: those of the nest that writes the result.

    Dimensions along which a nest needs whole rows (softmax, norms) are left out. Whether a cut really works out is for ``sliced`` to say.
    """
    if not operator.nests or any(tensors[name].alias_of is not None for name in operator.outputs):
        return ()
    result = operator.outputs[0]
    place = next((number for number, nest in enumerate(operator.nests) if any(o.tensor == result for o in nest.writes)), None)
    if place is None:
        return ()
    nest = operator.nests[place]
    write = next(operand for operand in nest.writes if operand.tensor == result)
    extents = dict(nest.dims)
    allowed = _free_axes(operator, len(write.axes))
    dims = {dim: extents[dim] for number in allowed for dim, _ in write.axes[number].terms if extents[dim] > 1}
    if operator.kind == "attention" and operator.attributes.get("causal"):
        dims.pop("q", None)  # the queries of a causal attention differ in what they see
    different: dict[tuple[int, frozenset[str]], str] = {}
    for dim, extent in dims.items():  # rows and columns of a square image cut alike: the outer ones lie together
        different.setdefault((extent, frozenset(operand.tensor for operand in nest.reads if dim in operand.dims)), dim)
    return tuple((place, dim, dims[dim]) for dim in sorted(different.values(), key=lambda name: -dims[name]))


def axis_word(operator: Operator, place: int, dim: str) -> str:
    """What to call dimension ``dim`` of nest ``place``: for images what the axis of the result holds (``rows``), else its own name."""
    result = operator.outputs[0]
    write = next(operand for operand in operator.nests[place].writes if operand.tensor == result)
    if operator.kind in ("conv", "pool") and len(write.axes) == len(_IMAGE_AXES):
        for axis, word in zip(write.axes, _IMAGE_AXES, strict=True):
            if any(name == dim for name, _ in axis.terms):
                return word
    return dim


_IMAGE_AXES = ("images", "channels", "rows", "columns")


def _free_axes(operator: Operator, rank: int) -> list[int]:
    """Axes of the result that may be cut."""
    free = list(range(rank))
    functions = {nest.function for nest in operator.nests}
    if operator.kind != "attention" and functions & ROW_FUNCTIONS:
        whole = str(operator.attributes.get("norm", "")) in _WHOLE_IMAGE or functions & set(_WHOLE_IMAGE)
        rows = {rank - 1, int(operator.attributes.get("axis", -1)) % rank} if rank else set()
        free = [0] if whole else [axis for axis in free if axis not in rows]
    return [axis for axis in free if axis < rank]


def chunks(extent: int, parts: int) -> tuple[Range, ...]:
    """``extent`` points in at most ``parts`` ranges of equal length, the last one shorter where they do not go in evenly."""
    size = -(-extent // parts)
    return tuple((start, min(start + size, extent)) for start in range(0, extent, size))


def sliced(operator: Operator, tensors: Mapping[str, Tensor], place: int, dim: str, part: Range) -> Slice | None:
    """The slice of points ``part`` of dimension ``dim`` of nest ``place``; None where the operator cannot be cut so."""
    return _Cut(operator, tensors).slice(place, dim, part)


def input_slice(operator: Operator, tensors: Mapping[str, Tensor], dim: str, part: Range) -> Slice | None:
    """The slice of points ``part`` of a reduced dimension of an operator of one nest: it writes every result, unfinished; None where it
    cuts an N:M group."""
    cut = _Cut(operator, tensors)
    cut.cuts[0] = (dim, *part)
    return cut.built() if cut.groups_whole() else None


class _Cut:
    """Follows one cut through the nests of an operator."""

    def __init__(self, operator: Operator, tensors: Mapping[str, Tensor]) -> None:
        self.operator = operator
        self.tensors = {**{name: tensors[name] for name in (*operator.inputs, *operator.outputs)}, **operator.internal}
        self.extents = [dict(nest.dims) for nest in operator.nests]
        self.written = {operand.tensor for nest in operator.nests for operand in nest.writes}
        self.cuts: dict[int, tuple[str, int, int]] = {}
        self.made: dict[tuple[str, int], Range] = {}

    def slice(self, place: int, dim: str, part: Range) -> Slice | None:
        if part == (0, self.extents[place][dim]):
            return None
        todo = [(place, dim, part[0], part[1])]
        while todo:
            number, name, low, high = todo.pop()
            if self.cuts.setdefault(number, (name, low, high)) != (name, low, high):
                return None
            follow = self._through(number)
            if follow is None:
                return None
            todo.extend(cut for cut in follow if self.cuts.get(cut[0]) != cut[1:])
        if len(self.cuts) < len(self.operator.nests) or not self._outputs_cut() or not self.groups_whole():
            return None
        return self.built()

    def groups_whole(self) -> bool:
        """Whether no group of an N:M tensor lies in two slices."""
        for (name, axis), (start, stop) in {**self._inputs(), **self.made}.items():
            pattern, shape = self.tensors[name].sparsity, self.tensors[name].shape
            if pattern.kind != "nm" or pattern.axis % len(shape) != axis:
                continue
            if start % pattern.m or (stop % pattern.m and stop != shape[axis]):
                return False
        return True

    def _outputs_cut(self) -> bool:
        cut = {name for name, _ in self.made}
        return all(name in cut for name in self.operator.outputs)

    def _through(self, number: int) -> list[tuple[int, str, int, int]] | None:
        """Cuts of other nests that the cut of nest ``number`` asks for; None where it splits what must stay together."""
        nest = self.operator.nests[number]
        if not all(self.cuts[number][0] in operand.dims for operand in nest.writes):
            return None  # the cut dimension is summed up: results would be partial
        found = []
        for operand in (*nest.reads, *nest.writes):
            name = operand.tensor
            if name not in self.written:
                continue
            for axis in range(len(operand.axes)):
                touched = self._touched(number, operand, axis, False)
                if touched is None:
                    continue
                _, low, high = self.cuts[number]
                even = (touched[1] - touched[0]) * self.extents[number][self.cuts[number][0]] == self._size(name, axis) * (high - low)
                if not even or self.made.setdefault((name, axis), touched) != touched:
                    return None
                asked = self._asked(name, axis, touched)
                if asked is None:
                    return None
                found.extend(asked)
        return found

    def _size(self, name: str, axis: int) -> int:
        return self.tensors[name].shape[axis]

    def _touched(self, number: int, operand: Operand, axis: int, spare: bool) -> Range | None:
        """The range of an axis that the cut nest touches through ``operand``; None where the cut does not move the axis.

        With ``spare`` it reaches up to where the next slice begins, and the first and last slice to the ends.
        """
        dim, low, high = self.cuts[number]
        terms = operand.axes[axis].terms
        steps = dict(terms)
        if dim not in steps:
            return None
        extents, size, offset = self.extents[number], self._size(operand.tensor, axis), operand.axes[axis].offset
        others = [(step, extents[name]) for name, step in terms if name != dim]
        least = offset + sum(min(0, step * (extent - 1)) for step, extent in others)
        most = offset + sum(max(0, step * (extent - 1)) for step, extent in others)
        step = steps[dim]
        ends = (step * low, step * (high - 1))
        start, stop = least + min(ends), most + max(ends) + 1
        if spare and step > 0:
            start = 0 if low == 0 else start
            stop = size if high == extents[dim] else max(stop, least + step * high)
        start, stop = max(0, min(start, size)), max(0, min(stop, size))
        return (start, stop) if stop > start else (min(start, size - 1), min(start, size - 1) + 1)

    def _asked(self, name: str, axis: int, part: Range) -> list[tuple[int, str, int, int]] | None:
        """Cuts of the nests that use tensor ``name``, so that each works on ``part`` of its axis; None where one cannot."""
        found = []
        for number, nest in enumerate(self.operator.nests):
            for operand in (*nest.reads, *nest.writes):
                if operand.tensor != name:
                    continue
                cut = self._dimension(operand.axes[axis], self.extents[number], self._size(name, axis), part)
                if cut is None:
                    return None
                found.append((number, *cut))
        return found

    @staticmethod
    def _dimension(axis: Axis, extents: Mapping[str, int], size: int, part: Range) -> tuple[str, int, int] | None:
        """The outermost dimension of an axis and the range of it that is ``part`` of the axis."""
        terms = [(dim, step) for dim, step in axis.terms if extents[dim] > 1]
        if not terms or axis.offset or min(step for _, step in terms) < 1:
            return None
        dim, step = max(terms, key=lambda term: term[1])
        rest = sum(inner * (extents[name] - 1) for name, inner in terms if name != dim)
        if rest >= step or step * extents[dim] != size or part[0] % step or part[1] % step:
            return None
        return dim, part[0] // step, part[1] // step

    def _inputs(self) -> dict[tuple[str, int], Range]:
        """(input, axis) to the range of it that the slice reads, where that is not all of it."""
        found: dict[tuple[str, int], Range] = {}
        entire: set[tuple[str, int]] = set()
        for number, nest in enumerate(self.operator.nests):
            for operand in nest.reads:
                if operand.tensor in self.written:
                    continue
                for axis in range(len(operand.axes)):
                    key = (operand.tensor, axis)
                    touched = self._touched(number, operand, axis, True)
                    if touched is None:
                        entire.add(key)
                        continue
                    old = found.get(key, touched)
                    found[key] = (min(old[0], touched[0]), max(old[1], touched[1]))
        return {key: part for key, part in found.items() if key not in entire and part != (0, self._size(*key))}

    def built(self) -> Slice:
        """The slice of the cuts found so far."""
        ranges = {**self._inputs(), **self.made}
        cut_names = {name for name, _ in ranges}
        tensors = {}
        for name, tensor in self.tensors.items():
            if name in cut_names:
                shape = tuple(
                    ranges[name, axis][1] - ranges[name, axis][0] if (name, axis) in ranges else size
                    for axis, size in enumerate(tensor.shape)
                )
                tensors[name] = replace(tensor, shape=shape)
            else:
                tensors[name] = tensor
        operator = self.operator
        read_bytes = {
            name: -(-size * tensors[name].stored_bytes // max(1, self.tensors[name].stored_bytes)) if name in tensors else size
            for name, size in operator.read_bytes.items()
        }
        built = replace(
            operator,
            nests=tuple(self._nest(number, nest, ranges) for number, nest in enumerate(operator.nests)),
            internal={name: tensors[name] for name in operator.internal},
            attributes=dict(self._attributes()),
            read_bytes=read_bytes,
        )
        outside = {name: tensors[name] for name in (*operator.inputs, *operator.outputs)}
        whole = frozenset(name for name in operator.inputs if name not in cut_names)
        return Slice(built, outside, whole)

    def _attributes(self) -> Iterator[tuple[str, int | float | str | bool]]:
        scaled: dict[str, tuple[int, int]] = {}
        if self.operator.kind == "attention":
            for number, (dim, low, high) in self.cuts.items():
                for name in _ATTENTION_SIZES.get(dim, ()):
                    scaled[name] = (high - low, self.extents[number][dim])
        for name, value in self.operator.attributes.items():
            if name in scaled and isinstance(value, int):
                part, of = scaled[name]
                yield name, value * part // of
            else:
                yield name, value

    def _nest(self, number: int, nest: Nest, ranges: Mapping[tuple[str, int], Range]) -> Nest:
        dim, low, high = self.cuts[number]

        def operands(side: tuple[Operand, ...]) -> tuple[Operand, ...]:
            return tuple([shifted(operand) for operand in side])

        def shifted(operand: Operand) -> Operand:
            axes = []
            changed = False
            for place, axis in enumerate(operand.axes):
                found = ranges.get((operand.tensor, place))
                offset = axis.offset - (found[0] if found is not None else 0)
                for name, step in axis.terms:
                    if name == dim:
                        offset += low * step
                changed = changed or offset != axis.offset
                axes.append(axis if offset == axis.offset else Axis(axis.terms, offset))
            return Operand(operand.tensor, tuple(axes)) if changed else operand

        dims = tuple((name, high - low if name == dim else extent) for name, extent in nest.dims)
        return Nest(dims, nest.function, operands(nest.reads), operands(nest.writes), nest.vector_ops)
