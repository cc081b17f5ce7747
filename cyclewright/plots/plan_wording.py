"""The words for what a plan file says, for the terminal, figures and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclewright.plots.formatting import percent
from hwspecs.vocabulary.units import format_quantity


def size(value: float) -> str:
    """Bytes as a scratchpad is spoken of: ``1.53 MiB``, and whole numbers of bytes below 1 KiB."""
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {unit}"
    return format_quantity(value, "byte") if value else "0 B"


def title_of(document: Mapping[str, Any]) -> str:
    """Model, settings and scratchpad in one line."""
    settings = document["settings"]
    if document.get("hardware"):
        words = [f"{name} {settings[name]}" for name in ("phase", "batch", "context", "tokens") if settings.get(name) not in (None, 1)]
        told = f" ({', '.join(words)})" if words else ""
        return f"{document['model']}{told} on {document['hardware']}, {size(document['scratchpad_bytes'])}"
    words = [str(settings.get("format", ""))] if settings.get("format") else []
    words += [f"{name} {settings[name]}" for name in ("phase", "batch", "context", "tokens") if settings.get(name) not in (None, 1)]
    words.append("activations and weights" if settings.get("weights") else "activations")
    words += [name.replace("_", " ") for name in ("in_place", "concat_views", "explicit_padding", "split_attention") if settings.get(name)]
    return f"{document['model']} ({', '.join(words)}) in {size(document['scratchpad_bytes'])}"


def verdict(document: Mapping[str, Any]) -> str:
    """What the bound says of the plan."""
    extra, bound = document["extra_bytes"], document["lower_bound_bytes"]
    plan = "plan of these mappings" if document.get("hardware") else "plan"
    if document["proven"]:
        return f"nothing less is possible: no {plan} moves fewer bytes" if extra else "nothing moves beyond the compulsory"
    why = f" ({document['stopped']})" if document["stopped"] else ""
    return f"not proven{why}: no {plan} moves fewer than {bound:,} bytes"


def headline(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and text of the figures that matter."""
    extra, compulsory = document["extra_bytes"], document["compulsory_bytes"]
    share = f", {percent(extra / compulsory)} of the compulsory {size(compulsory)}" if compulsory else ""
    lines = [("extra", f"{extra:,} bytes{share}"), ("certificate", verdict(document))]
    lines.append(("method", f"{document['method']}, {document['seconds']:.2f} s" + (f", {told}" if (told := effort(document)) else "")))
    if known := document["budgets"]:
        least = " (proven)" if known["m_p_proven"] else f" (at most; at least {size(known['m_p_bound_bytes'])})"
        texts = [f"{name} {size(known[key])}" for name, key in (("M_R", "m_r_bytes"), ("M_H", "m_h_bytes"), ("M_P", "m_p_bytes"))]
        lines.append(("budgets", ", ".join(texts) + least))
    placed = "every tensor has an address" if document["placed"] else "no addresses"
    if document.get("latency_s"):
        lines.append(("latency", f"{format_quantity(document['latency_s'], 's')} if it is played"))
    lines.append(("scratchpad", f"{document['scratchpad_bytes']:,} bytes; {placed}"))
    if joined := document.get("joined"):
        rest = "" if joined["in_one_piece"] == joined["tensors"] else "; the others are read part by part"
        lines.append(("joined tensors", f"{joined['in_one_piece']} of {joined['tensors']} lie in one piece when they are read{rest}"))
    return lines


def effort(document: Mapping[str, Any]) -> str:
    """What was spent on the search."""
    spent = document["effort"]
    words = {name: name.replace("_", " ") for name in spent}
    return ", ".join(f"{value:,} {words[name].removesuffix('s') if value == 1 else words[name]}" for name, value in spent.items() if value)


def schemes(document: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(scheme, extra bytes, part of them that the plan saves), the plan itself last."""
    ours = document["extra_bytes"]
    rows = []
    for row in document["baselines"]:
        extra = row["extra_bytes"]
        rows.append((str(row["scheme"]), int(extra), percent((extra - ours) / extra) if extra else ""))
    return [*rows, ("this plan", int(ours), "")]
