"""Token reduction against hand-derived work of vision transformers."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from workloads import counts, load_model
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Repeat
from workloads.nests import plain_axes
from workloads.passes import fuse, fuse_attention, keep_tokens, quantize
from workloads.passes.token_schedule import parse_schedule

VITS = {"deit-ti-16": (12, 192, 3), "deit-s-16": (12, 384, 6), "vit-b-16": (12, 768, 12), "vit-l-16": (24, 1024, 16)}
PARAMETERS = {"deit-ti-16": 5_717_416, "deit-s-16": 22_050_664, "vit-b-16": 86_567_656, "vit-l-16": 304_326_632}  # timm's model files


def vit_macs(name: str, counts_by_layer: list[tuple[int, int]], batch: int = 1) -> int:
    """MACs of a ViT without the choice of tokens: per layer (tokens in attention, tokens in MLP)."""
    _, width, _ = VITS[name]
    layers = sum(4 * n * width**2 + 2 * n * n * width + 8 * m * width**2 for n, m in counts_by_layer)
    return batch * (196 * 768 * width + layers + 1000 * width)


@pytest.mark.parametrize("name", VITS)
def test_the_zoo_has_the_published_sizes(name):
    layers, _, _ = VITS[name]
    graph = load_model(name)
    graph.check()
    assert counts(graph).parameters == PARAMETERS[name]
    assert counts(graph).macs == vit_macs(name, [(197, 197)] * layers)


@pytest.mark.parametrize("batch", [1, 3])
def test_vit_b_pruned_by_hand(batch):
    """Half of 197 tokens is 99, from the MLP of layer 1 on; the first token's scores are 197 x 768 MACs."""
    graph = keep_tokens(load_model("vit-b-16", batch=batch), 0.5)
    graph.check()
    assert counts(graph).macs == vit_macs("vit-b-16", [(197, 99), *[(99, 99)] * 11], batch) + batch * 197 * 768
    assert counts(graph).parameters == PARAMETERS["vit-b-16"]
    assert [node.count for node in graph.nodes if isinstance(node, Repeat)] == [11]


@pytest.mark.parametrize(("name", "merged"), [("deit-s-16", 13), ("vit-b-16", 16), ("vit-l-16", 8), ("deit-ti-16", 300)])
def test_merging_by_hand(name, merged):
    """ToMe: each layer merges r tokens, at most half of those but the first; matching is ceil(n/2) floor(n/2) head_dim MACs."""
    layers, width, heads = VITS[name]
    tokens, rows, matching = 197, [], 0
    for _ in range(layers):
        left = tokens - min(merged, (tokens - 1) // 2)
        if left < tokens:
            matching += ceil(tokens / 2) * (tokens // 2) * (width // heads)
        rows.append((tokens, left))
        tokens = left
    graph = keep_tokens(load_model(name), f"merge:{merged}")
    graph.check()
    assert counts(graph).macs == vit_macs(name, rows) + matching
    assert counts(graph).parameters == PARAMETERS[name]


def test_evit_by_hand():
    """0.7 of the tokens that come, the class token excepted, and one for the rest, at layers 4, 7, 10: 197, 140, 100, 72."""
    graph = keep_tokens(load_model("deit-s-16"), "evit:0.7")
    rows = [(197, 197)] * 3 + [(197, 140)] + [(140, 140)] * 2 + [(140, 100)] + [(100, 100)] * 2 + [(100, 72)] + [(72, 72)] * 2
    assert counts(graph).macs == vit_macs("deit-s-16", rows) + (197 + 140 + 100) * 384
    assert [node.count for node in graph.nodes if isinstance(node, Repeat)] == [3, 2, 2, 2]


def test_vector_work_of_choosing_is_stated():
    """Merging 16 of 197 tokens of 12 heads of 64: mean, length, best partner, ranking, then sizes, sums and divisions of the rows."""
    graph = keep_tokens(load_model("vit-b-16"), "merge:16")
    made = {operator.name: operator for operator, _, _ in graph.walk()}
    at = "layers.1.attention_residual"
    assert made[f"{at}.metric"].vector_ops == 197 * 768 + 3 * 197 * 64
    assert made[f"{at}.likeness"].macs == 99 * 98 * 64
    assert made[f"{at}.pairs"].vector_ops == 99 * 98 + 7 * 99
    assert made[f"{at}.kept"].vector_ops == 181 * 768 + 2 * 16 * 768 + 4 * 181 * 768


@pytest.mark.parametrize("name", ["gpt2-small", "llama-3-8b", "qwen3-0.6b", "bert-base"])
@pytest.mark.parametrize("batch", [1, 2])
def test_language_models(name, batch):
    """Projections, attention and MLP of every layer on its own tokens; caches of later layers are shorter."""
    tokens, schedule = 64, "2=0.5,5=0.25"
    graph = load_model(name, batch=batch, tokens=tokens)
    body = next(node.body for node in graph.nodes if isinstance(node, Repeat))
    depth = next(node.count for node in graph.nodes if isinstance(node, Repeat))
    fewer = keep_tokens(graph, schedule)
    fewer.check()
    by_name = {operator.name: operator for operator, _, _ in body.walk()}
    linear = sum(by_name[key].macs for key in ("qkv", "attention_out")) / tokens
    mlp = sum(operator.macs for key, operator in by_name.items() if key.startswith("mlp")) / tokens
    attention = by_name["attention"].macs / tokens**2
    inside = [64] * 2 + [32] * 3 + [16] * (depth - 5)
    behind = [64] + [32] * 3 + [16] * (depth - 4)
    chosen = (64 + 32) * attention / 2  # the first token's row of the scores, at two layers
    outside = counts(graph).macs - depth * sum(operator.macs for operator in by_name.values())
    expected = sum(n * linear + n * n * attention + m * mlp for n, m in zip(inside, behind, strict=True)) + chosen + outside
    assert counts(fewer).macs == expected
    assert counts(fewer).kv_cache_bytes * depth * 64 == counts(graph).kv_cache_bytes * sum(inside)
    assert counts(fewer).parameters == counts(graph).parameters


@settings(max_examples=20)
@given(st.sampled_from(["deit-ti-16", "bert-base"]), st.lists(st.tuples(st.integers(1, 12), st.floats(0.05, 1.0)), min_size=1, max_size=3))
def test_fewer_tokens_are_never_more_work_but_for_the_choice(name, pairs):
    shares = sorted((share for _, share in pairs), reverse=True)
    layers = sorted({layer for layer, _ in pairs})
    text = ",".join(f"{layer}={share:.3f}" for layer, share in zip(layers, shares, strict=False))
    graph = load_model(name, **({"tokens": 48} if name == "bert-base" else {}))
    fewer = keep_tokens(graph, text)
    fewer.check()
    chosen = sum(operator.macs * times for operator, _, times in fewer.walk() if operator.origin in ("evit", "tome"))
    assert counts(fewer).macs - chosen <= counts(graph).macs
    assert counts(fewer).weight_bytes == counts(graph).weight_bytes


def test_passes_compose():
    graph = load_model("deit-s-16", fuse=False)
    fewer = keep_tokens(fuse(graph), "merge:13")
    assert counts(keep_tokens(quantize(fuse(graph), "int8"), "merge:13")).macs == counts(fewer).macs
    assert counts(keep_tokens(graph, "merge:13")).macs == counts(fewer).macs
    assert counts(quantize(fewer, "int8")).weight_bytes * 4 == counts(fewer).weight_bytes


def test_share_one_changes_nothing():
    graph = load_model("deit-ti-16")
    assert keep_tokens(graph, "4=1").nodes == graph.nodes


def parallel(tokens: int, table: bool) -> OperatorGraph:
    """Two unfolded layers x + attention(x) + x W, with a table by position behind them if asked for."""
    builder = GraphBuilder("plain", "bf16")
    x = builder.input("x", (tokens, 8))
    for layer in range(2):
        builder.attention(x, x, x, f"a{layer}", batch=1, heads=1, kv_heads=1, queries=tokens, keys=tokens, head_dim=8)
        product = builder.gemm(x, builder.weight(f"w{layer}", (8, 8)), f"g{layer}")
        x = builder.elementwise("add", (x, f"a{layer}", product), f"y{layer}")
    if table:
        x = builder.elementwise("add", (x, builder.weight("table", (tokens, 8))), "placed")
    builder.output(x)
    return builder.build(check=True)


def test_layers_that_are_not_folded_and_have_no_place_between():
    """Attention and product read the same input, so the tokens are chosen behind the layer."""
    graph = keep_tokens(parallel(16, table=False), 0.5)
    graph.check()
    assert counts(graph).macs == 2 * 16 * 16 * 8 + 16 * 64 + 16 * 8 + 2 * 8 * 8 * 8 + 8 * 64
    assert graph.tensors[graph.outputs[0]].shape == (8, 8)


def exported(batch: int, tokens: int, heads: int, width: int) -> OperatorGraph:
    """Three layers as an exporter writes them: one product per projection, views, transposes, products, softmax; class row and head."""
    builder, hidden = GraphBuilder("exported", "fp32"), heads * width

    def linear(x: str, name: str, outputs: int) -> str:
        return builder.gemm(x, builder.weight(f"{name}.w", (builder[x].shape[-1], outputs)), name)

    x = builder.input("x", (batch, tokens, hidden))
    for at in "123":
        y = builder.norm("layernorm", x, f"{at}.n1", weight=builder.weight(f"{at}.n1.w", (hidden,)))
        parts = [
            builder.transpose(
                builder.view(linear(y, f"{at}.{p}", hidden), f"{at}.{p}.4", (batch, tokens, heads, width)), f"{at}.{p}.t", order
            )
            for p, order in (("q", (0, 2, 1, 3)), ("k", (0, 2, 3, 1)), ("v", (0, 2, 1, 3)))
        ]
        probs = builder.softmax(builder.matmul(parts[0], parts[1], f"{at}.s"), f"{at}.p")
        joined = builder.transpose(builder.matmul(probs, parts[2], f"{at}.o"), f"{at}.ot", (0, 2, 1, 3))
        joined = builder.view(joined, f"{at}.flat", (batch, tokens, hidden))
        x = builder.elementwise("add", (x, linear(joined, f"{at}.out", hidden)), f"{at}.r1")
        y = builder.norm("layernorm", x, f"{at}.n2", weight=builder.weight(f"{at}.n2.w", (hidden,)))
        y = builder.elementwise("gelu", (linear(y, f"{at}.up", 4 * hidden),), f"{at}.gelu")
        x = builder.elementwise("add", (x, linear(y, f"{at}.down", hidden)), f"{at}.r2")
    row = builder.copy(x, "class", (batch, hidden), plain_axes(("d0", None, "d1")), read_bytes=batch * hidden * 4)
    builder.output(linear(row, "head", 10))
    return fuse(fuse_attention(builder.build(check=True)))


@pytest.mark.parametrize("sizes", [(1, 17, 4, 8), (4, 17, 4, 8), (4, 16, 4, 16), (1, 16, 1, 8), (9, 9, 9, 9)])
def test_exported_networks(sizes):
    """Batch, heads, tokens and widths may even be equal numbers."""
    batch, tokens, heads, width = sizes
    fewer = keep_tokens(exported(*sizes), "2=0.5")
    hidden, half = heads * width, ceil(tokens / 2)
    rows = [(tokens, tokens), (tokens, half), (half, half)]
    work = sum(4 * n * hidden**2 + 2 * n * n * hidden + 8 * m * hidden**2 for n, m in rows) + 10 * hidden + tokens * hidden
    assert counts(fewer).macs == batch * work


def extremes(part, extents) -> tuple[int, int]:
    ends = [(min(0, step * (extents[dim] - 1)), max(0, step * (extents[dim] - 1))) for dim, step in part.terms]
    return part.offset + sum(low for low, _ in ends), part.offset + sum(high for _, high in ends)


@pytest.mark.parametrize("schedule", ["merge:5", "evit:0.6@1,2", "1=0.7,2=0.4"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: exported(2, 17, 4, 8),
        lambda: exported(1, 16, 1, 8),
        lambda: load_model("deit-ti-16", batch=2),
        lambda: load_model("gpt2-small", tokens=24, batch=2),
        lambda: load_model("bert-base", tokens=24),
    ],
)
def test_every_index_lies_in_its_tensor_and_every_result_is_written_to_its_end(make, schedule):
    graph = keep_tokens(make(), schedule)
    for operator, holder, _ in graph.walk():
        last: dict[tuple[str, int], int] = {}
        for nest in operator.nests:
            extents = dict(nest.dims)
            for operand in (*nest.reads, *nest.writes):
                tensor = operator.internal.get(operand.tensor) or holder.tensors[operand.tensor]
                for place, (part, size) in enumerate(zip(operand.axes, tensor.shape, strict=True)):
                    low, high = extremes(part, extents)
                    assert 0 <= low <= high < size, (operator.name, operand.tensor, place)
                    if operand in nest.writes and (part.terms or part.offset):
                        last[operand.tensor, place] = max(last.get((operand.tensor, place), 0), high)
        for (name, place), high in last.items():
            tensor = operator.internal.get(name) or holder.tensors[name]
            assert high == tensor.shape[place] - 1, (operator.name, name)


def test_a_table_by_position_is_refused():
    with pytest.raises(UnsupportedError) as caught:
        keep_tokens(parallel(16, table=True), 0.5)
    assert caught.value.where == "placed"


def test_models_without_tokens_to_spare_are_refused():
    for graph in (load_model("resnet50"), load_model("llama-3-8b", phase="decode", context=64), load_model("mixtral-8x7b", tokens=32)):
        with pytest.raises(UnsupportedError) as caught:
            keep_tokens(graph, 0.5)
        assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "0", "1.5", "merge:0", "merge:x", "4:0.7", "0=0.5", "4=0.5,4=0.4", "4=0.5,7=0.6", "evit:2", "13=0.5", "nan"]
)
def test_unreadable_schedules(text):
    with pytest.raises(ArgumentError) as caught:
        keep_tokens(load_model("deit-ti-16"), text)
    assert caught.value.hint


def test_reading_a_schedule():
    assert parse_schedule("7=0.49, 4=0.7").shares == ((4, 0.7), (7, 0.49))
    assert parse_schedule("evit:0.7@3,6").shares == ((3, 0.7), (6, 0.7))
    assert parse_schedule(0.5).shares == ((1, 0.5),)
    assert parse_schedule({7: 0.49, 4: 0.7}) == parse_schedule("4=0.7,7=0.49")
    assert parse_schedule("merge:13").merged == 13
