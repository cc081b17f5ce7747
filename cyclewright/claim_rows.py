"""Reading ledger rows: YAML to ``Claim``, all faults at once, each with file, line and column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclewright.claim_metrics import check_form
from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, InvalidInput
from hwspecs.vocabulary.located_yaml import Mark, Node, load_yaml
from hwspecs.vocabulary.suggest import did_you_mean
from hwspecs.vocabulary.units import read_any

KINDS = ("identity", "calibrated", "predicted")
EXPECTATIONS = ("pass", "miss")
DEFAULT_HARDWARE = "nvidia-h100-sxm"
COUNT_UNITS = {"": 1.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "%": 0.01, "/s": 1.0}
_TEXTS = ("id", "title", "kind", "source", "metric", "unit", "expect", "note")
_KEYS = (*_TEXTS, "run", "runs", "value", "tolerance")
_REQUIRED = ("id", "title", "kind", "source", "metric", "value", "tolerance")
_SETTINGS = {
    "phase": str, "batch": int, "context": int, "tokens": int, "format": str, "sparsity": str, "fidelity": str, "unknown_op": str,
    "stream": str, "delta": str, "keep_tokens": str, "optimizer": str, "precision": str, "recompute": str,
    "attention": str, "reduction": str,
}  # fmt: skip
_RUN_KEYS = ("model", "hardware", "overrides", "dims", *_SETTINGS)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run that a row asks for, hashable so that equal runs happen once."""

    model: str
    hardware: str
    settings: tuple[tuple[str, str | int], ...] = ()
    overrides: tuple[tuple[str, str], ...] = ()
    dims: tuple[tuple[str, int], ...] = ()

    @property
    def keywords(self) -> dict[str, Any]:
        """Settings as keyword arguments of ``run``."""
        return dict(self.settings)


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the ledger.

    Attributes:
        runs: name to run; a row with one ``run`` calls it ``run``.
        value: as published, in ``unit``; ``factor``: SI value of one ``unit``.
        tolerance: share of the value if ``relative``, else an amount in ``unit``.
        where: file, line and column of the row.
    """

    id: str
    title: str
    kind: str
    source: str
    runs: Mapping[str, RunSpec]
    metric: str
    value: float
    unit: str
    factor: float
    tolerance: float
    relative: bool
    tolerance_reason: str
    expect: str
    note: str
    where: str

    @property
    def search_text(self) -> str:
        """What ``--filter`` looks in, in lower case."""
        return " ".join((self.id, self.title, self.source, self.kind, *(run.model for run in self.runs.values()))).lower()


def load_claims(folder: str | Path | None = None) -> tuple[Claim, ...]:
    """All rows of a ledger, in the order of file names and rows.

    Raises:
        ErrorList: every fault of every file.
    """
    root = Path(folder) if folder is not None else Path(__file__).parent / "claims"
    if not root.is_dir():
        raise InvalidInput("there is no such folder", where=str(root), hint="give a folder of ledger files (*.yaml)")
    reader = _Reader()
    for path in sorted((*root.rglob("*.yaml"), *root.rglob("*.yml"))):
        shown = str(path) if folder is not None else f"cyclewright/claims/{path.relative_to(root).as_posix()}"
        try:
            reader.file(load_yaml(path, shown=shown, error=InvalidInput))
        except ErrorList as faults:
            reader.errors += faults.errors
    if reader.errors:
        raise ErrorList(reader.errors)
    return tuple(reader.claims)


class _Reader:
    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.errors: list[CyclewrightError] = []
        self.ids: dict[str, str] = {}

    def fail(self, mark: Mark, what: str, hint: str) -> None:
        self.errors.append(InvalidInput(what, where=str(mark), hint=hint))

    def file(self, root: Node) -> None:
        """Read one file."""
        top = self.mapping(root, "a ledger file", ("defaults", "claims"))
        rows = top.get("claims")
        if rows is None or not isinstance(rows.value, list):
            self.fail(rows.mark if rows else root.mark, "there is no list of claims", "write claims: and below it a list of rows")
            return
        defaults = self.mapping(top["defaults"], "defaults", _KEYS) if "defaults" in top else {}
        for row in rows.value:
            before = len(self.errors)
            claim = self.row(row, defaults)
            if claim is not None and len(self.errors) == before:
                self.claims.append(claim)

    def mapping(self, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
        """The entries of a mapping whose keys must be among ``known``."""
        if not isinstance(node.value, dict):
            self.fail(node.mark, f"{what} is a {node.kind}, not a mapping", f"write keys out of {', '.join(known)}")
            return {}
        for key in node.value:
            if key not in known:
                self.fail(node.keys[key], f"{what} has the unknown key {key!r}", did_you_mean(key, known))
        return node.value

    def row(self, node: Node, defaults: Mapping[str, Node]) -> Claim | None:
        """One claim; None if it has faults."""
        own = self.mapping(node, "a claim", _KEYS)
        entries = {**defaults, **own}
        if missing := [key for key in _REQUIRED if key not in entries]:
            self.fail(node.mark, f"a claim lacks {', '.join(missing)}", f"every row states {', '.join(_REQUIRED)}")
            return None
        text = {key: self.text(entries[key], key) if key in entries else "" for key in _TEXTS}
        text["expect"] = text["expect"] or "pass"
        self.one_of(entries, text, "kind", KINDS)
        self.one_of(entries, text, "expect", EXPECTATIONS)
        if text["expect"] == "miss" and not text["note"]:
            self.fail(node.mark, "a row that is expected to miss has no note", "say in note: why it misses")
        if text["id"] in self.ids:
            self.fail(entries["id"].mark, f"the id {text['id']!r} is taken, at {self.ids[text['id']]}", "give each row an id of its own")
        self.ids[text["id"]] = str(entries["id"].mark)
        runs = self.runs(node, own, entries)
        if fault := check_form(text["metric"], runs) if runs else None:
            self.fail(entries["metric"].mark, fault, "see the head of cyclewright/ledger.py")
        value = self.number(entries["value"], "value")
        factor = self.factor(entries, text["unit"])
        tolerance, relative, reason = self.tolerance(entries["tolerance"])
        return Claim(
            text["id"], text["title"], text["kind"], text["source"], runs, text["metric"], value, text["unit"], factor, tolerance, relative,
            reason, text["expect"], text["note"], str(node.mark),
        )  # fmt: skip

    def text(self, node: Node, key: str) -> str:
        """A text; numbers are not taken for one."""
        if not isinstance(node.value, str):
            self.fail(node.mark, f"{key} is a {node.kind}, not a text", f"write {key} as text, in quotes if it looks like a number")
            return ""
        return " ".join(node.value.split())

    def one_of(self, entries: Mapping[str, Node], text: Mapping[str, str], key: str, known: tuple[str, ...]) -> None:
        if text[key] and text[key] not in known:
            self.fail(entries[key].mark, f"{key} is {text[key]!r}", f"use one of {', '.join(known)}")

    def number(self, node: Node, key: str) -> float:
        """A finite number."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
            self.fail(node.mark, f"{key} is not a number", f"write {key} as a plain number; the unit goes into unit:")
            return 0.0
        return float(value)

    def factor(self, entries: Mapping[str, Node], unit: str) -> float:
        """SI value of one unit; a count word may stand before it, for tables that divide by mixed powers (``million KiB`` is 1.024e9 B)."""
        if unit in COUNT_UNITS:
            return COUNT_UNITS[unit]
        word, _, rest = unit.partition(" ")
        many, name = (COUNT_UNITS[word], rest) if rest and word.isalpha() and word in COUNT_UNITS else (1.0, unit)
        quantity = read_any(f"1 {name}")
        if quantity is None or quantity.clock:
            counts = ", ".join(name for name in COUNT_UNITS if name)
            self.fail(entries["unit"].mark, f"unknown unit {unit!r}", f"use {counts} or a unit like GB, GiB, ms, J, W")
            return 1.0
        return many * quantity.value

    def tolerance(self, node: Node) -> tuple[float, bool, str]:
        """(size, whether relative, reason)."""
        entries = self.mapping(node, "tolerance", ("relative", "absolute", "reason"))
        if ("relative" in entries) == ("absolute" in entries) or "reason" not in entries:
            self.fail(node.mark, "a tolerance is relative or absolute, with a reason", 'write {relative: 0.5 %, reason: "..."}')
            return 0.0, True, ""
        relative = "relative" in entries
        size = entries["relative" if relative else "absolute"]
        percent = read_any(size.value) if isinstance(size.value, str) and size.value.endswith("%") else None
        value = percent.value if percent is not None else self.number(size, "the tolerance")
        if value < 0:
            self.fail(size.mark, "a tolerance is below zero", "give the allowed size of the error")
        return value, relative, self.text(entries["reason"], "reason")

    def runs(self, node: Node, own: Mapping[str, Node], entries: Mapping[str, Node]) -> dict[str, RunSpec]:
        """The runs of a row, by name; a row's own ``run`` or ``runs`` stands before that of the defaults."""
        given = [key for key in ("run", "runs") if key in own] or [key for key in ("run", "runs") if key in entries]
        if len(given) != 1:
            what = "a claim has both run and runs" if given else "a claim has no run"
            self.fail(node.mark, what, "write run: {model: ..., hardware: ...}")
            return {}
        if given[0] == "run":
            return {"run": self.one_run(entries["run"])}
        several = entries["runs"]
        if not isinstance(several.value, dict) or not several.value:
            self.fail(several.mark, "runs is not a mapping of names to runs", "write runs: {a: {model: ...}, b: {model: ...}}")
            return {}
        return {name: self.one_run(child) for name, child in several.value.items()}

    def one_run(self, node: Node) -> RunSpec:
        """One run's model, hardware and settings."""
        entries = self.mapping(node, "a run", _RUN_KEYS)
        if "model" not in entries:
            self.fail(node.mark, "a run has no model", "write model: NAME")
        texts = {key: self.text(entries[key], key) for key in ("model", "hardware") if key in entries}
        settings: list[tuple[str, str | int]] = []
        for key, kind in _SETTINGS.items():
            if key in entries:
                value = entries[key].value
                if isinstance(value, str | int) and isinstance(value, kind) and not isinstance(value, bool):
                    settings.append((key, value))
                else:
                    form = "whole number" if kind is int else "text"
                    self.fail(entries[key].mark, f"{key} is a {entries[key].kind}", f"write {key} as a {form}")
        overrides = tuple((key, str(child.value)) for key, child in entries["overrides"].items()) if "overrides" in entries else ()
        dims = tuple((key, int(self.number(child, key))) for key, child in entries["dims"].items()) if "dims" in entries else ()
        return RunSpec(texts.get("model", ""), texts.get("hardware", DEFAULT_HARDWARE), tuple(settings), overrides, dims)
