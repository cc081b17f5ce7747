"""How often inputs and neurons of the zoo's reservoirs spike on generated events: the densities that ``workloads/zoo/lsm.py`` states.

python benchmarks/reservoir_densities.py            # seeds 0 to 2, 64 samples each; about a minute
"""

from __future__ import annotations

import argparse

from workloads.reservoir import densities
from workloads.zoo.lsm import MACHINES


def main() -> None:
    """Print one row per reservoir: the stated densities, and those of each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    reservoirs = {f"{name} {sensor}": item for name, machine in MACHINES.items() for sensor, item in machine.reservoirs.items()}
    done = set()
    for name, reservoir in reservoirs.items():
        if reservoir in done:
            continue
        done.add(reservoir)
        found = [densities(reservoir, samples=asked.samples, seed=seed) for seed in range(asked.seeds)]
        inputs = "  ".join(f"{item.input_density:.4g}" for item in found)
        neurons = "  ".join(f"{item.spike_density:.4g}" for item in found)
        print(f"{name:24} inputs {reservoir.input_density:.4g}: {inputs}   neurons {reservoir.spike_density:.4g}: {neurons}")


if __name__ == "__main__":
    main()
