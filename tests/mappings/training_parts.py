"""Operators of a training step, built by hand: an optimizer's update, N:M copies, a product on a copy."""

from __future__ import annotations

from dataclasses import replace

from hwspecs.vocabulary.sparsity import parse_sparsity
from tests.mappings.builders import axis, gemm, operand, tensor
from workloads.graph import Nest, Operand, Operator, Role


def sparse(pattern: str, axis: int):
    return replace(parse_sparsity(pattern), axis=axis)


def product(m: int, n: int, k: int, pattern: str = "dense", *, along: int = 0, name: str = "fc", **rest):
    """y[m, n] = x[m, k] w[k, n] with w sparse along ``along`` (0: the reduction)."""
    operator, tensors = gemm(name, m, n, k, format="fp16", **rest)
    weight = rest.get("w", "w")
    if pattern != "dense":
        tensors[weight] = replace(tensors[weight], sparsity=sparse(pattern, along))
    return operator, tensors


def update(k: int, n: int, weight: str = "w"):
    """SGD with momentum in mixed precision: fp32 master and momentum, fp16 gradient in, fp16 weight out."""
    states = {name: tensor(f"{weight}.{name}", k, n, format="fp32", role=Role.OPTIMIZER_STATE) for name in ("master", "momentum")}
    gradient = tensor(f"{weight}.grad", k, n, format="fp16", role=Role.GRADIENT)
    old = tensor(weight, k, n, format="fp16", role=Role.WEIGHT)
    new = {f"{item.name}.new": replace(item, name=f"{item.name}.new", alias_of=item.name) for item in (*states.values(), old)}
    axes = (axis("d0"), axis("d1"))
    reads = tuple(Operand(item.name, axes) for item in (*states.values(), gradient))
    nest = Nest((("d0", k), ("d1", n)), "sgd_momentum", reads, tuple(Operand(name, axes) for name in new), 6)
    tensors = {item.name: item for item in (*states.values(), gradient, old)} | new
    inputs = (*[item.name for item in states.values()], gradient.name, weight)
    return Operator(f"{weight}.update", "update", inputs, tuple(new), (nest,), attributes={"pass": "update"}), tensors


def prune(k: int, n: int, pattern: str, *, source: str = "w", out: str = "w.ff", along: int = 0, ahead: bool = False, which: str = "FF"):
    """An N:M copy of a weight of k x n."""
    mode = sparse(pattern, along)
    nest = Nest((("d0", k), ("d1", n)), "prune", (operand(source, "d0", "d1"),), (operand(out, "d0", "d1"),), 1)
    tensors = {
        source: tensor(source, k, n, format="fp16", role=Role.WEIGHT),
        out: tensor(out, k, n, format="fp16", role=Role.WEIGHT, sparsity=mode),
    }
    attributes = {"n": mode.n, "m": mode.m, "axis": along, "pass": which, "pregenerated": ahead}
    return Operator(f"{out}.prune", "prune", (source,), (out,), (nest,), attributes=attributes), tensors
