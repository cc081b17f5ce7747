"""Measured rows of ``CYCLEWRIGHT_DATA`` as arrays, the halves for fitting and for reporting, and the rows that are left out.

Every loader returns columns as float arrays of one length; times are seconds. Nothing of the data is kept in this repository.
"""

from __future__ import annotations

import csv
import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

SYSTEMS = {"a100": "nvidia-a100-sxm-80gb", "h100": "nvidia-h100-sxm", "h200": "nvidia-h200-sxm"}
"""Name in the data set to name of the spec."""
FALLBACK_GROUP = 48
"""On the A100, query heads per KV head from which the measured library falls back to kernels that read the cache once per query head."""


def data_folder() -> Path:
    """The folder ``measured`` of ``CYCLEWRIGHT_DATA``; exits with a message where it is not there."""
    root = os.environ.get("CYCLEWRIGHT_DATA")
    if not root or not (Path(root) / "measured").is_dir():
        raise SystemExit("set CYCLEWRIGHT_DATA to the folder that holds measured/ (see benchmarks/README.md)")
    return Path(root) / "measured"


def read_table(path: Path, dtype: str | None = None) -> dict[str, np.ndarray]:
    """Columns of a CSV (gzip or plain); text columns are dropped, rows of another ``dtype`` too."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        rows = [row for row in csv.DictReader(file) if dtype is None or row["dtype"] == dtype]
    columns = {}
    for name in rows[0]:
        try:
            columns[name] = np.array([float(row[name] or "nan") for row in rows])
        except ValueError:
            continue
    return columns


def half(*columns: np.ndarray) -> np.ndarray:
    """True where the row belongs to the reported half: a hash of the values of ``columns`` (all rows of a value fall on one side)."""
    return np.array([bool(crc32(",".join(str(int(value)) for value in row).encode()) & 1) for row in zip(*columns, strict=True)])


@dataclass(frozen=True)
class Rows:
    """Measured rows of one class.

    Attributes:
        columns: name to values; ``seconds``: measured; ``reported``: in the half that constants were not fitted on.
        excluded: reason to number of rows left out.
    """

    columns: dict[str, np.ndarray]
    seconds: np.ndarray
    reported: np.ndarray
    excluded: dict[str, int]

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows at ``chosen`` (mask or indices)."""
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Rows(columns, self.seconds[chosen], self.reported[chosen], self.excluded)


def gemm_rows(system: str, dtype: str = "bfloat16") -> Rows:
    """m, n, k; halves by the hash of (n, k)."""
    table = read_table(data_folder() / "aiconfigurator" / f"gemm_{system}_sxm.csv.gz", dtype)
    columns = {name: table[name] for name in ("m", "n", "k")}
    return Rows(columns, table["latency_ms"] / 1e3, half(table["n"], table["k"]), {})


def attention_rows(system: str, phase: str, dram_bytes_per_s: float, l2_bytes: float) -> Rows:
    """batch, heads, kv_heads, queries, keys, head_dim; halves by the hash of (heads, KV heads).

    Args:
        phase: ``context`` (prefill) or ``generation`` (decode).
        dram_bytes_per_s, l2_bytes: data-sheet numbers, for the rows to leave out: faster than 0.97 of the time that reading KV
            from memory takes although KV exceeds twice the L2 (the measurement re-uses cache pages), and the A100's fallback kernels.
    """
    table = read_table(data_folder() / "aiconfigurator" / f"{phase}_attention_{system}_sxm.csv.gz", "bfloat16")
    columns = {
        "batch": table["batch_size"], "heads": table["num_heads"], "kv_heads": table["num_key_value_heads"], "queries": table["isl"],
        "keys": table["isl"] + table["step"], "head_dim": table["head_dim"],
    }  # fmt: skip
    rows = Rows(columns, table["latency_ms"] / 1e3, half(table["num_heads"], table["num_key_value_heads"]), {})
    if phase != "generation":
        return rows
    bytes_ = attention_bytes(columns)
    kv_bytes = 4 * columns["batch"] * columns["kv_heads"] * columns["keys"] * columns["head_dim"]
    fallback = (columns["heads"] / columns["kv_heads"] >= FALLBACK_GROUP) & (system == "a100")
    aliased = (rows.seconds < 0.97 * bytes_ / dram_bytes_per_s) & (kv_bytes > 2 * l2_bytes) & ~fallback
    kept = rows.take(~(fallback | aliased))
    return Rows(kept.columns, kept.seconds, kept.reported, {
        "faster than 0.97x the compulsory roofline with KV > 2 L2 (pages re-used)": int(aliased.sum()),
        f"A100, heads / KV heads >= {FALLBACK_GROUP}: KV read once per query head (fallback kernels)": int(fallback.sum()),
    })  # fmt: skip


STREAM_OPERATORS = {
    "elementwise": {"add_ms": lambda t: 6 * t["num_tokens"] * t["n_embd"]},
    "activation": {
        "mlp_act_ms": lambda t: 6 * t["num_tokens"] * t["n_expanded_embd"] / t["num_tensor_parallel_workers"],
        "attn_rope_ms": lambda t: 4 * t["num_tokens"] * (t["n_head"] + t["n_kv_head"]) * 128 / t["num_tensor_parallel_workers"],
    },
    "rowwise": {
        "input_layernorm_ms": lambda t: 4 * t["num_tokens"] * t["n_embd"],
        "post_attention_layernorm_ms": lambda t: 4 * t["num_tokens"] * t["n_embd"],
    },
}
"""Class to columns of the vidur tables and the bytes that the operator moves (fp16, each operand once)."""
STREAM_TABLES = {"a100": ("a100_Llama-2-7b-hf", "a100_Meta-Llama-3-8B"), "h100": ("h100_Llama-2-7b-hf",)}


def stream_rows(system: str, name: str) -> Rows:
    """bytes, and microsecond-resolution medians of one class of vLLM's streaming kernels; halves by the hash of the token count."""
    bytes_, seconds, tokens = [], [], []
    for table in STREAM_TABLES.get(system, ()):
        columns = read_table(data_folder() / "vidur" / f"mlp_{table}.csv.gz")
        for operator, size in STREAM_OPERATORS[name].items():
            valid = columns[operator] > 0
            bytes_.append(size(columns)[valid])
            seconds.append(columns[operator][valid] / 1e3)
            tokens.append(columns["num_tokens"][valid])
    if not bytes_:
        return Rows({"bytes": np.empty(0)}, np.empty(0), np.empty(0, bool), {})
    return Rows({"bytes": np.concatenate(bytes_)}, np.concatenate(seconds), half(np.concatenate(tokens)), {})


def attention_bytes(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Q, K, V and the output in bf16, each once."""
    tokens = columns["heads"] * columns["queries"] + columns["kv_heads"] * columns["keys"]
    return 4 * columns["batch"] * columns["head_dim"] * tokens


def gemm_bytes(columns: dict[str, np.ndarray], width: float = 2.0, out_width: float = 2.0) -> np.ndarray:
    """A, B and C, each once; ``width`` bytes per element of A and B."""
    m, n, k = columns["m"], columns["n"], columns["k"]
    return width * (m * k + k * n) + out_width * m * n
