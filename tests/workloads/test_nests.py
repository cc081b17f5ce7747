"""What nests mean: played point by point they equal the ONNX reference operators; ``as_matmul`` sees the im2col product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError
from tests.workloads.nest_interpreter import play
from workloads.builder import GraphBuilder
from workloads.graph import Operator, Role, as_matmul

LIGHT = settings(max_examples=60, deadline=None)


def reference(op: str, inputs: dict[str, np.ndarray], **attributes: object) -> np.ndarray:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(helper.make_node(op, list(inputs), ["y"], **attributes)).run(None, inputs)[0]


def made(builder: GraphBuilder) -> Operator:
    node = builder.build(check=True).nodes[-1]
    assert isinstance(node, Operator)
    return node


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, object]:
    rank = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    window = [draw(st.integers(1, 3)) for _ in range(rank)]
    return {
        "rank": rank, "groups": groups, "window": window, "batch": draw(st.integers(1, 2)),
        "channels": groups * draw(st.integers(1, 2)), "features": groups * draw(st.integers(1, 2)),
        "sizes": [draw(st.integers(4, 5)) for _ in range(rank)], "strides": [draw(st.integers(1, 3)) for _ in range(rank)],
        "dilations": [draw(st.integers(1, 2)) if w < 3 else 1 for w in window],
        "pads": [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank)],
    }  # fmt: skip


@LIGHT
@given(convolutions(), st.integers(0, 99))
def test_conv_nest_is_the_convolution(case, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (case["batch"], case["channels"], *case["sizes"])).astype(np.float32)
    w = rng.integers(-3, 4, (case["features"], case["channels"] // case["groups"], *case["window"])).astype(np.float32)
    builder = GraphBuilder("t")
    builder.input("x", x.shape)
    builder.weight("w", w.shape)
    keys = ("strides", "pads", "dilations", "groups")
    builder.conv("x", "w", "y", **{key: case[key] for key in keys})
    nest = made(builder).nests[0]
    pads = [begin for begin, _ in case["pads"]] + [end for _, end in case["pads"]]
    expected = reference("Conv", {"x": x, "w": w}, strides=case["strides"], pads=pads, dilations=case["dilations"], group=case["groups"])
    assert builder["y"].shape == expected.shape
    np.testing.assert_array_equal(play(nest, {"x": x, "w": w}, expected.shape), expected)
    product = as_matmul(nest)
    pixels = case["batch"] * int(np.prod(expected.shape[2:]))
    assert (product.batch, product.m) == (case["groups"], pixels)
    assert product.n == case["features"] // case["groups"]
    assert product.k == case["channels"] // case["groups"] * int(np.prod(case["window"]))
    assert nest.macs == product.batch * product.m * product.n * product.k
    assert (product.a, product.b, product.out) == ("x", "w", "y")


@LIGHT
@given(convolutions(), st.integers(0, 99))
def test_transposed_conv_nest_is_the_transposed_convolution(case, seed):
    rng = np.random.default_rng(seed)
    case["pads"] = [(0, min(end, w - 1)) for (_, end), w in zip(case["pads"], case["window"], strict=True)]
    x = rng.integers(-3, 4, (case["batch"], case["channels"], *case["sizes"])).astype(np.float32)
    w = rng.integers(-3, 4, (case["channels"], case["features"] // case["groups"], *case["window"])).astype(np.float32)
    builder = GraphBuilder("t")
    builder.input("x", x.shape)
    builder.weight("w", w.shape)
    builder.conv("x", "w", "y", transposed=True, **{key: case[key] for key in ("strides", "pads", "dilations", "groups")})
    nest = made(builder).nests[0]
    # the definition: out[n, k, p * stride + r * dilation - begin] += x[n, c, p] * w[c, k, r]
    out = np.zeros(builder["y"].shape)
    per_in, per_out = case["channels"] // case["groups"], case["features"] // case["groups"]
    for p in np.ndindex(*x.shape[2:]):
        for r in np.ndindex(*w.shape[2:]):
            at = [p[i] * case["strides"][i] + r[i] * case["dilations"][i] - case["pads"][i][0] for i in range(case["rank"])]
            if all(0 <= a < size for a, size in zip(at, out.shape[2:], strict=True)):
                for g in range(case["groups"]):
                    inner, outer = slice(g * per_in, (g + 1) * per_in), slice(g * per_out, (g + 1) * per_out)
                    out[(slice(None), outer, *at)] += x[(slice(None), inner, *p)] @ w[(inner, slice(None), *r)]
    np.testing.assert_array_equal(play(nest, {"x": x, "w": w}, out.shape), out)
    assert nest.macs == x.size * per_out * int(np.prod(case["window"]))
    product = as_matmul(nest)
    assert (product.batch, product.m, product.k) == (case["groups"], x.size // case["channels"], per_in)
    assert product.n == per_out * int(np.prod(case["window"]))


@LIGHT
@given(st.data())
def test_matmul_nest_is_numpy_matmul(data):
    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))
    m, n, k = (data.draw(st.integers(1, 4)) for _ in range(3))
    left = [size if data.draw(st.booleans()) else 1 for size in batch]
    right = [size if data.draw(st.booleans()) else 1 for size in batch]
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (*left, m, k)), rng.integers(-3, 4, (*right, k, n))
    builder = GraphBuilder("t")
    builder.input("a", a.shape)
    builder.input("b", b.shape)
    builder.matmul("a", "b", "c")
    nest = made(builder).nests[0]
    np.testing.assert_array_equal(play(nest, {"a": a, "b": b}, builder["c"].shape), a @ b)
    assert nest.macs == (a @ b).size * k
    product = as_matmul(nest)
    assert product.batch * product.m * product.n * product.k == nest.macs
    shared = [size for size, x, y in zip(batch, left, right, strict=True) if x == size and y == size]
    assert product.batch == int(np.prod(shared, initial=1)) or 1 in batch


@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(False, False), (True, False), (False, True), (True, True)])
def test_gemm_nest_transposes(transpose_a, transpose_b):
    rng = np.random.default_rng(1)
    a, b = rng.integers(-3, 4, (3, 4)), rng.integers(-3, 4, (4, 5))
    builder = GraphBuilder("t")
    builder.input("a", a.T.shape if transpose_a else a.shape)
    builder.weight("b", b.T.shape if transpose_b else b.shape)
    builder.gemm("a", "b", "c", transpose_a=transpose_a, transpose_b=transpose_b)
    arrays = {"a": a.T if transpose_a else a, "b": b.T if transpose_b else b}
    np.testing.assert_array_equal(play(made(builder).nests[0], arrays, (3, 5)), a @ b)
    product = as_matmul(made(builder).nests[0])
    assert (product.batch, product.m, product.n, product.k) == (1, 3, 5, 4)


@LIGHT
@given(st.lists(st.integers(1, 3), min_size=6, max_size=6), st.booleans())
def test_attention_nests_with_grouped_heads(sizes, flat):
    batch, kv_heads, group, queries, keys, dim = sizes
    heads, value_dim = kv_heads * group, dim + 1
    rng = np.random.default_rng(3)
    q = rng.integers(-3, 4, (batch, heads, queries, dim))
    k = rng.integers(-3, 4, (batch, kv_heads, keys, dim))
    v = rng.integers(-3, 4, (batch, kv_heads, keys, value_dim))
    stored = q.transpose(0, 2, 1, 3).reshape(batch * queries, heads * dim) if flat else q
    builder = GraphBuilder("t")
    builder.input("q", stored.shape)
    builder.tensor("k", k.shape, role=Role.KV_CACHE)
    builder.tensor("v", v.shape, role=Role.KV_CACHE)
    builder.attention(
        "q", "k", "v", "o", batch=batch, heads=heads, kv_heads=kv_heads, queries=queries, keys=keys, head_dim=dim, value_dim=value_dim
    )
    operator = made(builder)
    scores = np.einsum("bhqd,bhkd->bhqk", q, k.repeat(group, axis=1))
    arrays = {"q": stored, "k": k, "v": v, "o.probs": scores}
    np.testing.assert_array_equal(play(operator.nests[0], arrays, scores.shape), scores)
    weighted = np.einsum("bhqk,bhkd->bhqd", scores, v.repeat(group, axis=1))
    expected = weighted.transpose(0, 2, 1, 3).reshape(batch * queries, -1) if flat else weighted
    np.testing.assert_array_equal(play(operator.nests[2], arrays, expected.shape), expected)
    qk, pv = as_matmul(operator.nests[0]), as_matmul(operator.nests[2])
    assert (qk.batch, qk.m, qk.n, qk.k) == (batch * kv_heads, group * queries, keys, dim)
    assert (pv.batch, pv.m, pv.n, pv.k) == (batch * kv_heads, group * queries, value_dim, keys)
    assert operator.macs == batch * heads * queries * keys * (dim + value_dim)


def test_hand_derived_macs():
    """56 x 56 pixels, 3 x 3 window, stride 2, padding 1: 28 x 28 outputs; each of 128 filters sums 64 x 9 products."""
    builder = GraphBuilder("t")
    builder.input("x", (1, 64, 56, 56))
    builder.weight("w", (128, 64, 3, 3))
    builder.conv("x", "w", "y", strides=2, pads=1)
    assert made(builder).macs == 28 * 28 * 128 * 64 * 9
    builder.weight("depthwise", (64, 1, 3, 3))
    builder.conv("x", "depthwise", "z", pads=1, groups=64)
    assert made(builder).macs == 56 * 56 * 64 * 9
    builder.weight("dilated", (8, 64, 3, 3))
    builder.conv("x", "dilated", "d", dilations=2)
    assert builder["d"].shape == (1, 8, 52, 52)


def test_vector_operation_counts():
    """Softmax is 8 per element, layer norm 5 + gamma + beta, a bias 1, a 3 x 3 pool 9 per output."""
    builder = GraphBuilder("t")
    builder.input("x", (2, 6, 9, 9))
    builder.softmax("x", "s")
    assert made(builder).vector_ops == 8 * 2 * 6 * 81
    builder.norm("layernorm", "x", "n", weight=builder.weight("g", (9,)), bias=builder.weight("b", (9,)))
    assert made(builder).vector_ops == 7 * 2 * 6 * 81
    builder.pool("x", "p", "max", window=3, strides=3)
    assert made(builder).vector_ops == 9 * 2 * 6 * 9
    builder.elementwise("add", ("x", "n", "s"), "a")
    assert made(builder).vector_ops == 2 * 2 * 6 * 81


def test_transpose_moves_bytes_unless_only_unit_axes_move():
    builder = GraphBuilder("t")
    x = np.arange(24).reshape(2, 1, 3, 4)
    builder.input("x", x.shape)
    builder.transpose("x", "v", (1, 0, 2, 3))
    assert made(builder).kind == "view"
    builder.transpose("x", "y", (0, 1, 3, 2))
    np.testing.assert_array_equal(play(made(builder).nests[0], {"x": x}, (2, 1, 4, 3)), x.transpose(0, 1, 3, 2))


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.conv("x", "w", "y", groups=2),
        lambda b: b.conv("x", "big", "y"),
        lambda b: b.gemm("m", "w2", "y"),
        lambda b: b.elementwise("add", ("m", "w2"), "y"),
        lambda b: b.view("x", "y", (7,)),
        lambda b: b.pool("x", "y", "max", window=9),
        lambda b: b.attention("m", "m", "m", "y", batch=1, heads=3, kv_heads=2, queries=1, keys=1, head_dim=1),
        lambda b: b.attention("m", "m", "m", "y", batch=1, heads=1, kv_heads=1, queries=9, keys=9, head_dim=9),
    ],
)
def test_impossible_operators_are_refused(call):
    builder = GraphBuilder("t")
    for name, shape in (("x", (1, 3, 5, 5)), ("w", (4, 3, 3, 3)), ("big", (4, 3, 7, 7)), ("m", (2, 3)), ("w2", (4, 5))):
        builder.tensor(name, shape)
    with pytest.raises(ArgumentError):
        call(builder)
