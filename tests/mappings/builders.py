"""Small graphs and devices, built by hand, for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace

from hwspecs.hardware import ComputeUnit, Hardware, Memory
from hwspecs.vocabulary.formats import number_format
from workloads.graph import Axis, Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor


def axis(*terms: tuple[str, int] | str, offset: int = 0) -> Axis:
    return Axis(tuple((term, 1) if isinstance(term, str) else term for term in terms), offset)


def operand(tensor: str, *axes: Axis | str) -> Operand:
    return Operand(tensor, tuple(axis(item) if isinstance(item, str) else item for item in axes))


def tensor(name: str, *shape: int, format: str = "int8", role: Role = Role.ACTIVATION, **rest) -> Tensor:
    return Tensor(name, shape, number_format(format), role, **rest)


def mac(dims: dict[str, int], a: Operand, b: Operand, out: Operand) -> Nest:
    return Nest(tuple(dims.items()), "mac", (a, b), (out,))


def gemm(name: str, m: int, n: int, k: int, *, x: str = "x", w: str = "w", y: str = "y", format: str = "int8", weights: str | None = None):
    """(operator, tensors) of y[m, n] = x[m, k] w[k, n]."""
    nest = mac({"m": m, "n": n, "k": k}, operand(x, "m", "k"), operand(w, "k", "n"), operand(y, "m", "n"))
    tensors = {
        x: tensor(x, m, k, format=format),
        w: tensor(w, k, n, format=weights or format, role=Role.WEIGHT),
        y: tensor(y, m, n, format=format),
    }
    return Operator(name, "gemm", (x, w), (y,), (nest,)), tensors


def conv(
    name: str, *, c: int, o: int, h: int, f: int, stride: int = 1, pad: int = 0, groups: int = 1, batch: int = 1, format: str = "int8"
):
    """(operator, tensors) of a square convolution in NCHW."""
    out = (h + 2 * pad - f) // stride + 1
    cg, og = c // groups, o // groups
    dims = {"n": batch, "g": groups, "o": og, "p": out, "q": out, "c": cg, "r": f, "s": f}
    row = axis(("p", stride), "r", offset=-pad)
    column = axis(("q", stride), "s", offset=-pad)
    x = Operand("x", (axis("n"), axis(("g", cg), "c"), row, column))
    w = Operand("w", (axis(("g", og), "o"), axis("c"), axis("r"), axis("s")))
    y = Operand("y", (axis("n"), axis(("g", og), "o"), axis("p"), axis("q")))
    tensors = {
        "x": tensor("x", batch, c, h, h, format=format),
        "w": tensor("w", o, cg, f, f, format=format, role=Role.WEIGHT),
        "y": tensor("y", batch, o, out, out, format=format),
    }
    return Operator(name, "conv", ("x", "w"), ("y",), (mac(dims, x, w, y),)), tensors


def elementwise(name: str, x: str, y: str, *shape: int, function: str = "relu", ops: int = 1, format: str = "int8"):
    dims = tuple((f"d{place}", extent) for place, extent in enumerate(shape))
    axes = tuple(axis(dim) for dim, _ in dims)
    nest = Nest(dims, function, (Operand(x, axes),), (Operand(y, axes),), ops)
    tensors = {x: tensor(x, *shape, format=format), y: tensor(y, *shape, format=format)}
    return Operator(name, "elementwise", (x,), (y,), (nest,)), tensors


def softmax(name: str, x: str, y: str, rows: int, width: int, format: str = "fp16"):
    dims = (("r", rows), ("w", width))
    full, row = (axis("r"), axis("w")), (axis("r"),)
    nests = (
        Nest(dims, "max", (Operand(x, full),), (Operand("top", row),), 1),
        Nest(dims, "exp", (Operand(x, full), Operand("top", row)), (Operand("e", full),), 1),
        Nest(dims, "add", (Operand("e", full),), (Operand("sum", row),), 1),
        Nest(dims, "div", (Operand("e", full), Operand("sum", row)), (Operand(y, full),), 1),
    )
    internal = {
        "top": tensor("top", rows, format=format),
        "e": tensor("e", rows, width, format=format),
        "sum": tensor("sum", rows, format=format),
    }
    tensors = {x: tensor(x, rows, width, format=format), y: tensor(y, rows, width, format=format)}
    return Operator(name, "softmax", (x,), (y,), nests, internal), tensors


def graph(*parts, inputs: tuple[str, ...] = ("x",), outputs: tuple[str, ...] = ("y",), name: str = "net") -> OperatorGraph:
    """A graph of (operator, tensors) pairs and repeats."""
    nodes, tensors = [], {}
    for part in parts:
        if isinstance(part, Repeat):
            nodes.append(part)
        else:
            nodes.append(part[0])
            tensors.update(part[1])
    return OperatorGraph(name, tensors, tuple(nodes), inputs, outputs)


def systolic(
    rows: int = 8,
    columns: int = 8,
    dataflow: str = "output_stationary",
    *,
    scratchpad: int | dict[str, int] = 64 * 1024,
    double_buffered: bool = True,
    vector: bool = True,
    formats: tuple[str, ...] = ("int8", "fp16"),
    bandwidth: float = 16e9,
    clock: float = 1e9,
    lanes: int = 16,
) -> Hardware:
    """An array with a scratchpad, DRAM at ``bandwidth`` bytes/s and, if asked, a vector unit."""
    partitions = scratchpad if isinstance(scratchpad, dict) else {}
    size = sum(partitions.values()) if partitions else scratchpad
    rates = {(name, "dense"): 2.0 * rows * columns * clock for name in formats}
    array = ComputeUnit(
        "array", "systolic", 1, clock, rates, {}, {f"mac.{name}": 1e-12 for name in formats}, "vector" if vector else None,
        {"rows": rows, "columns": columns, "dataflow": dataflow},
    )  # fmt: skip
    simd = ComputeUnit(
        "vector", "vector", 1, clock, {}, {"fp32": lanes * clock, "fp16": lanes * clock, "int8": lanes * clock},
        {"vector.fp32": 1e-12}, None, {"lanes": lanes, "cycles.exp": 4, "cycles.div": 8},
    )  # fmt: skip
    units = {"array": array, "vector": simd} if vector else {"array": array}
    memories = {
        "dram": Memory("dram", True, 1 << 33, bandwidth),
        "scratchpad": Memory("scratchpad", False, size, 1e12, partitions=partitions, double_buffered=double_buffered),
    }
    return Hardware(
        "hand-built", "a small array", "systolic", clock, formats[0], units, memories, {}, {}, 0.0, 0.0, 0.0, None, None, {}, "none"
    )  # fmt: skip


def with_kind(hardware: Hardware, kind: str) -> Hardware:
    """The same device with a primary unit of another kind."""
    units = dict(hardware.units)
    units["array"] = replace(units["array"], kind=kind)
    return replace(hardware, units=units)
