"""How much scratchpad does a network want? Off-chip traffic against scratchpad size for three networks, optimum against baselines.

python examples/traffic_vs_scratchpad.py [FILE.svg]

Between M_R (the largest operator just fits) and M_P (nothing moves beyond the compulsory bytes) the least traffic falls in steps; what a
simpler scheme moves on top of it is what its order, its rule of replacement and its allocator cost.
"""

from __future__ import annotations

import argparse

import cyclewright as cw

NETWORKS = {"densenet121": {}, "mamba-130m": {"tokens": 512}, "vit-b-16": {}}
SCHEMES = {
    "program order, LRU, best-fit": "#7d8691",
    "program order, Belady, linear": "#e69f00",
    "minimum-peak order, Belady, best-fit": "#009e73",
}
POINTS = 7


def curve(model: str, settings: dict) -> list[cw.Scheduled]:
    """Schedules at sizes from M_R to M_P."""
    first = cw.schedule(model, budget="M_R", compare=True, **settings)
    low, high = first.budgets.m_r_bytes, first.budgets.m_p_bytes
    sizes = [low + (high - low) * number // (POINTS - 1) for number in range(1, POINTS)] if high > low else []
    return [first, *(cw.schedule(model, scratchpad=size, compare=True, states=200_000, **settings) for size in sizes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", metavar="FILE.svg", help="picture to write")
    path = parser.parse_args().file
    curves = {}
    for model, settings in NETWORKS.items():
        curves[model] = curve(model, settings)
        print(f"{model}: M_R {first_mib(curves[model])} MiB")
        print(f"  {'scratchpad':>12}  {'least extra':>12}  {'bound':>12}  " + "  ".join(f"{name:>36}" for name in SCHEMES))
        for found in curves[model]:
            others = {row.name: row.extra_bytes for row in found.baselines}
            row = "  ".join(f"{others[name]:>36,}" for name in SCHEMES)
            print(f"  {found.scratchpad_bytes:>12,}  {found.extra_bytes:>12,}  {found.lower_bound_bytes:>12,}  {row}")
    if path:
        draw(curves, path)


def first_mib(found: list[cw.Scheduled]) -> str:
    return f"{found[0].scratchpad_bytes / 2**20:.2f}"


def draw(curves: dict[str, list[cw.Scheduled]], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (model, found) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        sizes = [each.scratchpad_bytes / 2**20 for each in found]
        for name, colour in SCHEMES.items():
            moved = [next(row.extra_bytes for row in each.baselines if row.name == name) / 2**20 for each in found]
            axes.plot(sizes, moved, color=colour, marker="o", markersize=3, label=name)
        axes.plot(sizes, [each.extra_bytes / 2**20 for each in found], color="#0072b2", marker="o", linewidth=2.5, label="this plan")
        axes.plot(sizes, [each.lower_bound_bytes / 2**20 for each in found], color="black", linestyle=":", label="proven bound")
        axes.set_title(model)
        axes.set_xlabel("scratchpad, MiB")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("off-chip bytes beyond the compulsory, MiB")
    figure.axes[-1].legend(fontsize=8)
    figure.savefig(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
