"""Faulty files, texts and arguments: an error of our tree with a place, never a traceback."""

from __future__ import annotations

import contextlib
import os
import random

import numpy as np
import pytest

from hwspecs.vocabulary.errors import ArgumentError, CyclewrightError, ModelError, UnknownNameError, UnsupportedError
from tests.workloads.onnx_files import BOOL, INT64, STRING, node, write, zeros
from workloads import counts, load_model

FILES = {  # nodes, inputs, constants, expected class, words of the message
    "axis left open": ([node("Relu", "x", "y")], {"x": ["b", "h"]}, {}, ModelError, ["axis 1 (h)", "--dim h="]),
    "input without shape": ([node("Relu", "x", "y")], {"x": None}, {}, ModelError, ["'x'", "no shape"]),
    "product does not fit": (
        [node("MatMul", "xw", "y", name="mm")],
        {"x": [2, 3]},
        {"w": zeros(4, 5)},
        ModelError,
        ["node 0 (MatMul, 'mm')"],
    ),
    "channels do not fit": (
        [node("Conv", "xw", "y")],
        {"x": [1, 3, 5, 5]},
        {"w": zeros(4, 5, 3, 3)},
        ModelError,
        ["node 0 (Conv)", "3 channels"],
    ),
    "stride of zero": (
        [node("Conv", "xw", "y", strides=[0, 0])],
        {"x": [1, 3, 5, 5]},
        {"w": zeros(4, 3, 3, 3)},
        ModelError,
        ["node 0", "strides"],
    ),
    "window too large": ([node("Conv", "xw", "y")], {"x": [1, 3, 5, 5]}, {"w": zeros(4, 3, 7, 7)}, ModelError, ["node 0"]),
    "reads what nothing makes": ([node("Relu", ["ghost"], "y")], {"x": [1]}, {}, ModelError, ["node 0 (Relu)", "'ghost'", "nothing makes"]),
    "cycle": (
        [node("Add", "xb", "a"), node("Relu", "a", "b"), node("Neg", "b", "y")],
        {"x": [1]},
        {},
        ModelError,
        ["cycle", "node 0 (Add)"],
    ),
    "written twice": ([node("Relu", "x", "y"), node("Neg", "x", "y")], {"x": [1]}, {}, ModelError, ["node 1 (Neg)", "'y'", "node 0"]),
    "output that nothing makes": ([node("Relu", "x", "z")], {"x": [1]}, {}, ModelError, ["'y'"]),
    "unknown operator": ([node("Rleu", "x", "y")], {"x": [1]}, {}, UnsupportedError, ["node 0 (Rleu)", "did you mean", "Relu"]),
    "foreign domain": (
        [node("Fast", "x", "y", domain="com.example")],
        {"x": [1]},
        {},
        UnsupportedError,
        ["com.example.Fast", "bytes-only"],
    ),
    "size known from data only": ([node("NonZero", "x", "y")], {"x": [2, 3]}, {}, UnsupportedError, ["NonZero"]),
    "shape from an input": (
        [node("Reshape", "xs", "y")],
        {"x": [2, 3], "s": [2]},
        {},
        ModelError,
        ["node 0 (Reshape)", "before the data are known"],
    ),
    "training batch norm": (
        [node("BatchNormalization", "xabcd", ["y", "m", "v"], training_mode=1)],
        {"x": [2, 3, 4, 4]},
        {k: zeros(3) for k in "abcd"},
        UnsupportedError,
        ["node 0 (BatchNormalization)", "training"],
    ),
    "text": ([node("Identity", "t", "y")], {"t": [1]}, {}, UnsupportedError, ["'t'", "text"]),
    "einsum with ellipsis": (
        [node("Einsum", "xw", "y", equation="...i,ij->...j")],
        {"x": [2, 3]},
        {"w": zeros(3, 3)},
        UnsupportedError,
        ["einsum"],
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_faulty_files(tmp_path, case):
    nodes, inputs, constants, kind, words = FILES[case]
    types = {"t": STRING, "s": INT64} | ({"y": INT64} if case.startswith("size") else {"y": STRING} if case == "text" else {})
    path = write(tmp_path, nodes, inputs, "y", constants, types=types, domains=["com.example"])
    with pytest.raises(kind) as caught:
        load_model(path)
    assert str(caught.value.where).startswith(path)
    for word in words:
        assert word in str(caught.value)


def test_control_flow_is_refused_by_name(tmp_path):
    from onnx import helper

    branch = helper.make_graph([node("Relu", "x", "r")], "b", [], [helper.make_tensor_value_info("r", 1, [2])])
    nodes = [node("If", "c", "y", then_branch=branch, else_branch=branch, name="choice")]
    path = write(tmp_path, nodes, {"c": [], "x": [2]}, "y", types={"c": BOOL}, stated={"y": [2]})
    with pytest.raises(UnsupportedError, match=r"choice.*control flow"):
        load_model(path)
    assert load_model(path, unknown_op="bytes-only").nodes[0].kind == "unknown"


def test_an_unknown_operator_without_a_stated_shape_cannot_move_its_bytes(tmp_path):
    path = write(tmp_path, [node("Fast", "x", "y", domain="com.example")], {"x": [1]}, "y", domains=["com.example"])
    with pytest.raises(ModelError, match="no shape for its output 'y'"):
        load_model(path, unknown_op="bytes-only")


@pytest.mark.parametrize(
    "data",
    [b"", b"just text, no model", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", b"\x00" * 64, b"\xff" * 64],
)
def test_files_that_are_no_models(tmp_path, data):
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        load_model(str(path))
    assert caught.value.where == str(path)
    assert caught.value.hint


def test_damaged_files_never_give_a_traceback(tmp_path):
    import onnx

    folder = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light")
    with open(os.path.join(folder, "light_squeezenet.onnx"), "rb") as stream:
        whole = stream.read()
    path = tmp_path / "x.onnx"
    rng = random.Random(1)
    damaged = [whole[:cut] for cut in range(1, len(whole), 997)]
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        damaged.append(bytes(data))
    for data in damaged:
        path.write_bytes(data)
        with contextlib.suppress(CyclewrightError):
            counts(load_model(str(path)))


TEXTS = {
    "gemm:1x2": "three sizes",
    "gemm:": "three sizes",
    "gemm:axbxc": "'a' is not a whole number",
    "gemm:0x2x3": "out of range",
    "gemm:1x-2x3": "'-2' is not a whole number",
    "gemm:4x4x1e3": "'1e3' is not",
    "gemm:99999999999x1x1": "out of range",
    "gemm:2000000000x2000000000x2000000000": "too large",
    "conv:": "is not an input",
    "conv:N1xC3xH4": "expected W",
    "conv:N1xC3xH4xW4,K64": "R (window) is missing",
    "conv:N1xC3xH4xW4,R3": "K (output channels) is missing",
    "conv:N1xC3xH4xW4,K64,R3,Q2": "unknown field 'Q2'",
    "conv:N1xC3xH4xW4,K64,R3,S1,S2": "given twice",
    "conv:N1xC3xH4xW4,K64,R3x3x3": "3 numbers for 2 axes",
    "conv:N1xC3xH4xW4,K64,R9": "does not fit",
    "conv:N1xC3xH4xW4,K64,R3,G2": "do not divide",
    "conv:N1xC3xH4xW4,K64,R3,S0": "out of range",
    "attention:": "unknown field ''",
    "attention:h32,d3": "k (keys) is missing",
    "attention:h32,kv5,k3,d3": "do not divide",
    "attention:h2,k3,d3,casual": "did you mean causal",
    "attention:h2,q9,k3,d3,causal": "9 queries over 3 keys",
    "attention:h2,h2,k3,d3": "given twice",
}


@pytest.mark.parametrize("text", TEXTS)
def test_faulty_operator_texts(text):
    with pytest.raises(ArgumentError) as caught:
        load_model(text)
    assert TEXTS[text] in str(caught.value)
    assert caught.value.where


CALLS = [
    (("resnet51", {}), UnknownNameError, "resnet50"),
    (("gem:1x2x3", {}), UnknownNameError, "gemm"),
    (("", {}), ArgumentError, "name or a path"),
    (("nothing.onnx", {}), ModelError, "no such file"),
    (("some/where", {}), ModelError, "no such file"),
    (("resnet50", {"phase": "decode"}), ArgumentError, "no phase 'decode'"),
    (("resnet50", {"phase": "prefil"}), ArgumentError, "did you mean prefill"),
    (("resnet50", {"tokens": 5}), ArgumentError, "tokens does not apply"),
    (("resnet50", {"context": 5}), ArgumentError, "context does not apply"),
    (("resnet50", {"dims": {"n": 5}}), ArgumentError, "dims does not apply"),
    (("resnet50", {"batch": 0}), ArgumentError, "batch is 0"),
    (("resnet50", {"batch": True}), ArgumentError, "batch is True"),
    (("resnet50", {"format": "int9"}), ArgumentError, "int9"),
    (("resnet50", {"sparsity": "5:4"}), ArgumentError, "keeps 5 of 4"),
    (("resnet50", {"unknown_op": "ignore"}), ArgumentError, "ignore"),
    (("gemm:1x2x3", {"batch": 2}), ArgumentError, "batch does not apply"),
    (("bert-base", {"phase": "decode"}), ArgumentError, "encoder"),
    (("llama-3-8b", {"phase": "encode"}), ArgumentError, "encode"),
    (("llama-3-8b", {"dims": {"n": 5}}), ArgumentError, "dims does not apply"),
]


@pytest.mark.parametrize(("call", "kind", "word"), CALLS)
def test_faulty_arguments(call, kind, word):
    name, arguments = call
    with pytest.raises(kind) as caught:
        load_model(name, **arguments)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "word"),
    [
        ({"dims": {"hh": 4}}, UnknownNameError, "did you mean h"),
        ({"dims": {"h": 0}}, ArgumentError, "h is 0"),
        ({"dims": {"h": 4, "b": 3}, "batch": 2}, ArgumentError, "pinned to 3"),
        ({"dims": {"h": 4, "x.1": 9}}, ArgumentError, "fixed to 3"),
    ],
)
def test_faulty_pins(tmp_path, arguments, kind, word):
    path = write(tmp_path, [node("Relu", "x", "y")], {"x": ["b", 3, "h"]}, "y")
    assert counts(load_model(path, dims={"h": 4}, batch=2)).vector_ops == 24
    with pytest.raises(kind, match=word):
        load_model(path, **arguments)


def test_single_operators_count_by_hand():
    assert counts(load_model("gemm:128x256x512")).macs == 128 * 256 * 512
    assert counts(load_model("conv:N2xC64xH56xW56,K128,R3,S2,P1")).macs == 2 * 28 * 28 * 128 * 64 * 9
    assert counts(load_model("conv:N1xC64xH56xW56,K64,R3x3,P1,G64")).macs == 56 * 56 * 64 * 9
    assert counts(load_model("conv:N1xC4xW10,K6,R3,T,S2")).macs == 10 * 4 * 6 * 3
    assert counts(load_model("conv:N1xC2xD4xH5xW6,K3,R2")).macs == 3 * 4 * 5 * 3 * 2 * 8
    attention = load_model("attention:b8,h32,kv8,q1,k4096,d128,causal")
    assert counts(attention).macs == 2 * 8 * 32 * 4096 * 128
    assert counts(attention).kv_cache_bytes == 2 * 8 * 8 * 4096 * 128 * 2
    assert attention.nodes[0].attributes["causal"] is True
    assert np.isfinite(counts(load_model("attention:h1,k1,d1")).macs)
