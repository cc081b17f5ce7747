"""What each leaf of a draft means: its attribute, its SI value, its bounds; every fault located."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from math import isfinite

from hwspecs.attributes import WORD, Attribute, Group
from hwspecs.drafting import Draft, DraftLeaf, Parts
from hwspecs.hardware import Leaf
from hwspecs.schema import TOP
from hwspecs.unit_kinds import FREE_GROUP, UNIT_KINDS, unit_group
from hwspecs.vocabulary.errors import CyclewrightError, InvalidInput, SpecError, UnitError
from hwspecs.vocabulary.formats import number_format
from hwspecs.vocabulary.functions import FUNCTIONS
from hwspecs.vocabulary.located_yaml import Mark, Node
from hwspecs.vocabulary.suggest import did_you_mean
from hwspecs.vocabulary.units import Quantity, example, format_quantity, read_any, read_quantity, split_number

Value = float | int | str
_PATTERN = re.compile(r"dense|unstructured|block|[1-9]\d*:[1-9]\d*")
_BOUNDS_HINT = 'state how far off it may be: low and high with a unit, or "-20 %" and "+20 %"'
_RELATIVE = re.compile(r"\s*(±|\+-|\+/-|[-+])\s*([0-9.]+)\s*%\s*\Z")


class Unknown(InvalidInput):
    """A path that the schema does not have; ``level`` is the index of the first part at fault."""

    def __init__(self, what: str, hint: str, level: int) -> None:
        self.level = level
        super().__init__(what, hint=hint)


def attribute_at(parts: Parts, kinds: Mapping[str, str], *, mapping: bool = False) -> Attribute | Group:
    """The schema's entry for a path; ``kinds`` maps unit names to their kinds, ``mapping`` says that the spec has a mapping there.

    Raises:
        Unknown: the schema has no such path.
    """
    group: Group = TOP
    last = len(parts) - 1
    for level, part in enumerate(parts):
        entry = group.keys.get(part)
        if entry is None:
            if group.each is None:
                raise Unknown(f"unknown key {part!r}", did_you_mean(part, group.keys), level)
            _check_key(part, group.each_key, level)
            below = FREE_GROUP if group.keys else group
            entry = below if group.nested and (mapping or level < last) else group.each
        if level == 1 and parts[0] == "unit":
            entry = unit_group(kinds.get(part, ""))
        if level == last:
            return entry
        if isinstance(entry, Attribute):
            raise Unknown(f"{part!r} takes a value, not a mapping", _write_hint(entry), level)
        group = entry
    raise AssertionError("a path has at least one part")


def _check_key(part: str, kind: str, level: int) -> None:
    if kind == "format":
        try:
            number_format(part)
        except InvalidInput as error:
            raise Unknown(error.what, error.hint or "", level) from None
    elif kind == "pattern" and not _PATTERN.fullmatch(part):
        raise Unknown(f"unknown sparsity pattern {part!r}", "write dense, unstructured, block or N:M such as 2:4", level)
    elif kind == "function" and part not in FUNCTIONS:
        raise Unknown(f"unknown function {part!r}", did_you_mean(part, FUNCTIONS), level)
    elif kind == "bytes":
        try:
            read_quantity(part, "bytes")
        except UnitError as error:
            raise Unknown(error.what, error.hint or "", level) from None


def kinds_of(leaves: Mapping[Parts, DraftLeaf]) -> dict[str, str]:
    """Unit name to kind, for the units that state one."""
    return {path[1]: str(leaf.value.value) for path, leaf in leaves.items() if len(path) == 3 and path[0] == "unit" and path[2] == "kind"}


def read_leaves(draft: Draft) -> tuple[dict[str, Leaf], dict[str, Attribute]]:
    """All leaves with their meaning; errors (unknown keys, wrong values, missing keys and sources) are added to the draft."""
    kinds = kinds_of(draft.leaves)
    leaves: dict[str, Leaf] = {}
    attributes: dict[str, Attribute] = {}
    blamed: set[Parts] = set()
    unbounded: dict[tuple[str, Mark, str], list[str]] = {}
    for parts, draft_leaf in draft.leaves.items():
        entry = _entry(draft, parts, draft_leaf.key, kinds, blamed)
        if draft_leaf.value.value is None and not (isinstance(entry, Attribute) and entry.required):
            continue
        if isinstance(entry, Group):
            hint = f"it holds {', '.join(entry.keys)}" if entry.keys else f"it holds {entry.description}"
            draft.fail(draft_leaf.value.mark, draft_leaf.path, f"must be a mapping, not {draft_leaf.value.kind}", hint)
        elif entry is not None:
            leaf = _read_draft(draft, draft_leaf, entry, unbounded)
            if leaf is not None:
                leaves[leaf.path] = leaf
                attributes[leaf.path] = entry
    for (path, mark, missing), below in unbounded.items():
        whose = f", for {below[0]}" + (f" and {len(below) - 1} more" if len(below) > 1 else "")
        draft.fail(mark, path, f"assumed without {missing}{whose}", _BOUNDS_HINT)
    _check_groups(draft, kinds, blamed)
    _check_kinds(draft, kinds)
    return leaves, attributes


def _entry(
    draft: Draft, parts: Parts, mark: Mark, kinds: Mapping[str, str], blamed: set[Parts], *, mapping: bool = False
) -> Attribute | Group | None:
    """The schema's entry, or None after noting the error, once for each unknown mapping."""
    try:
        return attribute_at(parts, kinds, mapping=mapping)
    except Unknown as error:
        fault = parts[: error.level + 1]
        if fault not in blamed:
            blamed.add(fault)
            draft.fail(draft.groups.get(fault, mark), ".".join(fault), error.what, error.hint or "")
        return None


def _check_groups(draft: Draft, kinds: Mapping[str, str], blamed: set[Parts]) -> None:
    present = set(draft.groups) | {path for path, leaf in draft.leaves.items() if leaf.value.value is not None}
    for parts, mark in ((), draft.root), *draft.groups.items():
        entry = TOP if not parts else _entry(draft, parts, mark, kinds, blamed, mapping=True)
        if isinstance(entry, Attribute):
            draft.fail(mark, ".".join(parts), "takes a value, not a mapping", _write_hint(entry))
        elif entry is not None:
            for key, wanted in entry.keys.items():
                if wanted.required and (*parts, key) not in present:
                    hint = _write_hint(wanted) if isinstance(wanted, Attribute) else f"it holds {wanted.description}"
                    draft.fail(mark, ".".join((*parts, key)), "missing", hint)


def _check_kinds(draft: Draft, kinds: Mapping[str, str]) -> None:
    """A kind that differs from a known one by a slip of the finger is an error unless a plug-in serves it."""
    for name, kind in kinds.items():
        near = get_close_matches(kind, UNIT_KINDS, n=1, cutoff=0.8)
        if kind not in UNIT_KINDS and near and kind not in _plugin_kinds():
            leaf = draft.leaves["unit", name, "kind"]
            hint = f"did you mean {near[0]}? (a plug-in's kind needs an entry point in cyclewright.mappers)"
            draft.fail(leaf.value.mark, leaf.path, f"unknown kind {kind!r}", hint)


def _plugin_kinds() -> set[str]:
    from hwspecs.vocabulary.plug_ins import plug_ins  # few specs name a kind that nobody here knows

    return set(plug_ins("cyclewright.mappers"))


def _read_draft(draft: Draft, leaf: DraftLeaf, attribute: Attribute, unbounded: dict[tuple[str, Mark, str], list[str]]) -> Leaf | None:
    """One leaf, or None after noting why not; ``unbounded`` collects what lacks the bounds of a ``provenance`` mapping."""
    node, path = leaf.value, leaf.path
    try:
        value, unit = read_value(node, attribute, path)
    except InvalidInput as error:
        draft.fail(node.mark, path, error.what, error.hint or "")
        return None
    result = Leaf(path, value, _text(node), unit, "derived", "a choice of this spec", where=str(node.mark))
    given = leaf.provenance
    if isinstance(value, (str, bool)):
        return replace(result, source=given.source, cite=given.cite) if given.source else result
    if given.source is None:
        hint = 'write {value: ..., source: datasheet, cite: "..."}, or a provenance mapping around it'
        draft.fail(node.mark, path, "the number has no source", hint)
        return None
    bounds: list[float | None] = []
    for name, bound in (("low", given.low), ("high", given.high)):
        try:
            bounds.append(None if bound is None else _read_bound(bound, float(value), unit, attribute, path, name))
        except InvalidInput as error:
            draft.fail(bound.mark if bound else node.mark, path, f"{name}: {error.what}", error.hint or "")
            return None
    if given.source == "assumed" and None in bounds:
        missing = " and ".join(name for name, bound in zip(("low", "high"), bounds, strict=True) if bound is None)
        if given.stated is not None and given.stated[0] != path:
            unbounded.setdefault((*given.stated, missing), []).append(path)
        else:
            draft.fail(node.mark, path, f"an assumed number without {missing}", _BOUNDS_HINT)
            return None
    return replace(result, source=given.source, cite=given.cite, low=bounds[0], high=bounds[1])


def _text(node: Node) -> str:
    if isinstance(node.value, list):
        return ", ".join(_text(item) for item in node.value)
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)


def _read_bound(node: Node, value: float, unit: str, attribute: Attribute, path: str, name: str) -> float:
    match = _RELATIVE.match(node.value) if isinstance(node.value, str) else None
    if match:
        share = float(match[2]) / 100
        down = match[1] == "-" or (name == "low" and match[1] != "+")
        bound = value * (1 - share if down else 1 + share)
    else:
        read, bound_unit = read_value(node, attribute, path)
        if isinstance(read, str) or bound_unit != unit:
            raise SpecError("has another unit than the value", hint=f'write it in {unit or "plain numbers"}, or relative like "±20 %"')
        bound = float(read)
    if (name == "low" and bound > value) or (name == "high" and bound < value):
        side = "above" if name == "low" else "below"
        raise SpecError(f"{_text(node)} lies {side} the value", hint='low <= value <= high; relative bounds are like "-20 %" and "+20 %"')
    return bound


def read_value(node: Node, attribute: Attribute, path: str) -> tuple[Value, str]:
    """SI value and unit of a leaf.

    Raises:
        InvalidInput: wrong type, unknown word, unit missing or wrong, out of range.
    """
    given = node.value
    if attribute.dimension == "words":
        return _read_words(node, path), ""
    if isinstance(given, (list, dict)) or given is None:
        raise SpecError(f"must be one value, not {node.kind}", hint=_write_hint(attribute))
    if attribute.dimension == "flag":
        if not isinstance(given, bool):
            raise SpecError(f"must be true or false, not {given!r}", hint="write true or false")
        return given, ""
    if attribute.dimension == WORD:
        return _read_word(given, attribute, path), ""
    if isinstance(given, bool):
        raise SpecError("must be a quantity, not true/false", hint=_write_hint(attribute))
    if attribute.dimension == "free":
        return _read_free(given)
    quantity = read_quantity(given, _dimension(attribute, path))
    return in_range(quantity, given, attribute), quantity.base


def _dimension(attribute: Attribute, path: str) -> str:
    if attribute.dimension != "action_energy":
        return attribute.dimension
    if path.endswith(".byte"):
        return "energy_per_byte"
    return "energy_per_mac" if ".energy.mac." in path else "energy_per_op"


def in_range(quantity: Quantity, given: object, attribute: Attribute) -> float | int:
    """The value as the attribute's number type.

    Raises:
        SpecError: it is out of the attribute's range, not finite, or a fraction of a byte.
    """
    value = quantity.value
    low, high = attribute.low, attribute.high
    if not isfinite(value):
        raise SpecError(f"{given!r} is not a finite number", hint="write a finite number")
    if low is not None and (value <= low if attribute.above else value < low):
        bound = f"{'above' if attribute.above else 'at least'} {format_quantity(low, quantity.base)}"
        raise SpecError(f"{given!r} is out of range", hint=f"must be {bound}")
    if high is not None and value > high:
        raise SpecError(f"{given!r} is out of range", hint=f"must be at most {format_quantity(high, quantity.base)}")
    if attribute.dimension == "bytes" and value != int(value):
        raise SpecError(f"{given!r} is not a whole number of bytes", hint="write a size such as 64 KiB")
    return int(value) if attribute.dimension in ("count", "bytes") else value


def _read_word(given: object, attribute: Attribute, path: str) -> str:
    if not isinstance(given, str):
        raise SpecError(f"must be a word, not {given!r}", hint=_write_hint(attribute))
    word = attribute.short.get(given, given)
    if word.replace("-", "_") in attribute.choices:
        word = word.replace("-", "_")
    if attribute.choices and word not in attribute.choices:
        raise SpecError(f"unknown word {given!r}", hint=did_you_mean(given, attribute.choices))
    return number_format(word).name if path == "default_format" else word


def _read_words(node: Node, path: str) -> str:
    items = [str(item.value) for item in node.value] if isinstance(node.value, list) else str(node.value).split(",")
    words = [item.strip() for item in items]
    if isinstance(node.value, dict) or not all(words):
        raise SpecError("must be a list of words", hint="write [a, b]")
    if path.endswith(".formats"):
        words = [number_format(word).name for word in words]
    for word in words:
        if path.endswith(".modes") and not _PATTERN.fullmatch(word):
            raise SpecError(f"unknown sparsity pattern {word!r}", hint='write patterns such as ["2:4", "2:8"]')
    return ", ".join(words)


def _read_free(given: str | int | float) -> tuple[Value, str]:
    quantity = read_any(given)
    if quantity is not None:
        whole = isinstance(given, int) or quantity.base == "byte"
        return (int(quantity.value) if whole and quantity.value == int(quantity.value) else quantity.value), quantity.base
    if isinstance(given, str) and split_number(given):
        raise UnitError(f"{given!r} has a unit that is not in the table", hint='write a unit such as "2.7 us", or a plain number')
    return str(given), ""


def _write_hint(attribute: Attribute) -> str:
    if attribute.dimension == WORD:
        return attribute.description if not attribute.choices else f"one of {', '.join(attribute.choices)}"
    if attribute.dimension == "flag":
        return "write true or false"
    if attribute.dimension in ("words", "free"):
        return attribute.description
    name = "energy_per_op" if attribute.dimension == "action_energy" else attribute.dimension
    return f'write {attribute.description} like "{example(name)}"'


def sort_errors(errors: list[CyclewrightError]) -> list[CyclewrightError]:
    """In the order of file, line and column; errors without a place first."""

    def place(error: CyclewrightError) -> tuple[str, int, int]:
        match = re.fullmatch(r"(.*):(\d+):(\d+)", error.where or "")
        return (match[1], int(match[2]), int(match[3])) if match else (error.where or "", 0, 0)

    return sorted(errors, key=place)
