"""Back-propagation through time: products, operations and saved states by hand, on LSTMs, GRUs, RNNs and a selective scan."""

from __future__ import annotations

import pytest

import cyclewright as cw
from hwspecs.vocabulary.functions import OPERATIONS
from tests.workloads.onnx_files import node, write, zeros
from workloads import GraphBuilder, counts, load_model
from workloads.graph import Repeat
from workloads.loading import list_models, trainable
from workloads.passes import fuse, training
from workloads.passes.training.recurrent import CELL_GRADIENT_OPS, SCAN_GRADIENT_OPS
from workloads.passes.unroll import unrolled
from workloads.training_counts import macs_by_pass, saved_activations, training_memory
from workloads.zoo.lstmp import Layer, steps_of

STEPS, BATCH, WIDTH, HIDDEN = 10, 2, 16, 32
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SAVED = {"LSTM": 6, "GRU": 5, "RNN": 1}
"""Values per unit and step: gates and two states; gates, the reset gate's argument and the state; the state."""


class Counted:
    """A number that counts what is done with it, as ``hwspecs.vocabulary.functions`` prices it."""

    total = 0

    def _spent(self, *_):
        Counted.total += 1
        return Counted()

    __add__ = __sub__ = __mul__ = __rsub__ = _spent


def special(name):
    Counted.total += OPERATIONS[name]
    return Counted()


def slope(g, y):
    """g y (1 - y)."""
    return g * y * (1 - y)


def tanh_slope(g, y):
    return g * (1 - y * y)


def lstm(dh, dc, i, o, f, g, old):
    t = special("tanh")
    slope(dh * t, o)
    dc = dc + tanh_slope(dh * o, t)
    slope(dc * g, i), tanh_slope(dc * i, g), slope(dc * old, f)
    return dc * f


def gru(dh, z, r, n, q, old):
    slope(dh * (old - n), z)
    dn = tanh_slope(dh * (1 - z), n)
    slope(dn * q, r)
    return dn * r, dh * z


def scan(dy, dh, x, d, a, b, c, old, du, dd, da, db, dc, steps):
    """One channel, state and token; what is summed over another of these is added to what is there. ``steps`` is d x, made once per channel
    and token for all of its states."""
    e, db_ = special("exp"), d * b
    d * a, e * old + db_ * x  # the argument of the exponential, the state
    dh = e * dh + c * dy
    via = dh * old * e
    return du + dh * db_, dd + via * a + dh * b * x, da + via * d, db + dh * steps, dc + dy * old


@pytest.mark.parametrize(
    ("step", "values", "expected"),
    [(lstm, 7, CELL_GRADIENT_OPS["LSTM"]), (gru, 6, CELL_GRADIENT_OPS["GRU"]), (tanh_slope, 2, CELL_GRADIENT_OPS["RNN"])],
)
def test_operations_of_a_step_back(step, values, expected):
    """The formulas of back-propagation through time, counted as they are evaluated."""
    Counted.total = 0
    step(*[Counted() for _ in range(values)])
    assert Counted.total == expected


def test_operations_of_a_scan_back():
    Counted.total = 0
    scan(*[Counted() for _ in range(14)])
    assert Counted.total == sum(SCAN_GRADIENT_OPS.values()) == 27


def recurrent(tmp_path, op, directions=1, results="y", **asked):
    pytest.importorskip("onnx")
    rows = GATES[op] * HIDDEN
    held = {"w": zeros(directions, rows, WIDTH), "r": zeros(directions, rows, HIDDEN), "b": zeros(directions, 2 * rows)}
    way = "forward" if directions == 1 else "bidirectional"
    path = write(tmp_path, [node(op, "xwrb", results, hidden_size=HIDDEN, direction=way)], {"x": [STEPS, BATCH, WIDTH]}, results, held)
    return load_model(path, phase="train", fuse=False, training=asked or None)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("op", GATES)
def test_products_and_saved_states(tmp_path, op, directions):
    """Forward T B G H (W + H); back to the old states T B G H H, none to the inputs; weights as forward, in two products over all steps."""
    step = recurrent(tmp_path, op, directions)
    step.check()
    once = directions * STEPS * BATCH * GATES[op] * HIDDEN
    macs = macs_by_pass(step)
    assert macs["FF"].dense == macs["WU"].dense == once * (WIDTH + HIDDEN)
    assert macs["BP"].dense == once * HIDDEN
    of_weights = [node for node in step.nodes if not isinstance(node, Repeat) and node.attributes.get("pass") == "WU" and node.macs]
    assert len(of_weights) == 2 * directions
    saved = STEPS * BATCH * (WIDTH + directions * SAVED[op] * HIDDEN)
    assert sum(saved_activations(step).values()) == 2 * saved
    memory = training_memory(step)
    assert memory.trained == directions * GATES[op] * HIDDEN * (WIDTH + HIDDEN + 1)
    assert memory.state == 12 * memory.trained
    assert sum(isinstance(node, Repeat) for node in step.nodes) == 2 * directions  # steps and their reverse; nothing is written out


@pytest.mark.parametrize("op", GATES)
def test_written_out_steps_are_the_same_work(tmp_path, op):
    step = recurrent(tmp_path, op)
    flat = unrolled(step)
    flat.check()
    assert macs_by_pass(flat) == macs_by_pass(step)
    assert counts(flat).vector_ops == counts(step).vector_ops
    assert training_memory(flat).state == training_memory(step).state


def test_recomputed_steps_keep_states_alone(tmp_path):
    """Of an LSTM's steps the inputs' part of the gates stays, 4 H, and the two states that a step takes in; its product is done again."""
    again, plain = recurrent(tmp_path, "LSTM", recompute="blocks"), recurrent(tmp_path, "LSTM")
    once = STEPS * BATCH * 4 * HIDDEN
    assert macs_by_pass(again)["recompute"].dense == once * HIDDEN
    assert sum(saved_activations(again).values()) == sum(saved_activations(plain).values())  # 4 H of arguments for 4 H of gates


def test_frozen_recurrence(tmp_path):
    """Without the recurrent weights' gradient the states still carry gradients back, for the input's weights."""
    step = recurrent(tmp_path, "LSTM", frozen="y.R")
    once = STEPS * BATCH * 4 * HIDDEN
    macs = macs_by_pass(step)
    assert (macs["BP"].dense, macs["WU"].dense) == (once * HIDDEN, once * WIDTH)


def test_an_lstm_written_out_by_hand():
    """2 layers, 3 steps, 1024 wide: 4 w^2 per product; a layer has 3 products with its input and 2 with its old state. Back: all but those
    with the image. Saved: 6 + 1 values a unit and step (the input), less the last hidden state of the last layer."""
    width, batch = 1024, 4
    step = load_model("lstm-2x3", phase="train", batch=batch)
    product = batch * 4 * width * width
    macs = macs_by_pass(step)
    assert macs["FF"].dense == macs["WU"].dense == 2 * 5 * product
    assert macs["BP"].dense == (2 * 2 + 3) * product
    inputs, units = 3 * batch * width, 2 * 3 * batch * width
    assert sum(saved_activations(step).values()) == 2 * (inputs + 6 * units - batch * width)
    assert training_memory(step).state == 12 * 2 * 4 * (2 * width * width + width)


def test_a_state_space_model_by_hand():
    """Mamba-130M: every product has a weight; the scan's states are made again from what it reads. Logits of all positions."""
    tokens = 64
    step = load_model("mamba-130m", phase="train", tokens=tokens, fuse=False)
    layer = 768 * 3072 + 1536 * 4 + 1536 * 80 + 48 * 1536 + 1536 * 768
    forward = tokens * (24 * layer + 50280 * 768)
    macs = macs_by_pass(step)
    assert (macs["FF"].dense, macs["BP"].dense, macs["WU"].dense, macs["recompute"].dense) == (forward, forward, forward, 0)
    back = next(node for node, _, _ in step.walk() if node.kind == "scan" and node.attributes["pass"] == "BP")
    assert back.vector_ops == sum(SCAN_GRADIENT_OPS.values()) * tokens * 1536 * 16
    assert training_memory(step).trained == 129_135_360
    stacks = {name.removeprefix("layers.") for name in saved_activations(step) if name.startswith("layers.")}
    assert not any("state" in name for name in stacks)


@pytest.mark.parametrize("device", ["nvidia-h100-sxm", "edge-npu", "xilinx-vcu1525-sat"])
@pytest.mark.parametrize("model", ["lstm-2x3", "mamba-130m"])
def test_recurrent_steps_run_above_their_roofline(model, device):
    asked = {"tokens": 32} if model == "mamba-130m" else {}
    tile, floor = (cw.run(model, device, phase="train", fidelity=rung, **asked) for rung in ("tile", "roofline"))
    assert 0 < floor.latency_s <= tile.latency_s
    graph = load_model(model, phase="train", **asked)
    assert tile.macs == sum(macs.dense for macs in macs_by_pass(graph).values())


@pytest.mark.parametrize("recompute", ["none", "blocks"])
@pytest.mark.parametrize(
    "model",
    ["lstm-kws", "lstm-ptb-char", "lstm-ptb-medium", "transformer-base", "mamba-130m", "qwen3-30b-a3b", "mixtral-8x7b", "bert-base"],
)
def test_folded_repeats_of_the_zoo_play_on_a_device(model, recompute):
    """Sequences that rounds read row by row, experts that rounds visit in part: the counts of compulsory bytes agree, or it would raise."""
    result = cw.run(model, "nvidia-h100-sxm", phase="train", tokens=16, recompute=recompute)
    assert result.latency_s >= result.roofline_s > 0


def test_folded_steps_play_on_a_device(tmp_path):
    """Stacks that an operator makes whole and rounds read by slices, and the other way round: both counts of compulsory bytes agree."""
    for device in ("nvidia-h100-sxm", "edge-npu", "systolic-array"):
        for op in GATES:
            step = recurrent(tmp_path, op, 2, "yh")
            assert cw.run(step, device).latency_s >= cw.run(step, device, fidelity="roofline").latency_s


def test_what_can_be_trained_is_known_without_trying():
    """``trainable`` says of each network of the zoo what ``load_model`` does."""
    for model in list_models():
        if model.kind in ("llm", "encoder", "operator"):
            continue
        if trainable(model.name):
            load_model(model.name, phase="train", fuse=False)
        else:
            with pytest.raises(cw.CyclewrightError, match=r"training step already|no known gradient") as caught:
                load_model(model.name, phase="train")
            assert caught.value.where


@pytest.mark.parametrize("recompute", ["none", "blocks"])
@pytest.mark.parametrize("reduction", ["pregenerated", "online"])
def test_weights_of_a_loop_are_pruned_once_for_all_rounds(reduction, recompute):
    """49 steps share a matrix of 128 gates by 72 inputs and states: forward 2 of 8 of 72, backward 2 of 8 of 128. The classifier:
    32 inputs forward, 12 classes (padded to 16) backward. One copy a direction, made once a step."""
    asked = {"reduction": reduction, "recompute": recompute}
    step = load_model("lstm-kws", phase="train", batch=2, sparsity="bdwp-2:8", training=asked, fuse=False)
    step.check()
    macs, loop, head = macs_by_pass(step), 2 * 49 * 72 * 128, 2 * 32 * 12
    assert (macs["FF"].executed, macs["BP"].executed) == ((loop + head) // 4, loop // 4 + 2 * 32 * 4)
    assert macs["recompute"].executed * 4 == macs["recompute"].dense == (loop if recompute == "blocks" else 0)
    assert macs["WU"].executed == loop + head
    prunes = [(node.attributes["pass"], times) for node, _, times in step.walk() if node.kind == "prune"]
    assert len(prunes) == 4
    assert all(times == 1 for _, times in prunes)
    views = (128 * 72) * 2 + 12 * 32 + 16 * 32
    assert training_memory(step).copies == (views * 19 // 32 if reduction == "pregenerated" else 0)  # 2 values and 6 bits of 8
    flat = unrolled(step)
    flat.check()
    assert macs_by_pass(flat) == macs
    assert cw.run(step, "xilinx-vcu1525-sat").executed_flops < cw.run(step, "edge-npu").executed_flops


def test_written_out_steps_read_the_copies_too():
    found = macs_by_pass(load_model("lstm-2x3", phase="train", sparsity="bdwp-2:8"))["BP"]
    assert found.executed == found.dense // 4


def test_a_step_is_not_trained_again():
    with pytest.raises(cw.CyclewrightError, match="already"):
        training(load_model("resnet18", phase="train"))


def test_what_a_loop_reads_row_by_row_stays_visible():
    """A sequence that rounds read as a stacked tensor has two readers here: the pointwise operator does not swallow it."""
    builder = GraphBuilder("steps", "fp16")
    x = builder.gemm(builder.input("frames", (4, 2, 8)), builder.weight("w", (8, 8)), "x")
    every = steps_of(builder, "lstm", (Layer(8, 8),), x)
    builder.output(every, builder.elementwise("relu", (x,), "shortcut"))
    for graph in (fuse(builder.build()), fuse(training(builder.build()))):
        graph.check()
        assert "x" in graph.tensors
