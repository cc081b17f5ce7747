"""Mixture-of-experts layers, their weights' traffic, and quantized block weights."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workloads.test_llm_graphs import closed_form_parameters, graph_of, operators
from workloads.counting import counts
from workloads.graph import Repeat
from workloads.transformer import MoE, TransformerConfig, decoder_graph
from workloads.transformer_layers import distinct_experts
from workloads.zoo.llm import CONFIGS


@given(experts=st.integers(1, 128), data=st.data(), tokens=st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_distinct_experts_is_the_expectation_rounded_up(experts: int, data: st.DataObject, tokens: int) -> None:
    per_token = data.draw(st.integers(1, experts))
    exact = experts * (1 - (1 - Fraction(per_token, experts)) ** tokens)
    hit = distinct_experts(experts, per_token, tokens)
    # an exact value within 1e-9 above a whole number may count as that number
    assert hit in (ceil(exact), ceil(exact - Fraction(experts, 10**9)))
    assert 1 <= hit <= min(experts, tokens * per_token)
    assert distinct_experts(experts, per_token, 1) == per_token


def test_mixtral_batch_8_reads_eight_experts_batch_1_two() -> None:
    for batch, hit in ((1, 2), (2, 4), (8, 8)):
        up, holder = operators(graph_of("mixtral-8x7b", "decode", batch=batch, context=10))["expert_up"]
        assert up.attributes["experts_hit"] == hit
        assert up.read_bytes == {"expert_up.weight": hit * 2 * 14336 * 4096 * 2}
        assert holder.tensors["expert_up.weight"].stored_bytes == 8 * 2 * 14336 * 4096 * 2


@given(experts=st.integers(1, 12), data=st.data(), batch=st.integers(1, 40), shared=st.integers(0, 2), gate=st.booleans())
@settings(max_examples=40, deadline=None)
def test_expert_products_cover_every_visit_once(experts: int, data: st.DataObject, batch: int, shared: int, gate: bool) -> None:
    per_token = data.draw(st.integers(1, experts))
    moe = MoE(experts, per_token, 24, shared=shared, shared_width=16 if shared else 0, shared_gate=gate and shared > 0)
    config = TransformerConfig("toy", "mixtral", 3, 16, 4, 2, 4, 0, 50, moe=moe)
    graph = decoder_graph(config, phase="decode", batch=batch, context=7)
    graph.check()
    up = operators(graph)["expert_up"][0]
    assert up.macs == batch * per_token * 16 * 48
    rows, used = [], set()
    for nest in up.nests:
        sizes = dict(nest.dims)
        row, expert = nest.reads[0].axes[0], nest.reads[1].axes[0]
        for e in range(sizes["e"]):
            used.add(expert.offset + e)
            rows += [row.offset + e * sizes["m"] + m for m in range(sizes["m"])]
    assert sorted(rows) == list(range(batch * per_token))
    assert len(used) == up.attributes["experts_hit"] == distinct_experts(experts, per_token, batch)
    assert counts(graph).parameters == closed_form_parameters(config)


def test_quantized_weights_read_scaled_expert_bytes() -> None:
    config = replace(CONFIGS["mixtral-8x7b"], weight_format="int4g128")
    up, holder = operators(decoder_graph(config, phase="decode"))["expert_up"]
    weight = holder.tensors["expert_up.weight"]
    assert weight.format.name == "int4g128"
    assert up.read_bytes[weight.name] == pytest.approx(weight.stored_bytes / 4, rel=1e-6)


def test_group_of_minus_one_spans_the_inputs() -> None:
    config = replace(CONFIGS["llama-3-8b"], weight_format="int4g-1", quantized_head=True)
    graph = decoder_graph(config, phase="decode")
    body = next(node for node in graph.nodes if isinstance(node, Repeat)).body
    assert body.tensors["qkv.weight"].format.group_size == 4096
    assert body.tensors["mlp_out.weight"].format.group_size == 14336
    assert graph.tensors["lm_head.weight"].format.group_size == 4096
    assert graph.tensors["embedding.weight"].format.name == "bf16"
