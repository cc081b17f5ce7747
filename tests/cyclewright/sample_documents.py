"""Stored documents made by hand from the fields of ``Result``, of several sizes, consistent in themselves (sums add up)."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from typing import Any

from simulator.result import OperatorResult, Result, Span

PEAK = 989.4e12
VECTOR = 66.9e12
HBM = 3.35e12
L2 = 12.0e12
CLOCK = 1.755e9


def sample_result(operators: int, *, seed: int = 1, names: list[str] | None = None, repeats: bool = False) -> Result:
    """A made-up run on an H100-like device: convolutions with norms and sums between, or transformer layers if ``repeats``."""
    draw = random.Random(seed)
    rows: list[OperatorResult] = []
    now = 0.0
    for index in range(operators):
        kind = _kind(index, repeats)
        count = 32 if repeats and 1 <= index < operators - 2 else 1
        macs = int(draw.lognormvariate(18.5, 1.6)) if kind in ("conv", "gemm", "attention") else 0
        vector_ops = int(draw.lognormvariate(14, 1.2)) if kind not in ("conv", "gemm", "view", "copy") else 0
        compulsory = 0 if kind == "view" else int(draw.lognormvariate(14.5, 1.1)) if not repeats else int(draw.lognormvariate(17, 1.0))
        dram = 0 if kind == "elementwise" and index % 7 == 3 else compulsory + (int(compulsory * 0.3) if index % 4 == 0 else 0)
        compulsory = min(compulsory, dram)
        roof = max(2 * macs / PEAK, vector_ops / VECTOR, dram / HBM)
        launch = 0.0 if kind == "view" else 2.2e-6
        time = roof * draw.uniform(1.05, 2.5) + launch
        bound = "compute:sm" if 2 * macs / PEAK == roof and macs else "memory:hbm"
        if launch > 0.5 * time:
            bound = "launch"
        rows.append(
            OperatorResult(
                name=names[index] if names else _name(index, kind, repeats),
                kind=kind,
                unit="sm",
                alternative="128x128 tiles" if macs else "stream",
                count=count,
                start_s=now,
                end_s=now + time,
                time_s=time * count,
                share=0.0,
                bound_by=bound if kind != "view" else "wait",
                roof_s=roof * count,
                macs=macs * count,
                executed_macs=macs * count,
                vector_ops=vector_ops * count,
                compute_format="bf16" if macs else "fp32",
                pattern="dense",
                intensity=(2 * macs + vector_ops) / dram if dram else 0.0,
                dram_bytes=dram * count,
                compulsory_bytes=compulsory * count,
                bytes_by_memory={"hbm": (dram * count - dram * count // 3, dram * count // 3), "l2": (3 * dram * count, dram * count)}
                if dram
                else {},
                energy_j={"sm.mac.bf16": 0.5e-12 * macs * count, "hbm": 30e-12 * dram * count},
                breakdown={"compute": int(time * CLOCK), "launch": int(launch * CLOCK)},
                alternatives=(("128x128 tiles", int(time * CLOCK), ""), ("256x64 tiles", int(time * CLOCK * 1.2), "slower"))
                if macs
                else (),
            )
        )
        now += time * count
    return _sum_up(rows, now, repeats)


def _kind(index: int, repeats: bool) -> str:
    if repeats:
        return ("embedding", "norm", "gemm", "attention", "gemm", "norm", "gemm", "elementwise", "gemm", "elementwise")[index % 10]
    return ("conv", "norm", "elementwise", "conv", "elementwise", "pool", "view", "copy", "conv", "gemm")[index % 10]


def _name(index: int, kind: str, repeats: bool) -> str:
    return f"layers/{kind}_{index}_proj" if repeats else f"resnetv17_stage{index // 40 + 1}_{kind}{index}_fwd"


def _course(rows: list[OperatorResult], cycles: int) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """One piece for each operator's first round, one for the others; half of the time computes, a third waits, the rest is launch."""
    pieces: dict[int, OperatorResult] = {}
    for row in rows:
        if int(row.end_s * CLOCK) > int(row.start_s * CLOCK):
            pieces[int(row.start_s * CLOCK)] = row
            pieces[int(row.end_s * CLOCK)] = row
    edges = [0, *(at for at in sorted(pieces) if 0 < at < cycles), cycles]
    running = [pieces.get(at, rows[0]) for at in edges[:-1]]
    columns = {
        "cycles": tuple(edges),
        "compute:sm:bf16": tuple(row.executed_macs // row.count for row in running),
        "memory:hbm:read": tuple(2 * row.dram_bytes // (3 * row.count) for row in running),
        "memory:hbm:written": tuple(row.dram_bytes // (3 * row.count) for row in running),
        "held:l2": tuple(1_000_000 + 700_000 * (number % 50) for number in range(len(running))),
    }
    spent = [int(row.time_s * CLOCK) for row in rows]
    halves, thirds = [total // 2 for total in spent], [total // 3 for total in spent]
    rest = tuple(total - half - third for total, half, third in zip(spent, halves, thirds, strict=True))
    return columns, {"computing": tuple(halves), "memory": tuple(thirds), "launch": rest, "idle": (0,) * len(rows)}


def _sum_up(rows: list[OperatorResult], latency: float, repeats: bool) -> Result:
    from dataclasses import replace

    rows = [replace(row, share=row.time_s / latency) for row in rows]
    dynamic: dict[str, float] = {}
    for row in rows:
        for component, value in row.energy_j.items():
            dynamic[component] = dynamic.get(component, 0.0) + value
    by_component = {**dynamic, "static": 120.0 * latency}
    dram = sum(row.dram_bytes for row in rows)
    compulsory = sum(row.compulsory_bytes for row in rows)
    macs = sum(row.macs for row in rows)
    memory = {
        name: (sum(row.bytes_by_memory.get(name, (0, 0))[0] for row in rows), sum(row.bytes_by_memory.get(name, (0, 0))[1] for row in rows))
        for name in ("hbm", "l2")
    }
    times = [(row.start_s, 20_000_000 + 3_000_000 * (index % 9), 16_000_000_000 + 4_000_000 * index) for index, row in enumerate(rows)]
    spans = []
    for row in rows:
        first, last = int(row.start_s * CLOCK), int(row.end_s * CLOCK)
        if last > first:
            spans.append(Span("compute:sm", row.name, "main", first, last))
            spans.append(Span("memory:hbm", row.name, "load", first, first + (last - first) * 2 // 3))
    marks, parts = _course(rows, int(latency * CLOCK))
    leaves = {
        "memory.hbm.bandwidth": {"text": "3.35 TB/s", "source": "datasheet", "cite": "NVIDIA H100 data sheet, 2023"},
        "memory.hbm.achieved": {"text": "0.9", "source": "assumed", "cite": "typical of HBM3"},
    }
    return Result(
        model="llama-3-8b" if repeats else "resnet50",
        hardware="nvidia-h100-sxm",
        fidelity="tile",
        phase="decode" if repeats else "inference",
        settings={"batch": 8, "context": 4096, "format": "bf16"} if repeats else {"batch": 1, "format": "bf16"},
        latency_s=latency,
        cycles=int(latency * CLOCK),
        clock_hz=CLOCK,
        energy_j=sum(by_component.values()),
        macs=macs,
        flops=2 * macs,
        executed_flops=2 * macs,
        vector_ops=sum(row.vector_ops for row in rows),
        parameters=8_030_261_248,
        stored_weight_bytes=16_060_522_496,
        kv_cache_bytes=4_294_967_296 if repeats else 0,
        dram_bytes=dram,
        compulsory_bytes=compulsory,
        extra_bytes=dram - compulsory,
        roofline_s=max(compulsory / HBM, 2 * macs / PEAK),
        bound_by="memory:hbm",
        mfu=2 * macs / (latency * PEAK),
        peak_memory_bytes=max(point[2] for point in times),
        fits=True,
        energy_by_component=by_component,
        busy={"compute:sm": latency * 0.9, "memory:hbm": latency * 0.6},
        bytes_by_memory=memory,
        operators=tuple(rows),
        memory_over_time=tuple(times),
        timeline=tuple(spans),
        over_time=marks,
        time_parts=parts,
        warnings=("softmax ran on the vector path: 3 operators fell back",),
        roofs={
            "compute:sm:fp64": 66.9e12,
            "compute:sm:tf32": 494.7e12,
            "compute:sm:bf16": PEAK,
            "compute:sm:fp16": PEAK,
            "compute:sm:fp8": 1978.9e12,
            "compute:sm:int8": 1978.9e12,
            "compute:sm:bf16@2:4": 1978.9e12,
            "vector:sm:fp32": VECTOR,
            "memory:hbm": HBM,
            "memory:l2": L2,
        },
        capacities={"hbm": (80_000_000_000, True), "l2": (50_000_000, False)},
        interval={"latency_s": (latency * 0.94, latency * 1.08)},
        provenance={"cyclewright": "0.1.0", "hardware_digest": "sha256:12ab", "leaves": leaves},
        meta={"timings_s": {"simulate": 0.004}},
    )


def as_document(result: Result) -> dict[str, Any]:
    """The plain JSON form of a result."""
    document: dict[str, Any] = json.loads(json.dumps({"schema": 1, **asdict(result)}))
    return document


def sample_document(operators: int, **options: Any) -> dict[str, Any]:
    """``sample_result`` as its stored document."""
    return as_document(sample_result(operators, **options))


def sample_whatif(leaves: int = 24) -> dict[str, Any]:
    """A what-if document with a limiting bandwidth, an assumed share and a long tail."""
    paths = ["memory.hbm.bandwidth", "memory.hbm.achieved", "unit.sm.kernels.gemm.launch", "unit.sm.rates.bf16.dense", "memory.l2.size"]
    rows = []
    for index in range(leaves):
        weight = -0.8 * 0.6**index if index != 2 else 0.3
        points = [
            {"factor": factor, "value": factor, "latency_s": 0.01 * factor**weight, "energy_j": 2.0 * factor ** (weight / 3), "error": None}
            for factor in (0.5, 1.1, 2.0)
        ]
        rows.append(
            {
                "path": paths[index] if index < len(paths) else f"unit.sm.kernels.attention.constant_{index}",
                "text": "3.35 TB/s" if not index else "0.9",
                "value": 1.0,
                "unit": "",
                "source": "assumed" if index in (1, 4) else "datasheet",
                "cite": "data sheet",
                "elasticity_latency": weight,
                "elasticity_energy": weight / 3,
                "gain": 2.0 ** abs(weight),
                "best_factor": 2.0 if weight < 0 else 0.5,
                "note": "",
                "points": points,
            }
        )
    return {
        "schema": 1,
        "command": "whatif",
        "model": "llama-3-8b",
        "hardware": "nvidia-h100-sxm",
        "fidelity": "tile",
        "phase": "decode",
        "settings": {"batch": 8},
        "metric": "latency_s",
        "base": {"latency_s": 0.01, "energy_j": 2.0},
        "leaves": rows,
        "change": {
            "overrides": ["memory.hbm.bandwidth=4.8 TB/s"],
            "metrics": {
                "latency_s": {"base": 0.01, "changed": 0.0075, "delta": -0.0025, "ratio": 0.75},
                "energy_j": {"base": 2.0, "changed": 1.8, "delta": -0.2, "ratio": 0.9},
            },
            "bound_by": ["memory:hbm", "memory:hbm"],
        },
    }
