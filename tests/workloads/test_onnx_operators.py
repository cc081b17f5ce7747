"""Each family of ONNX operators, with MACs, vector operations and parameters derived by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.workloads.nest_interpreter import play
from tests.workloads.onnx_files import FLOAT16, INT64, UINT8, node, write, zeros
from workloads import counts, load_model
from workloads.graph import Operator, Repeat, Role, as_matmul

LINEAR = {
    "conv, same padding": (
        [node("Conv", "xw", "y", strides=[2, 2], auto_pad="SAME_UPPER")],
        {"x": [1, 3, 11, 11]},
        {"w": zeros(8, 3, 3, 3)},
        36 * 8 * 27,
        216,
    ),
    "conv with bias in one dimension": (
        [node("Conv", "xwb", "y", pads=[2, 0])],
        {"x": [2, 4, 10]},
        {"w": zeros(6, 4, 3), "b": zeros(6)},
        2 * 10 * 6 * 12,
        78,
    ),
    "conv in three dimensions": ([node("Conv", "xw", "y")], {"x": [1, 2, 4, 5, 6]}, {"w": zeros(3, 2, 2, 2, 2)}, 3 * 4 * 5 * 3 * 16, 48),
    "depthwise": ([node("Conv", "xw", "y", group=8)], {"x": [1, 8, 6, 6]}, {"w": zeros(8, 1, 3, 3)}, 16 * 8 * 9, 72),
    "transposed": (
        [node("ConvTranspose", "xw", "y", strides=[2, 2], pads=[1, 1, 1, 1])],
        {"x": [1, 8, 5, 5]},
        {"w": zeros(8, 4, 4, 4)},
        25 * 8 * 4 * 16,
        512,
    ),
    "transposed to a stated size": (
        [node("ConvTranspose", "xw", "y", strides=[2, 2], output_shape=[10, 10])],
        {"x": [1, 8, 5, 5]},
        {"w": zeros(8, 4, 3, 3)},
        25 * 8 * 4 * 9,
        288,
    ),
    "gemm": ([node("Gemm", "xwb", "y", transB=1)], {"x": [2, 8]}, {"w": zeros(4, 8), "b": zeros(4)}, 64, 36),
    "matmul": ([node("MatMul", "xw", "y")], {"x": [2, 5, 8]}, {"w": zeros(8, 4)}, 320, 32),
    "weight on the left": ([node("MatMul", "wx", "y")], {"x": [3, 8]}, {"w": zeros(4, 3)}, 96, 12),
    "vector times matrix": ([node("MatMul", "xw", "y")], {"x": [3]}, {"w": zeros(3, 4)}, 12, 12),
    "einsum": ([node("Einsum", "xw", "y", equation="bij,jk->bik")], {"x": [2, 3, 8]}, {"w": zeros(8, 5)}, 240, 40),
    "tied embedding": (
        [node("Gather", ["t", "ids"], "e"), node("Transpose", "t", ["tt"], perm=[1, 0]), node("MatMul", ["e", "tt"], "y")],
        {"ids": [1, 5]},
        {"t": zeros(100, 16)},
        5 * 16 * 100,
        1600,
    ),
    "quantized conv": (
        [node("QLinearConv", "xszwszsz", "y")],
        {"x": [1, 3, 8, 8]},
        {"s": np.array(1, np.float32), "z": np.array(0, np.uint8), "w": np.zeros((4, 3, 3, 3), np.uint8)},
        36 * 4 * 27,
        108,
    ),
}


@pytest.mark.parametrize("case", LINEAR)
def test_products(tmp_path, case):
    nodes, inputs, constants, macs, parameters = LINEAR[case]
    types = {"ids": INT64} | ({"x": UINT8, "y": UINT8} if "quantized" in case else {})
    graph = load_model(write(tmp_path, nodes, inputs, "y", constants, types=types))
    found = counts(graph)
    assert (found.macs, found.parameters) == (macs, parameters)
    product = next(nest for operator, _, _ in graph.walk() for nest in operator.nests if nest.function == "mac")
    if "embedding" not in case:
        assert as_matmul(product).b == "w", "the weight is the second operand"


VECTOR = {  # nodes, shape of x, constants, vector operations
    "relu": ([node("Relu", "x", "y")], [2, 8], {}, 16),
    "sigmoid": ([node("Sigmoid", "x", "y")], [2, 8], {}, 7 * 16),
    "gelu": ([node("Gelu", "x", "y")], [2, 8], {}, 8 * 16),
    "tanh gelu": ([node("Gelu", "x", "y", approximate="tanh")], [2, 8], {}, 12 * 16),
    "square by pow": ([node("Pow", "xc", "y")], [2, 8], {"c": np.array(2.0, np.float32)}, 16),
    "pow": ([node("Pow", "xc", "y")], [2, 8], {"c": np.array(2.5, np.float32)}, 9 * 16),
    "division by a constant": ([node("Div", "xc", "y")], [2, 8], {"c": np.array(3.0, np.float32)}, 16),
    "division": ([node("Div", "xc", "y")], [2, 8], {"c": zeros(8)}, 4 * 16),
    "sum of three": ([node("Sum", "xcd", "y")], [2, 8], {"c": zeros(8), "d": zeros(2, 8)}, 2 * 16),
    "clip": ([node("Clip", "xcd", "y")], [2, 8], {"c": np.array(0, np.float32), "d": np.array(6, np.float32)}, 2 * 16),
    "softmax": ([node("Softmax", "x", "y")], [2, 8], {}, 8 * 16),
    "layer norm": ([node("LayerNormalization", "xcd", "y")], [2, 8], {"c": zeros(8), "d": zeros(8)}, 7 * 16),
    "instance norm": ([node("InstanceNormalization", "xcd", "y")], [2, 8, 3, 3], {"c": zeros(8), "d": zeros(8)}, 7 * 144),
    "batch norm": ([node("BatchNormalization", "xabcd", "y")], [2, 8, 3, 3], {k: zeros(8) for k in "abcd"}, 2 * 144),
    "lrn": ([node("LRN", "x", "y", size=5)], [2, 8, 3, 3], {}, 18 * 144),
    "max pool, rounded up": ([node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], [1, 4, 6, 6], {}, 4 * 9 * 9),
    "average pool": ([node("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2])], [1, 4, 6, 6], {}, 4 * 9 * 4),
    "global pool": ([node("GlobalAveragePool", "x", "y")], [1, 4, 6, 6], {}, 144),
    "mean": ([node("ReduceMean", "xc", "y", keepdims=0)], [2, 8], {"c": np.array([-1])}, 16),
    "norm of a row": ([node("ReduceL2", "xc", "y")], [2, 8], {"c": np.array([1])}, 32),
    "argmax": ([node("ArgMax", "x", "y", axis=1)], [2, 8], {}, 16),
    "top 2": ([node("TopK", "xc", "yi", axis=1)], [2, 8], {"c": np.array([2])}, 2 * 16),
    "linear resize": (
        [node("Resize", ["x", "", "c"], "y", mode="linear")],
        [1, 3, 4, 4],
        {"c": np.array([1, 1, 2, 2], np.float32)},
        192 * 8,
    ),
    "select": ([node("Where", "mxc", "y")], [2, 8], {"m": np.zeros((1, 8), bool), "c": zeros(1)}, 16),
    "cast to half": ([node("Cast", "x", "y", to=FLOAT16)], [2, 8], {}, 16),
}


@pytest.mark.parametrize("case", VECTOR)
def test_vector_work(tmp_path, case):
    nodes, shape, constants, ops = VECTOR[case]
    types = {"y": FLOAT16} if "cast" in case else {"y": INT64} if case == "argmax" else {}
    graph = load_model(write(tmp_path, nodes, {"x": shape}, "y", constants, types=types))
    assert counts(graph).vector_ops == ops
    assert counts(graph).macs == 0


MOVES = {  # node, shape of x, constants, what NumPy makes of x
    "transpose": (node("Transpose", "x", "y", perm=[1, 2, 0]), (2, 3, 4), {}, lambda x: x.transpose(1, 2, 0)),
    "slice": (
        node("Slice", "xabcd", "y"),
        (2, 9, 4),
        {"a": np.array([7]), "b": np.array([0]), "c": np.array([1]), "d": np.array([-3])},
        lambda x: x[:, 7:0:-3],
    ),
    "open slice": (
        node("Slice", "xabc", "y"),
        (2, 9),
        {"a": np.array([-3]), "b": np.array([2**62]), "c": np.array([1])},
        lambda x: x[:, -3:],
    ),
    "pad": (node("Pad", "xp", "y"), (2, 3), {"p": np.array([1, 0, 2, 1])}, lambda x: np.pad(x, [(1, 2), (0, 1)])),
    "expand": (node("Expand", "xs", "y"), (3, 1), {"s": np.array([2, 3, 4])}, lambda x: np.broadcast_to(x, (2, 3, 4))),
    "one row": (node("Gather", "xi", "y", axis=1), (2, 5, 3), {"i": np.array(-2)}, lambda x: x[:, -2]),
    "depth to space": (
        node("DepthToSpace", "x", "y", blocksize=2),
        (1, 8, 2, 3),
        {},
        lambda x: x.reshape(1, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6),
    ),
    "space to depth": (
        node("SpaceToDepth", "x", "y", blocksize=2),
        (1, 2, 4, 6),
        {},
        lambda x: x.reshape(1, 2, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3),
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_moves(tmp_path, case):
    operator, shape, constants, expected = MOVES[case]
    graph = load_model(write(tmp_path, [operator], {"x": shape}, "y", constants))
    made = graph.nodes[0]
    assert isinstance(made, Operator)
    assert made.kind == "copy"
    x = np.arange(np.prod(shape)).reshape(shape) + 1
    wanted = expected(x)
    assert graph.tensors["y"].shape == wanted.shape
    np.testing.assert_array_equal(play(made.nests[0], {"x": x}, wanted.shape), wanted)
    assert counts(graph).vector_ops == 0


def test_concat_and_split_write_every_value_once(tmp_path):
    nodes = [node("Split", "x", "ab", axis=1, num_outputs=2), node("Concat", "ba", "y", axis=1)]
    graph = load_model(write(tmp_path, nodes, {"x": [2, 6]}, "y"))
    split, concat = graph.nodes
    x = np.arange(12).reshape(2, 6)
    a, b = (play(nest, {"x": x}, (2, 3)) for nest in split.nests)
    np.testing.assert_array_equal(
        sum(play(nest, {"a": a, "b": b}, (2, 6)) for nest in concat.nests), np.concatenate([x[:, 3:], x[:, :3]], 1)
    )


def test_shape_arithmetic_is_folded(tmp_path):
    """x (n, 3, 4, 5) is flattened by way of its own shape; only the view and the product remain."""
    nodes = [
        node("Shape", "x", "s"), node("Gather", "si", "b"), node("Unsqueeze", ["b", "i1"], ["u"]), node("Concat", ["u", "m"], "t", axis=0),
        node("Reshape", "xt", "f"), node("MatMul", "fw", "y"),
    ]  # fmt: skip
    constants = {"i": np.array(0), "i1": np.array([0]), "m": np.array([-1]), "w": zeros(60, 10)}
    path = write(tmp_path, nodes, {"x": ["n", 3, 4, 5]}, "y", constants)
    graph = load_model(path, batch=7)
    assert [operator.kind for operator, _, _ in graph.walk()] == ["view", "gemm"]
    assert counts(graph).macs == 7 * 60 * 10
    assert counts(load_model(path, dims={"n": 3})).macs == 3 * 60 * 10


def test_attention_from_matmuls(tmp_path):
    """Scaled, masked attention with a dropout that inference skips: one operator, 8 + 1 + 1 vector operations per score."""
    nodes = [
        node("MatMul", "qk", "s"), node("Div", "sc", "d"), node("Add", "dm", "e"), node("Softmax", "e", "p", axis=-1),
        node("Dropout", "p", ["o", "unread"]), node("MatMul", "ov", "y"),
    ]  # fmt: skip
    inputs = {"q": [2, 4, 8, 16], "k": [2, 4, 16, 8], "v": [2, 4, 8, 16], "m": [2, 1, 1, 8]}
    graph = load_model(write(tmp_path, nodes, inputs, "y", {"c": np.array(4, np.float32)}))
    (operator,) = graph.nodes
    assert isinstance(operator, Operator)
    assert (operator.kind, len(operator.nests)) == ("attention", 3)
    assert operator.macs == 2 * 2 * 4 * 8 * 8 * 16
    assert operator.vector_ops == 10 * 2 * 4 * 8 * 8


@pytest.mark.parametrize(("op", "gates", "ops"), [("LSTM", 4, 4 + 21 + 4 + 3 + 4 + 1), ("GRU", 3, 3 + 14 + 4 + 5), ("RNN", 1, 5)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_repeat_their_step(tmp_path, op, gates, ops, directions):
    steps, batch, width, hidden = 10, 2, 16, 32
    constants = {"w": zeros(directions, gates * hidden, width), "r": zeros(directions, gates * hidden, hidden)}
    way = "forward" if directions == 1 else "bidirectional"
    path = write(tmp_path, [node(op, "xwr", "yh", hidden_size=hidden, direction=way)], {"x": [steps, batch, width]}, "yh", constants)
    graph = load_model(path)
    found = counts(graph)
    assert found.macs == directions * steps * batch * gates * hidden * (width + hidden)
    assert found.parameters == directions * gates * hidden * (width + hidden)
    assert found.vector_ops == directions * steps * batch * hidden * ops
    repeats = [item for item in graph.nodes if isinstance(item, Repeat)]
    assert [item.count for item in repeats] == [steps] * directions
    assert graph.tensors["y"].shape == (steps, directions, batch, hidden)


def test_constants_are_weights_whatever_made_them(tmp_path):
    """ConstantOfShape, then Unsqueeze: one weight of 8 values; a scalar is part of the instruction; nothing runs for them."""
    nodes = [node("ConstantOfShape", "s", "w"), node("Unsqueeze", "wa", "u"), node("Mul", "xu", "m"), node("Add", "mc", "y")]
    constants = {"s": np.array([5000]), "a": np.array([0]), "c": np.array(1, np.float32)}
    graph = load_model(write(tmp_path, nodes, {"x": [3, 5000]}, "y", constants))
    assert counts(graph).parameters == 5000
    assert counts(graph).operators == 1
    assert [tensor.role for name, tensor in graph.tensors.items() if name == "u"] == [Role.WEIGHT]


def test_weights_in_an_external_file_that_is_not_there(tmp_path):
    import onnx

    path = write(tmp_path, [node("MatMul", "xw", "y")], {"x": [2, 256]}, "y", {"w": zeros(256, 256)})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert counts(load_model(path)).parameters == 65536


def test_nodes_out_of_order_are_sorted(tmp_path):
    nodes = [node("Relu", "a", "y"), node("Neg", "x", "a")]
    graph = load_model(write(tmp_path, nodes, {"x": [2, 3]}, "y"), fuse=False)
    assert [operator.attributes["function"] for operator, _, _ in graph.walk()] == ["neg", "relu"]


def test_unknown_operators_move_their_bytes(tmp_path):
    nodes = [node("Special", "xw", "y", domain="com.example", name="special")]
    path = write(tmp_path, nodes, {"x": [2, 3]}, "y", {"w": zeros(3, 3)}, domains=["com.example"], stated={"y": [2, 5]})
    graph = load_model(path, unknown_op="bytes-only")
    (operator,) = graph.nodes
    assert isinstance(operator, Operator)
    assert (operator.kind, operator.inputs, operator.outputs) == ("unknown", ("x", "w"), ("y",))
    assert "com.example.Special" in graph.notes[0]


def test_a_default_format_spares_files_that_are_quantized(tmp_path):
    constants = {"s": np.array(1, np.float32), "z": np.array(0, np.int8), "w": np.zeros((4, 3, 3, 3), np.int8)}
    nodes = [
        node("QuantizeLinear", "xsz", "q"),
        node("DequantizeLinear", "qsz", "d"),
        node("DequantizeLinear", "wsz", "u"),
        node("Conv", "du", "y"),
    ]
    path = write(tmp_path, nodes, {"x": [1, 3, 8, 8]}, "y", constants)
    graph = load_model(path, default_format="bf16")
    assert counts(graph).weight_bytes == 108
    conv = next(operator for operator, _, _ in graph.walk() if operator.kind == "conv")
    assert [graph.tensors[read.tensor].format.name for read in conv.nests[0].reads] == ["int8", "int8"]
    assert graph.tensors["y"].format.name == "fp32"
    assert counts(load_model(path, format="bf16")).weight_bytes == 216
    plain = write(tmp_path, [node("MatMul", "xw", "y")], {"x": [2, 3]}, "y", {"w": zeros(3, 5)})
    assert [counts(load_model(plain, **given)).weight_bytes for given in ({}, {"default_format": "bf16"})] == [60, 30]


def test_interpolation_at_points_of_the_data(tmp_path):
    nodes = [node("GridSample", "xg", "y", mode="linear")]
    graph = load_model(write(tmp_path, nodes, {"x": [1, 3, 8, 8], "g": [1, 5, 6, 2]}, "y"))
    assert counts(graph).vector_ops == 3 * 5 * 6 * 2 * 4


def test_files_of_old_opsets_are_converted(tmp_path):
    graph = load_model(write(tmp_path, [node("Relu", "x", "y")], {"x": [2, 3]}, "y", opset=6))
    assert counts(graph).vector_ops == 6


def test_an_encoder_layer_as_exporters_write_it(tmp_path):
    """Projections, heads split by reshape and transpose, attention, MLP with an erf GELU: 12 h^2 + 2 S h MACs per position."""
    batch, length, hidden, heads = 2, 16, 64, 4
    dim = hidden // heads
    constants = {"shape": np.array([0, 0, heads, dim]), "flat": np.array([0, 0, hidden]), "scale": np.array(dim**0.5, np.float32)}
    constants |= {"root2": np.array(2**0.5, np.float32), "one": np.array(1, np.float32), "half": np.array(0.5, np.float32)}
    nodes = []

    def linear(x: str, name: str, wide: int, width: int) -> str:
        constants.update({f"{name}.w": zeros(wide, width), f"{name}.b": zeros(width)})
        nodes.extend([node("MatMul", [x, f"{name}.w"], [f"{name}.p"]), node("Add", [f"{name}.p", f"{name}.b"], [name])])
        return name

    def norm(x: str, name: str) -> str:
        constants.update({f"{name}.g": zeros(hidden), f"{name}.b": zeros(hidden)})
        nodes.append(node("LayerNormalization", [x, f"{name}.g", f"{name}.b"], [name]))
        return name

    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        linear("x", name, hidden, hidden)
        nodes.extend([node("Reshape", [name, "shape"], [f"{name}4"]), node("Transpose", [f"{name}4"], [f"{name}t"], perm=order)])
    nodes.extend(
        [
            node("MatMul", ["qt", "kt"], ["s"]),
            node("Div", ["s", "scale"], ["ss"]),
            node("Softmax", ["ss"], ["p"], axis=-1),
            node("MatMul", ["p", "vt"], ["o"]),
            node("Transpose", ["o"], ["ot"], perm=[0, 2, 1, 3]),
            node("Reshape", ["ot", "flat"], ["of"]),
        ]
    )
    nodes.append(node("Add", ["x", linear("of", "proj", hidden, hidden)], ["r1"]))
    n1 = norm("r1", "n1")
    up = linear(n1, "up", hidden, 4 * hidden)
    nodes.extend(
        [
            node("Div", [up, "root2"], ["g1"]),
            node("Erf", ["g1"], ["g2"]),
            node("Add", ["g2", "one"], ["g3"]),
            node("Mul", [up, "g3"], ["g4"]),
            node("Mul", ["g4", "half"], ["g5"]),
        ]
    )
    nodes.append(node("Add", [n1, linear("g5", "down", 4 * hidden, hidden)], ["r2"]))
    norm("r2", "y")
    graph = load_model(write(tmp_path, nodes, {"x": ["batch", length, hidden]}, "y", constants), batch=batch)
    found = counts(graph)
    assert found.macs == batch * length * (12 * hidden**2 + 2 * length * hidden)
    assert found.parameters == 12 * hidden**2 + 13 * hidden
    kinds = [operator.kind for operator, _, _ in graph.walk()]
    assert kinds.count("attention") == 1
    assert kinds.count("gemm") == 6
    assert kinds.count("norm") == 2
    assert kinds.count("softmax") == 0
