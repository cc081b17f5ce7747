"""Runs SCALE-Sim 3.0.0 on layers; started by npu_vs_scalesim.py with the Python of SCALE-Sim's own environment.

Reads one JSON object from stdin: ``config`` (text of a configuration file), ``cases``: each {rows, cols, dataflow, mode, layer}; writes one
JSON line per case: cycles, stalls, DRAM words, CPU seconds of building the demand matrices, walking them and making the report items.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import time


def main() -> None:
    from scalesim.layout_utils import layouts
    from scalesim.scale_config import scale_config
    from scalesim.single_layer_sim import single_layer_sim
    from scalesim.topology_utils import topologies

    task = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "scale.cfg"
        for case in task["cases"]:
            path.write_text(task["config"].format(**case))
            with contextlib.redirect_stdout(io.StringIO()):
                config = scale_config()
                config.read_conf_file(str(path))
                topology = topologies()
                topology.topo_arrays = [["layer", *case["layer"], 1, 1]]
                topology.num_layers, topology.topo_load_flag = 1, True
                topology.topo_calc_hyperparams()
                start = time.process_time()
                layer = single_layer_sim()
                layer.set_params(layer_id=0, config_obj=config, topology_obj=topology, layout_obj=layouts(), verbose=False)
                layer.run()
                compute, detail = layer.get_compute_report_items(), layer.get_detail_report_items()
                seconds = time.process_time() - start
            counts = {
                "total_cycles": int(compute[1]), "stall_cycles": int(compute[2]),
                "sram_ifmap_reads": int(detail[2]), "sram_filter_reads": int(detail[5]), "sram_ofmap_writes": int(detail[8]),
                "dram_ifmap_reads": int(detail[11]), "dram_filter_reads": int(detail[14]), "dram_ofmap_writes": int(detail[17]),
            }  # fmt: skip
            print(json.dumps({**counts, "cpu_s": seconds}), flush=True)


if __name__ == "__main__":
    main()
