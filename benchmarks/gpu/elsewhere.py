"""Rows that no constant was fitted on: other formats, operators, other groups' measurements, a device without a fit.

The form was chosen with sight of some of them, which their name says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.gpu.classes import attention_shape, bf16_device, constants_in, gemm_roofline, gemm_seconds
from benchmarks.gpu.measured import STREAM_TABLES, SYSTEMS, attention_bytes, data_folder, gemm_rows, read_table
from hwspecs import load_hardware
from mappings.gpu.attention import prefill_times
from mappings.gpu.constants import device_of

Result = tuple[str, np.ndarray, np.ndarray, np.ndarray]
"""What, estimate, roofline and measurement in seconds."""
Columns = dict[str, np.ndarray]
FORM_SEEN = "no constant fitted, but the exponential term and the padding were added after seeing these rows"
LAUNCH_INCLUDED = "launch overhead of about 21 us is in the measurement"


def fp8() -> Iterator[Result]:
    """H100 fp8 GEMM with the constants of bf16."""
    hardware = load_hardware(SYSTEMS["h100"])
    device = device_of(hardware.primary, hardware, hardware.primary.rates["fp8", "dense"])
    rows = gemm_rows("h100", "fp8")
    ours = gemm_seconds(rows.columns, device, constants_in("gemm", hardware), 1.0)
    name = "H100 fp8 GEMM (smallest rows 12 us: probably with a kernel that quantizes A)"
    yield name, ours, gemm_roofline(rows.columns, device, 1.0), rows.seconds


def encoder() -> Iterator[Result]:
    """Attention without a causal mask, head dimensions 64 to 80, with the constants of causal prefill."""
    for system in ("h100", "h200"):
        hardware = load_hardware(SYSTEMS[system])
        device = bf16_device(hardware)
        table = read_table(data_folder() / "aiconfigurator" / f"encoder_attention_{system}_sxm.csv.gz", "bfloat16")
        heads, tokens = table["num_heads"], table["isl"]
        columns = {
            "batch": table["batch_size"], "heads": heads, "kv_heads": heads, "queries": tokens, "keys": tokens,
            "head_dim": table["head_dim"],
        }  # fmt: skip
        ours = prefill_times(attention_shape(columns, False), device, constants_in("attention_prefill", hardware)).total.min(axis=-1)
        flops = 4 * columns["batch"] * heads * columns["head_dim"] * tokens**2
        roof = np.maximum(flops / device.rate, attention_bytes(columns) / device.dram_peak)
        yield f"{system.upper()} encoder attention ({FORM_SEEN})", ours, roof, table["latency_ms"] / 1e3


def vidur() -> Iterator[Result]:
    """The matrix products of Llama-2-7B and Llama-3-8B in vLLM, fp16, tensor parallelism 1 to 8."""
    for system, tables in STREAM_TABLES.items():
        hardware = load_hardware(SYSTEMS[system])
        device, constants = bf16_device(hardware), constants_in("gemm", hardware)
        for name in tables:
            t = read_table(data_folder() / "vidur" / f"mlp_{name}.csv.gz")
            shards, width, hidden = t["num_tensor_parallel_workers"], t["n_embd"], t["n_expanded_embd"]
            q_width = width / shards
            kv_width = 2 * np.maximum(t["n_kv_head"] / shards, 1) * width / t["n_head"]
            products = {
                "attn_pre_proj_ms": (q_width + kv_width, width), "attn_post_proj_ms": (width, q_width),
                "mlp_up_proj_ms": (2 * hidden / shards, width), "mlp_down_proj_ms": (width, hidden / shards),
            }  # fmt: skip
            parts: list[tuple[np.ndarray, ...]] = []
            for column, (n, k) in products.items():
                valid = t[column] > 0
                shape = {"m": t["num_tokens"][valid], "n": n[valid], "k": k[valid]}
                parts.append((gemm_seconds(shape, device, constants), gemm_roofline(shape, device), t[column][valid] / 1e3))
            ours, roof, seconds = (np.concatenate(values) for values in zip(*parts, strict=True))
            yield f"{system.upper()} vLLM products of {name.split('_', 1)[1]}", ours, roof, seconds


def llmcompass() -> Iterator[Result]:
    """A100 matmul of LLMCompass, and the four products of its GPT-3 layer on a quarter of the layer."""
    hardware = load_hardware(SYSTEMS["a100"])
    device, constants = bf16_device(hardware), constants_in("gemm", hardware)
    folder = data_folder() / "llmcompass"
    rows = [[float(cell.strip().rstrip("msTflop")) for cell in line.split(",")] for line in lines(folder / "matmul_A100.csv")]
    m, n, k, milliseconds, _ = np.array(rows).T
    shape, seconds = {"m": m, "n": n, "k": k}, milliseconds / 1e3
    ours, roof = gemm_seconds(shape, device, constants), gemm_roofline(shape, device)
    yield f"A100 LLMCompass matmul ({LAUNCH_INCLUDED})", ours, roof, seconds
    layer = [float(line) for line in lines(folder / "transformer_A100.csv")]
    shape = {"m": np.full(4, 8 * 2048.0), "n": np.array([9216.0, 12288, 12288, 12288]), "k": np.array([12288.0, 3072, 12288, 12288])}
    ours, roof = gemm_seconds(shape, device, constants), gemm_roofline(shape, device)
    yield "A100 GPT-3 layer, four products", ours, roof, np.array(layer)[[0, 3, 4, 5]]


def deepbench() -> Iterator[Result]:
    """V100 products and forward convolutions with 16-bit inputs; the V100's constants are the A100's."""
    hardware = load_hardware("nvidia-v100-sxm2-32gb")
    unit = hardware.primary
    device, constants = device_of(unit, hardware, unit.rates["fp16", "dense"]), constants_in("gemm", hardware)
    folder = data_folder() / "deepbench"
    table = half_precision(folder / "gemm_v100.csv.gz")
    shape = {name: table[name.upper()] for name in ("m", "n", "k")}
    yield "V100 DeepBench GEMM fp16", gemm_seconds(shape, device, constants), gemm_roofline(shape, device), table["time_ms"] / 1e3
    table = half_precision(folder / "conv_v100.csv.gz")
    ours, roof, seconds = [], [], []
    import cyclewright as cw

    for row in range(len(table["fwd_ms"])):
        c = {name: int(values[row]) for name, values in table.items() if not name.endswith("_ms")}
        text = f"conv:N{c['N']}xC{c['C']}xH{c['H']}xW{c['W']},K{c['K']},R{c['R']}x{c['S']}"
        text += f",S{c['stride_h']}x{c['stride_w']},P{c['pad_h']}x{c['pad_w']}"
        result = cw.run(text, hardware, format="fp16")
        ours.append(result.latency_s)
        roof.append(result.roofline_s)
        seconds.append(table["fwd_ms"][row] / 1e3)
    yield "V100 DeepBench forward convolution fp16", np.array(ours), np.array(roof), np.array(seconds)


def half_precision(path: Path) -> Columns:
    """The rows of a DeepBench table with 16-bit inputs."""
    import csv
    import gzip

    with gzip.open(path, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["precision"].startswith("16")]
    numeric = [name for name in rows[0] if name not in ("device", "mode", "precision", "ta", "tb")]
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in numeric}


def lines(path: Path) -> list[str]:
    """Lines that are not empty."""
    return [line for line in path.read_text().splitlines() if line.strip()]


def print_elsewhere(error: Callable[[np.ndarray, np.ndarray], str]) -> None:
    """One line per data set, all rows and those over 50 us."""
    print("\nRows that no constant was fitted on.\n")
    print("| rows | count | model | model, over 50 us | roofline | roofline, over 50 us |")
    print("|---|---|---|---|---|---|")
    for source in (fp8, encoder, vidur, llmcompass, deepbench):
        for name, ours, roof, seconds in source():
            long = seconds > 50e-6
            cells = [error(values[mask], seconds[mask]) for values in (ours, roof) for mask in (np.ones_like(long), long)]
            print(f"| {name} | {len(seconds)} | {' | '.join(cells)} |")
