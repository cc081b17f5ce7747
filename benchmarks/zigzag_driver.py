"""Runs ZigZag 3.9.1 on AlexNet; started by npu_vs_zigzag.py with the Python of ZigZag's own environment.

Reads one JSON object from stdin: ``lpf_limit``, ``accelerator`` and ``mapping`` (names of ZigZag's own inputs); writes one JSON object:
``cpu_s`` of the whole call and ``layers`` as ``zigzag_counts.Layer`` has them.
"""

import contextlib
import json
import logging
import pathlib
import sys
import tempfile
import time


def accesses(evaluation):
    """Accesses, widths and prices per operand and memory level."""
    from zigzag.hardware.architecture.memory_port import DataDirection as Way

    kinds = {"read": (Way.RD_OUT_TO_HIGH, Way.RD_OUT_TO_LOW), "write": (Way.WR_IN_BY_HIGH, Way.WR_IN_BY_LOW)}
    rows = []
    for operand, levels in evaluation.memory_word_access.items():
        of_memory = evaluation.layer.memory_operand_links.layer_to_mem_op(operand)
        memories = evaluation.accelerator.memory_hierarchy.get_memory_levels(mem_op=of_memory)
        for counted, memory in zip(levels, memories, strict=False):
            row = {"memory": memory.name, "operand": operand.name, "read_pj": memory.read_energy, "write_pj": memory.write_energy}
            for kind, ways in kinds.items():
                widths = {memory.get_max_bandwidth(of_memory, way) for way in ways} - {None}
                if len(widths) != 1:
                    raise ValueError(f"{memory.name}, {kind}: ports of {sorted(widths)} bits")
                row[f"{kind}_bits"] = widths.pop()
                row[f"{kind}s"] = sum(counted.get(way) for way in ways)
            rows.append(row)
    return rows


def layer(evaluation):
    return {
        "name": evaluation.layer.name, "macs": evaluation.layer.total_mac_count,
        "mac_pj": evaluation.accelerator.operational_array.unit.energy_cost,
        "energy_pj": evaluation.energy_total, "latency_cycles": evaluation.latency_total2,
        "array_cycles": int(evaluation.ideal_temporal_cycle), "stall_cycles": evaluation.stall_slack_comb,
        "onload_cycles": evaluation.data_onloading_cycle, "offload_cycles": evaluation.data_offloading_cycle,
        "drain_cycles": evaluation.systolic_drain_cycle, "accesses": accesses(evaluation),
    }  # fmt: skip


def main() -> None:
    import zigzag
    from zigzag.api import get_hardware_performance_zigzag

    task = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    inputs = pathlib.Path(zigzag.__file__).parent / "inputs"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        start = time.process_time()
        _, _, evaluations = get_hardware_performance_zigzag(
            workload=str(inputs / "workload" / "alexnet.onnx"),
            accelerator=str(inputs / "hardware" / f"{task['accelerator']}.yaml"),
            mapping=str(inputs / "mapping" / f"{task['mapping']}.yaml"),
            lpf_limit=task["lpf_limit"], dump_folder=folder, loma_show_progress_bar=False,
        )  # fmt: skip
        seconds = time.process_time() - start
    layers = [layer(evaluation) for evaluation, _ in evaluations[0][1]]
    print(json.dumps({"cpu_s": seconds, "layers": layers}))


if __name__ == "__main__":
    main()
