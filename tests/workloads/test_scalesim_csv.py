"""SCALE-Sim topologies: sizes as SCALE-Sim reads them, every fault with its place."""

from __future__ import annotations

import re
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, ErrorList, ModelError
from workloads import counts, load_model
from workloads.graph import as_matmul

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
GEMM = "Layer,M,N,K,"


@pytest.fixture
def read(tmp_path):
    def graph_of(*lines, **settings_):
        path = tmp_path / "topology.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        graph = load_model(str(path), **settings_)
        graph.check()
        return graph

    return graph_of


def product(graph, place=0):
    return as_matmul(graph.nodes[place].nests[0])


def test_a_convolution(read):
    """ResNet-18's first layer without padding: 109 x 109 windows by SCALE-Sim's ceil((224 - 7 + 2) / 2) = 110."""
    graph = read(CONV, "Conv1,224,224,7,7,3,64,2,")
    seen = product(graph)
    assert (seen.m, seen.n, seen.k) == (110 * 110, 64, 147)
    assert graph.name == "topology"
    assert graph.nodes[0].name == "Conv1"
    assert counts(graph).macs == 110 * 110 * 64 * 147
    assert graph.tensors["Conv1.ifmap"].shape == (1, 3, 224, 224)
    assert graph.tensors["Conv1.ifmap"].format.name == "int8"


def test_products(read):
    graph = read(GEMM, "L0,196,192,384,", "L1, 5 ,1,7")
    assert [(product(graph, i).m, product(graph, i).n, product(graph, i).k) for i in range(2)] == [(196, 192, 384), (5, 1, 7)]


@pytest.mark.parametrize("header", ["Layer, M, N, K,", "Layer Name,M,N,K", "L,m,n,k,sparsity,", "﻿Layer,M,N,K,"])
def test_headers_of_products(read, header):
    assert product(read(header, "L0,3,4,5,")).k == 5


def test_layers_are_independent(read):
    graph = read(GEMM, "a,2,3,4,", "b,2,5,3,")
    assert graph.inputs == ("a.ifmap", "b.ifmap")
    assert graph.outputs == ("a.ofmap", "b.ofmap")


def test_blank_lines_blanks_quotes_and_equal_names(read):
    graph = read(CONV, "", ",,,,,,,,,", '"Conv1" ,  8 , 8,3, 3,2,4 ,1 , ', "Conv1,8,8,3,3,2,4,1", "Conv1,8,8,3,3,2,4,1,,,", "   ")
    assert [node.name for node in graph.nodes] == ["Conv1", "Conv1#2", "Conv1#3"]


def test_depthwise_rows(read):
    """A name with DP: one layer of one channel per channel, each with all filters."""
    graph = read(CONV, "DP2,9,10,3,2,6,2,3,")
    seen = product(graph)
    assert (seen.batch, seen.m, seen.n, seen.k) == (6, 3 * 4, 2, 6)
    assert any("depthwise" in note for note in graph.notes)


def test_further_columns(read):
    """SCALE-Sim's own files carry a second stride, a batch of one, sparsity, and columns of spreadsheets."""
    assert product(read(CONV + " Stride Width,", "a,9,9,3,3,1,1,2,3,")).m == 4 * 3
    assert product(read(CONV + " Batch Size,", "a,9,9,3,3,1,1,2,1,")).m == 4 * 4
    assert product(read(CONV + ",,Eh,Ew,e2", "a,9,9,3,3,1,1,2,,,4,4,16")).m == 4 * 4
    graph = read(CONV + " Sparsity,", "a,9,9,3,3,1,1,2,2:4,", "b,9,9,3,3,1,1,2,1:1,")
    assert [note for note in graph.notes if "sparsity" in note] == [
        "a: sparsity 2:4 is left out, its weights count as dense; give --sparsity for the model"
    ]


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_output_size(tmp_path_factory, height, width, down, right, stride):
    down, right = min(down, height), min(right, width)
    path = tmp_path_factory.mktemp("topology") / "one.csv"
    path.write_text(f"{CONV}\nL,{height},{width},{down},{right},2,3,{stride},\n", encoding="utf-8")
    graph = load_model(str(path))
    rows, columns = ceil((height - down + stride) / stride), ceil((width - right + stride) / stride)
    assert graph.tensors["L.ofmap"].shape == (1, 3, rows, columns)
    assert graph.nodes[0].macs == rows * columns * down * right * 2 * 3


FAULTS = {
    "words": ([CONV, "LSTM,1,B,1,1,512,512,1,"], r":2:8: IFMAP Width is 'B', not a whole number"),
    "empty cell": ([CONV, "Conv1,8,,3,3,1,1,1,"], r":2:9: IFMAP Width is empty"),
    "fraction": ([GEMM, "L0,1.5,2,3,"], r":2:4: M is '1.5', not a whole number"),
    "negative": ([GEMM, "L0,4,-2,3,"], r":2:6: N is '-2'"),
    "zero": ([GEMM, "L0,4,2,0,"], r":2:8: K 0 is out of range"),
    "too large": ([GEMM, "L0,4,2,99999999999,"], r":2:8: K 99999999999 is out of range"),
    "too many points": ([GEMM, "L0,2147483647,2147483647,2147483647,"], r":2:4: the layer is too large to count"),
    "too few columns": ([CONV, "Conv1,8,8,3,3,"], r":2:1: the layer has 5 of 8 columns, Channels, Num Filter, Strides missing"),
    "section title": ([CONV, "AlphaGoZero,,,,,,,,"], r":2:1: the layer has 1 of 8 columns"),
    "no name": ([CONV, " ,8,8,3,3,1,1,1,"], r":2:2: the layer has no name"),
    "window too high": (
        [CONV, "Conv1,2,8,3,3,1,1,1,"],
        r":2:11: the filter height 3 is larger than the input's 2; SCALE-Sim knows no padding",
    ),
    "window too wide": ([CONV, "Conv1,8,2,3,3,1,1,1,"], r":2:13: the filter width 3 is larger than the input's 2"),
    "batch": ([CONV + " batch size,", "a,8,8,3,3,1,1,1,4,"], r":2:17: batch is 4; SCALE-Sim counts one image"),
    "sparsity": ([CONV + " Sparsity,", "a,8,8,3,3,1,1,1,2/4,"], r":2:17: sparsity is '2/4'"),
    "no header": (["Conv1,8,8,3,3,1,1,1,", "Conv2,8,8,3,3,1,1,1,"], r":1:7: the first line is a layer"),
    "order of sizes": (["Layer,M,K,N,", "L0,1,2,3,"], r":1:7: the sizes are in the order M, K, N"),
    "tabs": (["Layer name\tIFMAP Height\tM", "a\t1"], r":1:1: columns are separated by tabs"),
    "other columns": (["Layer,Height,Width", "a,1,2"], r":1:1: the first line has 3 columns"),
    "no layer": ([CONV, "", ",,,,"], r":3:1: holds no layer"),
    "nothing": ([""], r":1:1: the first line names no columns"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_have_a_place(read, fault):
    lines, pattern = FAULTS[fault]
    with pytest.raises(ModelError) as caught:
        read(*lines)
    assert re.search(r"topology\.csv" + pattern, str(caught.value)), str(caught.value)
    assert caught.value.hint


def test_all_faults_at_once(read):
    with pytest.raises(ErrorList) as caught:
        read(CONV, "a,8,8,3,3,1,1,x,", "b,8,8,3,3,1,1,1,", "c,8,8,9,3,0,1,1,")
    assert [re.search(r":(\d+:\d+):", str(error))[1] for error in caught.value.errors] == ["2:15", "4:11", "4:7"]


def test_unreadable_files(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.csv: cannot read the file"):
        load_model(str(tmp_path / "gone.csv"))
    path = tmp_path / "latin.csv"
    path.write_bytes(b"Layer,M,N,K,\nf\xfcnf,1,2,3,\n")
    with pytest.raises(ModelError, match="not UTF-8"):
        load_model(str(path))


@pytest.mark.parametrize("asked", [{"batch": 2}, {"phase": "decode"}, {"tokens": 4}, {"context": 4}, {"dims": {"n": 1}}])
def test_what_does_not_apply(read, asked):
    with pytest.raises(ArgumentError):
        read(GEMM, "a,1,2,3,", **asked)


def test_formats_and_sparsity(read):
    graph = read(GEMM, "a,16,16,16,", format="bf16", sparsity="2:4")
    assert graph.tensors["a.filter"].format.name == "bf16"
    assert graph.tensors["a.filter"].sparsity.pattern == "2:4"
    assert read(GEMM, "a,16,16,16,", format="w4a16").tensors["a.filter"].format.bits == 4
