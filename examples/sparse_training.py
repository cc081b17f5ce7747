"""What N:M sparse training gains, layer by layer and pass by pass, on an FPGA array (SAT, arXiv 2309.13015).

python examples/sparse_training.py [bdwp-2:8] [FILE.png]

Each layer's products dense over sparse: the forward pass (FF), the input gradients (BP), and all three passes together, with what is fused
into them (not the making of N:M copies). No layer exceeds M / N in a pruned pass, nor, with both pruned, 3 / (2 N / M + 1) over FF, BP and
the dense weight gradients (WU).
"""

from __future__ import annotations

import math
import sys

import cyclewright as cw
from cyclewright.api import document_of
from cyclewright.passes import LayerTotal, layers_of
from workloads.passes.nm_training import parse_method

MODELS = ("resnet9-cifar10", "vgg19-cifar100", "vit-cifar100", "resnet18-tiny-imagenet", "resnet50")
PASSES = ("FF", "BP", "WU")


def speedups(dense: LayerTotal, sparse: LayerTotal) -> list[float]:
    """FF, BP, and the three passes together; nan, which is not drawn, where a layer has no such pass."""
    ratios = []
    for words in (("FF",), ("BP",), PASSES):
        before, after = (sum(layer.time_s.get(word, 0.0) for word in words) for layer in (dense, sparse))
        ratios.append(before / after if before and after else math.nan)
    return ratios


def main() -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    sparsity = sys.argv[1] if len(sys.argv) > 1 else "bdwp-2:8"
    path = sys.argv[2] if len(sys.argv) > 2 else "sparse-training.png"
    rule = parse_method(sparsity)
    kept = rule.n / rule.m
    ceiling = 3 / (3 - len(rule.method.passes) * (1 - kept))
    figure = Figure(figsize=(13, 7), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    places = [grid[0, 0:2], grid[0, 2:4], grid[0, 4:6], grid[1, 0:3], grid[1, 3:6]]
    for model, place in zip(MODELS, places, strict=True):
        dense, sparse = (cw.run(model, "xilinx-vcu1525-sat", phase="train", batch=512, sparsity=word) for word in ("dense", sparsity))
        after = {layer.name: layer for layer in layers_of(document_of(sparse))}
        layers = layers_of(document_of(dense))
        rows = [speedups(layer, after[layer.name]) for layer in layers]
        axes = figure.add_subplot(place)
        at = range(len(layers))
        axes.bar(at, [row[2] for row in rows], color="#c9d3df", label="FF + BP + WU")
        for column, (word, mark, colour) in enumerate((("FF", "o", "#1f5fa8"), ("BP", "^", "#d1641b"))):
            axes.plot(list(at), [row[column] for row in rows], mark, color=colour, markersize=4, label=word)
        axes.axhline(ceiling, color="black", linestyle="--", linewidth=1, label=f"ceiling of all three, {ceiling:.2f}")
        axes.axhline(1 / kept, color="grey", linestyle=":", linewidth=1, label=f"ceiling of one pass, {1 / kept:.3g}")
        whole = dense.latency_s / sparse.latency_s
        print(f"{model:<24} {dense.latency_s:7.3f} s dense, {sparse.latency_s:7.3f} s {sparsity}, {whole:.2f} times as fast")
        axes.set_title(f"{model}: whole step x{whole:.2f}", fontsize=10)
        few = len(layers) <= 24
        axes.set_xticks(list(at) if few else [], [layer.name for layer in layers] if few else [], rotation=90, fontsize=6)
        axes.set_xlabel("" if few else f"{len(layers)} layers, first to last", fontsize=8)
        axes.set_ylim(0, 1.12 / kept)
        axes.grid(axis="y", alpha=0.3)
    figure.axes[0].set_ylabel("times as fast as dense")
    figure.axes[3].set_ylabel("times as fast as dense")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
