"""Back-propagation through time: cells of LSTM, GRU and RNN, selective scans, and repeats whose rounds are time steps.

A trained cell keeps the values of its gates for the backward pass (what cuDNN calls the reserve space), so its sums are not needed again:
6 values per unit and step of an LSTM with its two states, 5 of a GRU, 1 of an RNN. Weights that all steps share get one product over all
steps behind the loop (Appleyard, Kocisky and Blunsom, arXiv 1604.01946, section 3), not one per step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from hwspecs.vocabulary.functions import OPERATIONS
from workloads.graph import Axis, Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import axis, plain_axes
from workloads.passes.training.tape import Part, Tape
from workloads.passes.training.vector import unknown
from workloads.recurrent_cell import GATES

CELL_GRADIENT_OPS: Mapping[str, int] = MappingProxyType({"LSTM": OPERATIONS["tanh"] + 22, "GRU": 16, "RNN": 3})
"""Operations per hidden value and step, from the gates' values. A slope through a sigmoid or tanh, g y (1 - y) or g (1 - y^2), is 3.

LSTM, c = f c' + i g, h = o t, t = tanh(c): do = dh t (1 and a slope), dc = dc + slope of t (dh o) (5), di = dc g, dg = dc i, df = dc c'
(1 and a slope each), dc' = dc f (1); t is made again. GRU, h = n + z (h' - n), n = tanh(x + r q): dz = dh (h' - n) (2 and a slope),
dn = dh (1 - z) (2 and a slope), dr = dn q (1 and a slope), dq = dn r (1), dh' = dh z (1). RNN: a slope."""

_WITHOUT_STATE = 5
"""Operations that an LSTM's first step saves: no forget gate has scaled anything."""

SCAN_GRADIENT_OPS: Mapping[str, int] = MappingProxyType(
    {"again": 5 + OPERATIONS["exp"], "state": 3, "decay": 2, "x": 2, "delta": 5, "a": 2, "b": 2, "c": 2}
)
"""Operations per channel, state and token of a selective scan's gradient, h = e h' + (d B) x with e = exp(d A), y = C h: the states again
(d A, its exponential, (d B) x 2, e h' and the sum 2); dh = C dy + e dh (3), dh h' e (2), then each input's: dx = sum dh d B, ddelta =
sum (dh h' e) A + dh B x, dA = sum (dh h' e) d, dB = sum dh d x, dC = sum dy h. States are made again, not kept (Gu and Dao,
arXiv 2312.00752, section 3.3.2)."""


def is_cell(node: Operator | Repeat) -> bool:
    """Whether an operator is the cell of a recurrent layer."""
    return isinstance(node, Operator) and node.attributes.get("function") == "cell"


def with_reserve(graph: OperatorGraph, wants: set[str]) -> OperatorGraph:
    """``graph`` with the values of the gates as one more output of each cell that has a gradient: (batch, gates x hidden), of a GRU also
    the reset gate's argument. An RNN's new state is its gate."""
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat] = []
    for node in graph.nodes:
        kind = str(node.attributes.get("cell", "")) if isinstance(node, Operator) and is_cell(node) else ""
        if isinstance(node, Operator) and kind in ("LSTM", "GRU") and any(name in wants for name in node.outputs):
            made = tensors[node.outputs[0]]
            batch, hidden = made.shape
            name = _reserve(node)
            tensors[name] = Tensor(name, (batch, 4 * hidden), made.format)
            nest = node.nests[0]
            writes = (*nest.writes, *_gate_operands(name, 4, hidden))
            node = replace(node, outputs=(*node.outputs, name), nests=(replace(nest, writes=writes),))
        nodes.append(node)
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


def _reserve(node: Operator) -> str:
    return f"{node.name}.gates"


def _gate_operands(name: str, gates: int, hidden: int) -> tuple[Operand, ...]:
    return tuple(Operand(name, (*plain_axes(("b",)), axis(("n", 1), offset=gate * hidden))) for gate in range(gates))


def cell(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """One step back: the gradients of the gates' arguments (that of the input part and, of a GRU, another of the recurrent part) and of the
    old state, in one operator."""
    kind, nest = str(node.attributes["cell"]), node.nests[0]
    states = [name for name in node.outputs if name != _reserve(node)]
    hidden = tape.tensors[states[0]].shape[-1]
    plain = plain_axes(("b", "n"))
    reads = [Operand(given[name], plain) for name in states if name in given]
    parts = node.inputs[:-1] or node.inputs  # the gates' arguments, in one part or in two; the old state comes last, but in a first step
    old = node.inputs[-1] if len(node.inputs) > 1 and kind != "RNN" else None
    operations = CELL_GRADIENT_OPS[kind]
    if kind == "RNN":
        reads.append(Operand(states[0], plain))
    else:
        reads.extend(_gate_operands(_reserve(node), 4, hidden))
        if kind == "LSTM":
            reads.append(Operand(states[-1], plain))
            operations -= _missing(given, states, old)
        if old is not None:
            reads.append(Operand(old, plain))
    writes: list[Operand] = []
    sent: dict[str, str] = {}
    for name in [name for name in parts if name in tape.wants] if kind == "GRU" else parts[-1:]:
        made = tape.new(f"{node.name}.gradient.{name.removeprefix(node.name + '.')}", tape.tensors[name])
        writes.extend(_gate_operands(made, GATES[kind], hidden))
        sent.update(dict.fromkeys([name] if kind == "GRU" else parts, made))
    if old is not None and old in tape.wants:
        sent[old] = tape.new(f"{node.name}.gradient.{old.removeprefix(node.name + '.')}", tape.tensors[old])
        writes.append(Operand(sent[old], plain))
    back = Nest(nest.dims, "cell_gradient", tuple(reads), tuple(writes), operations)
    inputs, outputs = [read.tensor for read in reads], tuple(dict.fromkeys(write.tensor for write in writes))
    tape.operator("elementwise", inputs, outputs, (back,), "BP", {"function": "cell_gradient", "cell": kind})
    for name, made in sent.items():
        tape.give(name, made)


def _missing(given: Mapping[str, str], states: list[str], old: str | None) -> int:
    """Operations of an LSTM's step back that fall away: no old state; no gradient of the new one; none of the hidden values."""
    less = _WITHOUT_STATE if old is None else 0
    if states[-1] not in given:
        less += 1
    if states[0] not in given:
        less += OPERATIONS["tanh"] + 9  # t, the output gate (4), what the hidden values send to the state (5)
    return less


def scan(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """A selective scan from the last token to the first, the states made again: one operator for the gradients of all inputs; a running sum
    from the last element to the first."""
    nest = node.nests[0]
    result = Operand(given[node.outputs[0]], nest.writes[0].axes)
    if nest.function == "add" and len(nest.reads) == 1:
        back = Part(nest.dims, "add", (result,), nest.reads[0].axes, nest.vector_ops)
        tape.send(node, nest.reads[0].tensor, "scan", [back], {"function": "add", "backward": True})
        return
    if nest.function != "scan" or len(nest.reads) != 5:
        raise unknown(node, nest.function)
    work = SCAN_GRADIENT_OPS
    operations = work["again"] + work["state"] + work["decay"]
    writes = []
    for word, read in zip(("x", "delta", "a", "b", "c"), nest.reads, strict=True):
        if read.tensor in tape.wants:
            tensor = tape.tensors[read.tensor]
            made = tape.new(f"{node.name}.gradient.{read.tensor}", tensor, weight=tensor.role is Role.WEIGHT)
            writes.append(Operand(made, read.axes))
            tape.give(read.tensor, made)
            operations += work[word]
    made_by = Nest(nest.dims, "scan_gradient", (result, *nest.reads), tuple(writes), operations)
    inputs = [read.tensor for read in made_by.reads]
    facts = {**node.attributes, "function": "scan_gradient", "backward": True}
    tape.operator("scan", inputs, [write.tensor for write in writes], (made_by,), "BP", facts)


# -- repeats whose rounds are time steps ---------------------------------------------------------------------------------------


def sliced_inputs(repeat: Repeat) -> dict[str, str]:
    """Shared activations of which round i reads row i alone: inner name to outer. All readers index their first axis by a constant, and
    it has as many rows as there are rounds."""
    found = {}
    for name in repeat.shared:
        tensor = repeat.body.tensors[name]
        if tensor.role is Role.ACTIVATION and name in repeat.inputs and tensor.shape[:1] == (repeat.count,):
            nests = [nest for node in repeat.body.nodes if isinstance(node, Operator) and name in node.inputs for nest in node.nests]
            reads = [read for nest in nests for read in nest.reads if read.tensor == name]
            if reads and all(not read.axes[0].terms for read in reads):
                found[name] = repeat.inputs[name]
    return found


def with_slices(graph: OperatorGraph) -> OperatorGraph:
    """``graph`` with what repeats read row by row, and sequences of states that they hand on, as stacked tensors (``Repeat.stacked``).

    An ONNX recurrent layer reads its input's gates so, and its Y is a view of all hidden states.
    """
    repeats = {node.name: node for node in graph.nodes if isinstance(node, Repeat)}
    makers = {outer: (name, inner) for name, node in repeats.items() for inner, outer in node.outputs.items()}
    tensors = dict(graph.tensors)
    changed = {name: _by_slices(node) for name, node in repeats.items()}
    views: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        if not isinstance(node, Operator) or node.kind != "view" or not all(name in makers for name in node.inputs):
            continue
        counts = {repeats[makers[name][0]].count for name in node.inputs}
        held = sum(tensors[name].values for name in node.inputs)
        if len(counts) == 1 and tensors[node.outputs[0]].values == held * min(counts) and min(counts) > 1:
            stacks = []
            for name in node.inputs:
                maker, inner = makers[name]
                repeat = changed[maker]
                outer = f"{maker}.{inner}"
                made = repeat.body.tensors[inner]
                tensors[outer] = replace(made, name=outer, shape=(repeat.count, *made.shape), alias_of=None)
                changed[maker] = replace(repeat, stacked={**repeat.stacked, inner: outer})
                stacks.append(outer)
            views[node.name] = tuple(stacks)
    if not views and all(changed[name] is node for name, node in repeats.items()):
        return graph
    nodes = [
        changed[node.name] if isinstance(node, Repeat) else replace(node, inputs=views.get(node.name, node.inputs)) for node in graph.nodes
    ]
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


def _by_slices(repeat: Repeat) -> Repeat:
    sliced = sliced_inputs(repeat)
    if not sliced:
        return repeat
    body = repeat.body
    tensors = {
        name: replace(tensor, shape=tensor.shape[1:]) if name in sliced else tensor for name, tensor in body.tensors.items()
    }  # fmt: skip

    def row(operand: Operand) -> Operand:
        return replace(operand, axes=operand.axes[1:]) if operand.tensor in sliced else operand

    nodes: list[Operator | Repeat] = []
    for node in body.nodes:
        if isinstance(node, Operator) and any(name in sliced for name in node.inputs):
            nests = tuple(replace(nest, reads=tuple(row(read) for read in nest.reads)) for nest in node.nests)
            reads = {name: size for name, size in node.read_bytes.items() if name not in sliced}
            node = replace(node, nests=nests, read_bytes=reads)
        nodes.append(node)
    entering = {name: outer for name, outer in repeat.inputs.items() if name not in sliced}
    inputs = tuple(name for name in body.inputs if name not in sliced)
    return replace(
        repeat, body=replace(body, tensors=tensors, nodes=tuple(nodes), inputs=inputs), inputs=entering,
        shared=tuple(name for name in repeat.shared if name not in sliced), stacked={**repeat.stacked, **sliced},
    )  # fmt: skip


def over_rounds(part: Part, rounds: int, place: Callable[[Operand], tuple[Operand, Operand | None]]) -> list[Part]:
    """``part`` of one round as one nest over all rounds, and one more per operand that has another tensor at the edge.

    Args:
        place: an operand of the body to where it lies over all rounds (with the dimension ``round``), and to what takes its place in the
            one round that lies outside that stack (first or last), if it is not zero.
    """
    wide, found = [], []
    for at, read in enumerate(part.reads):
        everywhere, edge = place(read)
        wide.append(everywhere)
        if edge is not None:
            found.append((at, edge))
    parts = [replace(part, dims=(("round", rounds), *part.dims), reads=tuple(wide))]
    for at, edge in found:
        turn = rounds - 1 if any(term == ("round", 1) for term in wide[at].axes[0].terms) and wide[at].axes[0].offset > 0 else 0
        others = [
            replace(read, axes=(Axis((), turn + read.axes[0].offset), *read.axes[1:])) if "round" in read.dims else read for read in wide
        ]  # fmt: skip
        others[at] = edge
        parts.append(replace(part, reads=tuple(others)))
    return parts


__all__ = ["CELL_GRADIENT_OPS", "SCAN_GRADIENT_OPS", "cell", "is_cell", "over_rounds", "scan", "with_reserve", "with_slices"]
