"""From a forward graph to the training step that was asked for: adapters, gradients, N:M weights, pointwise operators fused again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.graph import OperatorGraph

OPTIONS: Mapping[str, str] = {
    "optimizer": "sgd-momentum (default), adam or sgd",
    "precision": "fp16-mixed (default), bf16-mixed, fp32, bf16 or fp16",
    "gradients": "format of the weights' gradients",
    "recompute": "none (default) or blocks",
    "frozen": "patterns of weights that are not trained",
    "attention": "flash (default) or split",
    "lora": "rank of low-rank adapters; all other weights are frozen",
    "reduction": "pregenerated (default) or online: when N:M weights are made",
}
"""Options of a training step and what they may be."""
REDUCTIONS = ("pregenerated", "online")


def training_step(graph: OperatorGraph, options: Mapping[str, object], *, sparsity: str | None = None, fuse: bool = True) -> OperatorGraph:
    """The training step of a forward graph.

    Args:
        options: of ``OPTIONS``; see ``passes.training``, ``passes.lora`` and ``passes.nm_training``.
        sparsity: ``bdwp-2:8`` and the like, or None.
        fuse: join pointwise operators to what makes their input, within a pass.

    Raises:
        ArgumentError: an option is not known, has the wrong type or means nothing.
        UnknownNameError, UnsupportedError, ModelError: as the passes.
    """
    from workloads.passes.fuse import fuse as fused
    from workloads.passes.lora import ADAPTERS, lora
    from workloads.passes.nm_training import is_method, nm_training, parse_method
    from workloads.passes.training import training

    for name in options:
        if name not in OPTIONS:
            raise ArgumentError(f"unknown option {name!r} of training", where=name, hint=did_you_mean(name, OPTIONS))
    told = {name: str(options[name]) for name in ("optimizer", "precision", "gradients", "recompute", "attention") if name in options}
    reduction = options.get("reduction", "pregenerated")
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"unknown reduction {reduction!r}", where="reduction", hint=f"write {' or '.join(REDUCTIONS)}")
    if sparsity is not None and sparsity != "dense" and not is_method(sparsity):
        given = sparsity if re.fullmatch(r"\d+:\d+", sparsity) else "2:8"
        parse_method(f"bdwp-{given}")
        hint = f"write bdwp-{given} (FF and BP), sr-ste-{given} (FF) or sdgp-{given} (BP), one for all layers"
        raise ArgumentError(f"sparsity {sparsity!r} does not say which passes see it", where="sparsity", hint=hint)
    rule = parse_method(sparsity) if sparsity is not None else None
    frozen = str(options.get("frozen", ""))
    if options.get("lora") is not None:
        graph = lora(graph, options["lora"])  # type: ignore[arg-type]
        frozen = f"{frozen},!" + ",!".join(ADAPTERS)
    elif "reduction" in options and rule is None:
        raise ArgumentError("reduction says when N:M weights are made, but none are asked for", where="reduction", hint="give a sparsity")
    step = training(graph, frozen=frozen, **told)
    if rule is not None:
        step = nm_training(step, rule, pregenerate=reduction == "pregenerated")
    if fuse:
        step = replace(fused(step), meta=step.meta)
    return step
