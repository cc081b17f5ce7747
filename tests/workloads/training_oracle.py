"""Plays a training step on numbers, operator by operator, and compares each weight's gradient with differences of the forward pass.

What a function computes is written down here a second time, with numpy; where operands lie is what the graph's nests say.
"""

from __future__ import annotations

from math import erf

import numpy as np

from tests.workloads.nest_interpreter import _gather, _indices
from workloads.graph import Role
from workloads.passes import training
from workloads.passes.unroll import unrolled


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _gelu(x):
    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def _gelu_slope(x):
    return 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _silu_slope(x):
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


POINTWISE = {
    "relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "sigmoid": sigmoid, "gelu": _gelu, "exp": np.exp,
    "silu": lambda x, *v: x * sigmoid(x) * (v[0] if v else 1), "softplus": lambda x: np.log1p(np.exp(x)),
    "add": lambda *xs: sum(xs), "sub": lambda x, y: x - y, "mul": lambda *xs: np.prod(xs, axis=0), "div": lambda x, y: x / y,
    "affine": lambda x, *rest: (x - rest[0]) * rest[1] * rest[2] + rest[3] if len(rest) == 4 else x * rest[0] + rest[1],
    "tan": np.tan, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "softsign": lambda x: x / (1 + abs(x)), "asinh": np.arcsinh,
    "square": lambda x: x * x, "log": lambda x: np.log(x), "erf": np.vectorize(erf), "max": np.maximum, "sqrt": np.sqrt,
    "tan_gradient": lambda g, y: g * (1 + y * y), "atan_gradient": lambda g, x: g / (1 + x * x),
    "sinh_gradient": lambda g, x: g * np.cosh(x),
    "cosh_gradient": lambda g, x: g * np.sinh(x), "softsign_gradient": lambda g, x: g / (1 + abs(x)) ** 2,
    "asinh_gradient": lambda g, x: g / np.sqrt(1 + x * x), "square_gradient": lambda g, x: 2 * g * x,
    "erf_gradient": lambda g, x: 2 * g * np.exp(-x * x) / np.sqrt(np.pi), "sqrt_gradient": lambda g, y: 0.5 * g / y,
    "relu_gradient": lambda g, y: g * (y > 0), "tanh_gradient": lambda g, y: g * (1 - y * y), "exp_gradient": lambda g, y: g * y,
    "sigmoid_gradient": lambda g, y: g * y * (1 - y), "gelu_gradient": lambda g, x: g * _gelu_slope(x),
    "silu_gradient": lambda g, x, *v: g * _silu_slope(x) * (v[0] if v else 1), "softplus_gradient": lambda g, x: g * sigmoid(x),
}  # fmt: skip
"""Functions of one point; a gradient takes the result's gradient and what it keeps."""


def _row(array):
    return array.sum(-1, keepdims=True)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / _row(e)


def _normed(x, rms):
    mean = 0 if rms else x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)


def _norm_gradient(g, x, gamma=1.0, rms=False):
    mean = 0 if rms else x.mean(-1, keepdims=True)
    deviation = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    xh, h = (x - mean) / deviation, g * gamma
    return (h - (0 if rms else h.mean(-1, keepdims=True)) - xh * (h * xh).mean(-1, keepdims=True)) / deviation


class Player:
    """Arrays of a graph by name, filled operator by operator."""

    def __init__(self, tensors, arrays):
        self.tensors, self.arrays, self.rms = tensors, arrays, False

    def run(self, nodes):
        for node in nodes:
            if node.kind == "view":
                self.view(node)
            elif node.kind == "softmax" or node.kind == "norm":
                self.rows(node)
            elif node.attributes.get("norm") == "batchnorm" and node.kind == "reduce":
                self.batch(node)
            elif node.attributes.get("function") in ("cell", "cell_gradient") or node.kind == "scan":
                getattr(self, str(node.attributes["function"]))(node)
            elif node.kind == "embedding":
                self.lookup(node)
            elif node.kind == "reduce" and len(node.nests[0].reads) == 2 and node.attributes["function"] == "add":
                self.gamma(node)
            elif node.kind != "update":
                for name in node.internal:
                    self.arrays.pop(name, None)
                for nest in node.nests:
                    self.nest(node, nest)

    def shape(self, node, name):
        return (node.internal.get(name) or self.tensors[name]).shape

    def nest(self, node, nest):
        """Points of a nest: products, copies and sums add up in what they write, all else is set."""
        names = [name for name, _ in nest.dims]
        flat = np.indices([extent for _, extent in nest.dims]).reshape(len(names), -1)
        grid = dict(zip(names, flat, strict=True))
        points = flat.shape[1]
        values = [_gather(self.arrays[read.tensor], _indices(read, grid, points)) for read in nest.reads]
        if nest.function == "softmax":
            self.arrays[nest.writes[0].tensor] = _softmax(self.arrays[nest.reads[0].tensor])
            return
        if nest.function == "softmax_gradient" and node.kind == "attention":
            g, y = (self.arrays[read.tensor] for read in nest.reads)
            self.arrays[nest.writes[0].tensor] = y * (g - _row(g * y))
            return
        if nest.function == "batchnorm_gradient":
            g, x, mean, rstd, gamma, d_gamma, d_beta = values
            count = self.per_channel(nest)
            value = gamma * rstd * (g - d_beta / count - (x - mean) * rstd * d_gamma / count)
        elif nest.function in ("mac", "copy") or (nest.function == "add" and node.attributes.get("function") == "mul"):
            value = np.prod(values, axis=0)
        else:
            value = POINTWISE[nest.function](*values)
        write = nest.writes[0]
        index = _indices(write, grid, points)
        target = self.arrays.setdefault(write.tensor, np.zeros(self.shape(node, write.tensor)))
        inside = np.ones(points, bool)
        for row, size in zip(index, target.shape, strict=True):
            inside &= (row >= 0) & (row < size)
        np.add.at(target, tuple(index[:, inside]), value[inside])

    def per_channel(self, nest):
        shift = nest.reads[-1]
        extents = dict(nest.dims)
        return np.prod([extent for dim, extent in extents.items() if dim not in shift.dims])

    def view(self, node):
        """One tensor seen as another, several as one (along the first axis), one as several."""
        whole = np.concatenate([self.arrays[name].reshape(-1) for name in node.inputs])
        if len(node.outputs) == 1:
            self.arrays[node.outputs[0]] = whole.reshape(self.tensors[node.outputs[0]].shape)
            return
        source, start = self.arrays[node.inputs[0]], 0
        shapes, last = [self.tensors[name].shape for name in node.outputs], source.ndim - 1
        if last and all(shape[:last] == source.shape[:last] for shape in shapes):
            for name, shape in zip(node.outputs, shapes, strict=True):  # a split of the last axis
                width = int(np.prod(shape[last:]))
                self.arrays[name] = source[..., start : start + width].reshape(shape)
                start += width
            return
        for name in node.outputs:
            size = self.tensors[name].values
            self.arrays[name] = whole[start : start + size].reshape(self.tensors[name].shape)
            start += size

    def rows(self, node):
        """Softmax and norms over the last axis, and their gradients."""
        function, reads = node.nests[0].function, [self.arrays[read.tensor] for read in node.nests[0].reads]
        rms = function.startswith("rmsnorm")
        if function == "softmax":
            made = _softmax(reads[0])
        elif function == "softmax_gradient":
            made = reads[1] * (reads[0] - _row(reads[0] * reads[1]))
        elif function.startswith("cross_entropy"):
            axis = int(node.attributes["axis"])
            x, labels = np.moveaxis(reads[0], axis, -1), reads[1]
            hot = np.arange(x.shape[-1]) == labels[..., None]
            if function == "cross_entropy":
                made = np.log(np.exp(x).sum(-1)) - (x * hot).sum(-1)
            else:
                made = np.moveaxis(_softmax(x) - hot, -1, axis)
        elif function.endswith("_gradient"):
            made = _norm_gradient(*reads, rms=rms)
        else:
            self.rms = rms
            made = _normed(reads[0], rms) * (reads[1] if len(reads) > 1 else 1) + (reads[2] if len(reads) > 2 else 0)
        self.arrays[node.outputs[0]] = made

    def lookup(self, node):
        """Rows of a table by their numbers; or gradients added to the rows that were looked up."""
        ids = next(self.arrays[name] for name in node.inputs if self.tensors[name].role is Role.INDEX)
        other = next(self.arrays[name] for name in node.inputs if self.tensors[name].role is not Role.INDEX)
        if node.attributes.get("function") != "scatter_add":
            self.arrays[node.outputs[0]] = other[ids]
            return
        self.arrays[node.outputs[0]] = np.zeros(self.tensors[node.outputs[0]].shape)
        np.add.at(self.arrays[node.outputs[0]], ids, other)

    def gamma(self, node):
        """The gradient of a norm's scale, from the result's gradient and the norm's input (a graph has norms of one kind)."""
        g, x = (self.arrays[read.tensor] for read in node.nests[0].reads)
        product = g * _normed(x, self.rms)
        self.arrays[node.outputs[0]] = product.reshape(-1, product.shape[-1]).sum(0)

    def batch(self, node):
        """Statistics of a batch (mean and reciprocal deviation of each channel), or the gradients of gamma and beta."""
        first = self.arrays[node.nests[0].reads[0].tensor]
        axes = tuple(place for place in range(first.ndim) if place != 1)
        if len(node.nests[0].reads) == 1:
            self.arrays[node.outputs[0]], self.arrays[node.outputs[1]] = first.mean(axes), 1 / np.sqrt(first.var(axes) + 1e-5)
            return
        g, x, mean, rstd = (self.arrays[read.tensor] for read in node.nests[0].reads)
        wide = (1, -1, *([1] * (x.ndim - 2)))
        self.arrays[node.outputs[0]] = (g * (x - mean.reshape(wide)) * rstd.reshape(wide)).sum(axes)
        self.arrays[node.outputs[1]] = g.sum(axes)

    # -- recurrent cells: gates in the order i, o, f, g (LSTM) and z, r, n (GRU), as in ONNX --------------------------------------

    def parts(self, node):
        """What the old state adds to the gates, what the input adds, the old state."""
        arrays = [self.arrays[name] for name in node.inputs]
        return arrays if len(arrays) == 3 else (np.zeros_like(arrays[0]), arrays[0], arrays[1] if len(arrays) > 1 else None)

    def cell(self, node):
        recurrent, gates, state = self.parts(node)
        kind, split = node.attributes["cell"], lambda x, n: np.split(x, n, -1)
        if kind == "RNN":
            made = (np.tanh(recurrent + gates),)
        elif kind == "LSTM":
            i, o, f, g = split(recurrent + gates, 4)
            i, o, f, g = sigmoid(i), sigmoid(o), sigmoid(f), np.tanh(g)
            c = i * g if state is None else f * state + i * g
            made = (o * np.tanh(c), c, np.concatenate((i, o, f, g), -1))
        else:
            (xz, xr, xn), (rz, rr, q) = split(gates, 3), split(recurrent, 3)
            z, r = sigmoid(xz + rz), sigmoid(xr + rr)
            n = np.tanh(xn + r * q)
            made = ((1 - z) * n + z * state, np.concatenate((z, r, n, q), -1))
        for name, array in zip(node.outputs, made, strict=False):
            self.arrays[name] = array

    def cell_gradient(self, node):
        kind, reads = node.attributes["cell"], [self.arrays[name] for name in node.inputs]
        if kind == "RNN":
            made = (reads[0] * (1 - reads[1] ** 2),)
        elif kind == "GRU":
            g, held, h = reads
            z, r, n, q = np.split(held, 4, -1)
            dz, dn = g * (h - n) * z * (1 - z), g * (1 - z) * (1 - n * n)
            dr = dn * q * r * (1 - r)
            made = (np.concatenate((dz, dr, dn * r), -1), np.concatenate((dz, dr, dn), -1), g * z)
        else:
            place = max(range(len(reads)), key=lambda at: reads[at].shape[-1])
            (i, o, f, g), after = np.split(reads[place], 4, -1), reads[place + 1 :]
            t, zero = np.tanh(after[0]), np.zeros_like(i)
            dh = reads[0]
            dc = dh * o * (1 - t * t) + (reads[1] if place > 1 else 0)
            df = dc * after[1] * f * (1 - f) if len(after) > 1 else zero
            made = (np.concatenate((dc * g * i * (1 - i), dh * t * o * (1 - o), df, dc * i * (1 - g * g)), -1), dc * f)
        for name, array in zip(node.outputs, made, strict=False):
            self.arrays[name] = array

    # -- selective scan --------------------------------------------------------------------------------------------------------

    def states(self, x, delta, a, b):
        batch, tokens, channels = x.shape
        h, held, decay = np.zeros((batch, channels, a.shape[1])), [], []
        for t in range(tokens):
            decay.append(np.exp(delta[:, t, :, None] * a))
            h = decay[-1] * h + delta[:, t, :, None] * b[:, t, None, :] * x[:, t, :, None]
            held.append(h)
        return held, decay

    def scan(self, node):
        x, delta, a, b, c = (self.arrays[name] for name in node.inputs)
        held, _ = self.states(x, delta, a, b)
        self.arrays[node.outputs[0]] = np.stack([(h * c[:, t, None, :]).sum(-1) for t, h in enumerate(held)], 1)

    def scan_gradient(self, node):
        g, x, delta, a, b, c = (self.arrays[name] for name in node.inputs)
        held, decay = self.states(x, delta, a, b)
        made = [np.zeros_like(array) for array in (x, delta, a, b, c)]
        dh = np.zeros_like(held[0])
        for t in reversed(range(x.shape[1])):
            before = held[t - 1] if t else np.zeros_like(dh)
            dh = dh + c[:, t, None, :] * g[:, t, :, None]
            d, xt, bt = delta[:, t, :, None], x[:, t, :, None], b[:, t, None, :]
            via = dh * before * decay[t]
            made[0][:, t] = (dh * d * bt).sum(-1)
            made[1][:, t] = (via * a + dh * bt * xt).sum(-1)
            made[2] += (via * d).sum(0)
            made[3][:, t] = (dh * d * xt).sum(1)
            made[4][:, t] = (g[:, t, :, None] * held[t]).sum(1)
            dh = dh * decay[t]
        for name, array in zip(node.outputs, made, strict=True):
            self.arrays[name] = array


def check_gradients(graph, *, seed=0, probes=4, step=1e-5, **asked):
    """Play the training step of ``graph`` and compare ``probes`` entries of each weight's gradient with central differences.

    Returns:
        How many weights were compared.
    """
    flat = unrolled(training(graph, precision="fp32", **asked))
    flat.check()
    random = np.random.default_rng(seed)
    given = {}
    for name, tensor in flat.tensors.items():
        if name in flat.inputs or tensor.role in (Role.WEIGHT, Role.STATE):
            integer = tensor.role is Role.INDEX
            given[name] = random.integers(0, 3, tensor.shape) if integer else 0.5 * random.normal(size=tensor.shape)
            if tensor.role is Role.STATE:
                given[name] = np.zeros(tensor.shape)
    made = {*flat.inputs} | {name for node in flat.nodes if node.attributes.get("pass") == "FF" for name in node.outputs}
    forward = [node for node in flat.nodes if node.attributes.get("pass") == "FF" or (node.kind == "view" and made.issuperset(node.inputs))]

    def loss():
        player = Player(flat.tensors, dict(given))
        player.run(forward)
        total = 0.0
        for name in flat.outputs:
            weight = given.get(f"{name}.loss_gradient")
            total += np.sum(player.arrays[name] * weight) if weight is not None else np.sum(player.arrays[name])
        return total

    player = Player(flat.tensors, dict(given))
    player.run(flat.nodes)
    updates = [node for node in flat.nodes if node.kind == "update"]
    for node in updates:
        (gradient,) = (name for name in node.inputs if flat.tensors[name].role is Role.GRADIENT)
        weight = next(name for name in node.inputs if flat.tensors[name].role is Role.WEIGHT)
        for index in random.integers(0, given[weight].size, probes):
            place = np.unravel_index(index, given[weight].shape)
            found = []
            for sign in (1, -1):
                given[weight][place] += sign * step
                found.append(loss())
                given[weight][place] -= sign * step
            slope = (found[0] - found[1]) / (2 * step)
            assert abs(player.arrays[gradient][place] - slope) <= 1e-5 + 1e-4 * abs(slope), (
                weight,
                place,
                player.arrays[gradient][place],
                slope,
            )
    return len(updates)
