"""Loading specs: names and files, ``extends``, overrides, all errors of a file at once.

Reading is cached in the process by path, modification time and size; an override replaces leaves of the cached reading, so that a
what-if over every leaf costs a fraction of a millisecond each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from hwspecs.attributes import Attribute
from hwspecs.building import build
from hwspecs.checking import check
from hwspecs.drafting import Draft, draft, merge
from hwspecs.dram import PARTS, drop_part, expand_parts, swap_part
from hwspecs.hardware import Hardware, Leaf
from hwspecs.plausible import check_plausible
from hwspecs.reading import Unknown, attribute_at, read_leaves, read_value, sort_errors
from hwspecs.vocabulary.errors import ArgumentError, CyclewrightError, ErrorList, InvalidInput, UnknownNameError
from hwspecs.vocabulary.located_yaml import Mark, Node, load_yaml, resolve_scalar
from hwspecs.vocabulary.suggest import did_you_mean
from hwspecs.vocabulary.units import format_quantity

LIBRARY = Path(__file__).parent / "library"
Overrides = Sequence[str] | Mapping[str, object]
_Stamp = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec that was read and found good: header words, leaves with their attributes, the hardware without overrides, its files.

    ``memories`` is the place of its ``memory`` mapping.
    """

    header: Mapping[str, str]
    leaves: Mapping[str, Leaf]
    attributes: Mapping[str, Attribute]
    memories: str
    hardware: Hardware
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SpecInfo:
    """One line of ``specs list``."""

    name: str
    family: str
    description: str
    kinds: tuple[str, ...]
    path: Path


_CACHE: dict[str, tuple[tuple[_Stamp, ...], Spec]] = {}


@lru_cache(maxsize=1)
def _library() -> dict[str, Path]:
    return {path.stem: path for path in sorted(LIBRARY.glob("*/*.yaml")) if path.parent != PARTS}


def list_hardware() -> tuple[str, ...]:
    """Names of the library's specs, sorted."""
    return tuple(sorted(_library()))


def describe_hardware() -> tuple[SpecInfo, ...]:
    """Name, family, description and unit kinds of every spec of the library."""
    return tuple(_info(name) for name in list_hardware())


def _info(name: str) -> SpecInfo:
    hardware = load_hardware(name)
    kinds = tuple(dict.fromkeys(unit.kind for unit in hardware.units.values()))
    return SpecInfo(name, hardware.family, hardware.description, kinds, _library()[name])


def load_hardware(name_or_path: str, overrides: Overrides = ()) -> Hardware:
    """The hardware that a spec describes.

    Args:
        name_or_path: a name of the library (``nvidia-h100-sxm``) or the path of a YAML file.
        overrides: ``"memory.hbm.bandwidth=4 TB/s"`` texts, or a mapping of paths to text with unit or to numbers in the leaf's own
            SI unit (``Leaf.unit``). A path may be any unambiguous dotted suffix: ``array.rows`` means ``unit.array.rows``.

    Raises:
        UnknownNameError: no such spec or leaf.
        ErrorList: every fault of the file, each with ``file:line:col``, or every fault of the overrides.
    """
    spec = _read_spec(find_spec(name_or_path))
    return _override(spec, overrides) if overrides else spec.hardware


def validate_file(path: str | Path) -> tuple[CyclewrightError, ...]:
    """All faults of a spec file, in the order of the file; empty if it is good."""
    try:
        load_hardware(str(path))
    except ErrorList as errors:
        return errors.errors
    except CyclewrightError as error:
        return (error,)
    return ()


def find_spec(name_or_path: str, folder: Path | None = None) -> Path:
    """The file behind a name of the library or a path (relative to ``folder`` where one is given).

    Raises:
        UnknownNameError: neither.
        ArgumentError: the path is a folder.
    """
    library = _library()
    if name_or_path in library:
        return library[name_or_path]
    path = (folder or Path()) / name_or_path
    if name_or_path and path.is_dir():
        inside = ", ".join(sorted(entry.name for entry in path.glob("*.y*ml"))[:5])
        raise ArgumentError(f"{path} is a folder, not a spec", hint=f"it holds {inside}" if inside else "give the path of a .yaml file")
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if path.is_file():
            return path
        near = [entry.name for entry in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise UnknownNameError(f"no such file: {path}", hint=did_you_mean(path.name, near))
    hint = did_you_mean(name_or_path, library) + " (or give the path of a .yaml file)"
    raise UnknownNameError(f"unknown hardware {name_or_path!r}", hint=hint)


def _stamp(path: Path) -> _Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return (str(path), 0, 0)
    return (str(path), status.st_mtime_ns, status.st_size)


def _read_spec(path: Path) -> Spec:
    key = str(path)
    cached = _CACHE.get(key)
    if cached and all(_stamp(Path(stamp[0])) == stamp for stamp in cached[0]):
        return cached[1]
    files: list[Path] = []
    before = _stamp(path)
    whole = _read_draft(path, files, ())
    expand_parts(whole, files)
    stamps = (before, *(_stamp(file) for file in files[1:]))
    spec = _compile(whole, tuple(files))
    _CACHE[key] = stamps, spec
    return spec


def _shown(path: Path) -> str:
    """How messages name a file: library files from the package's folder on, others as given."""
    return str(path.relative_to(LIBRARY.parent.parent)) if path.is_relative_to(LIBRARY) else str(path)


def _read_draft(path: Path, files: list[Path], chain: tuple[Path, ...]) -> Draft:
    files.append(path)
    child = draft(load_yaml(path, shown=_shown(path)))
    extends = child.header.get("extends")
    if extends is None:
        return child
    try:
        parent = find_spec(str(extends.value), path.parent)
    except (UnknownNameError, ArgumentError) as error:
        child.fail(extends.mark, "extends", error.what, error.hint or "")
        return child
    chain = (*chain, path.resolve())
    if parent.resolve() in chain:
        names = " -> ".join(file.stem for file in (*chain, parent))
        child.fail(extends.mark, "extends", f"the specs extend each other in a circle: {names}", "remove one of the extends")
        return child
    return merge(_read_draft(parent, files, chain), child)


def _compile(whole: Draft, files: tuple[Path, ...]) -> Spec:
    broken_extends = any("extends" in error.what for error in whole.errors)
    leaves: dict[str, Leaf] = {}
    attributes: dict[str, Attribute] = {}
    if not broken_extends:
        leaves, attributes = read_leaves(whole)
    place = str(whole.groups.get(("memory",), whole.root))
    between = [] if broken_extends else check(leaves, place)
    if not between and not whole.errors:
        between = check_plausible(leaves)
    blamed = {_section(error) for error in whole.errors}
    errors = [*whole.errors, *(error for error in between if _section(error) not in blamed)]
    if errors:
        raise ErrorList(sort_errors(errors))
    header = {key: str(node.value) for key, node in whole.header.items()}
    return Spec(header, leaves, attributes, place, build(header, leaves), files)


def _section(error: CyclewrightError) -> str:
    """The top-level key that an error is about; what must hold between leaves is not judged in a section with broken leaves."""
    head = re.split(r"[.:]", error.what, maxsplit=1)[0]
    return "unit" if head == "default_format" else head


def resolve_leaf(hardware: Hardware, path: str) -> str:
    """The full path of the leaf that ``path`` means: the path itself or an unambiguous dotted suffix of it.

    Raises:
        UnknownNameError: no leaf ends so (the hint names the nearest), or several do (the hint lists them).
    """
    return _resolve(hardware.leaves, path)


def _resolve(leaves: Iterable[str], path: str) -> str:
    known = list(leaves)
    if path in known:
        return path
    ending = "." + path
    found = [name for name in known if name.endswith(ending)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownNameError(f"{path!r} is ambiguous", hint="it may be " + " or ".join(found))
    below = sorted(name for name in known if name.startswith(path + ".") or f"{ending}." in name)
    if below:
        shown = ", ".join(below[:4]) + (f" and {len(below) - 4} more" if len(below) > 4 else "")
        raise UnknownNameError(f"{path!r} is a part of the spec, not a number", hint=f"--set changes one leaf, such as {shown}")
    depth = path.count(".") + 1
    suffixes = {".".join(name.split(".")[-depth:]): name for name in known}
    hint = did_you_mean(path, suffixes)
    for suffix, name in sorted(suffixes.items(), key=lambda pair: -len(pair[0])):
        if hint.startswith("did you mean") and f" {suffix}" in hint and suffix != name and known.count(name) == 1:
            hint = hint.replace(f" {suffix} ", f" {name} ").replace(f" {suffix}?", f" {name}?")
    raise UnknownNameError(f"no leaf {path!r}", hint=hint)


def _override(spec: Spec, overrides: Overrides) -> Hardware:
    leaves = dict(spec.leaves)
    errors: list[CyclewrightError] = []
    for path, value in _pairs(overrides):
        try:
            _apply(spec, leaves, path, value)
        except InvalidInput as error:
            errors.append(type(error)(error.what, where=error.where or f"--set {path}", hint=error.hint))
    if not errors:
        _scale_rates(spec, leaves)
        errors = [*check(leaves, spec.memories)]
    if errors:
        raise errors[0] if len(errors) == 1 else ErrorList(errors)
    return build(spec.header, leaves)


def _scale_rates(spec: Spec, leaves: dict[str, Leaf]) -> None:
    """Stated rates are of all copies at the stated clock: where an override moves count or clock, rates that it leaves alone follow."""
    for name, unit in spec.hardware.units.items():
        prefix = f"unit.{name}."
        moved = [path for path in ("clock", prefix + "clock", prefix + "count") if leaves.get(path) is not spec.leaves.get(path)]
        if not moved:
            continue
        count = leaves[prefix + "count"].value if prefix + "count" in leaves else 1
        clock = leaves[prefix + "clock"].value if prefix + "clock" in leaves else leaves["clock"].value
        factor = float(count) * float(clock) / (unit.count * unit.clock_hz)
        for path, leaf in spec.leaves.items():
            stated = path.startswith((prefix + "rates.", prefix + "vector_rates.")) and leaves.get(path) is leaf
            if stated and leaf.unit == "op/s" and factor != 1.0:
                scaled = float(leaf.value) * factor
                low, high = (None if bound is None else bound * factor for bound in (leaf.low, leaf.high))
                text = format_quantity(scaled, leaf.unit)
                cite = f"{leaf.text} x {factor:.4g}, as {' and '.join(moved)} set"
                leaves[path] = replace(leaf, value=scaled, text=text, source="derived", cite=cite, low=low, high=high, where="--set")


def _pairs(overrides: Overrides) -> list[tuple[str, object]]:
    if isinstance(overrides, Mapping):
        return list(overrides.items())
    if isinstance(overrides, str):
        overrides = [overrides]
    pairs: list[tuple[str, object]] = []
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path.strip() or not value.strip():
            hint = 'write PATH=VALUE, such as memory.hbm.bandwidth="4 TB/s"'
            raise ArgumentError(f"cannot read the override {text!r}", where="--set", hint=hint)
        word = value.strip()
        pairs.append((path.strip(), word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word))
    return pairs


def _apply(spec: Spec, leaves: dict[str, Leaf], path: str, value: object) -> None:
    """Replace one leaf; a leaf that the schema allows but the spec does not state is added."""
    plain = path.split(".")[-2:-1] == ["rates"] and not any(leaf == path or leaf.endswith("." + path) for leaf in leaves)
    if plain:  # as in a file, a plain rate is the dense one
        path += ".dense"
    try:
        full = _resolve(leaves, path)
        attribute = spec.attributes.get(full) or _new_attribute(spec, full)
    except UnknownNameError as error:
        new = _addable(spec, path)
        if new is None or "ambiguous" in error.what:
            raise UnknownNameError(error.what, hint=_allowed(spec, path) or error.hint) from None
        full, attribute = new
    if value is None or value == "null":
        if attribute.required:
            raise ArgumentError(f"{full} cannot be removed", hint="a spec must state it")
        leaves.pop(full, None)
        if full.startswith("memory.") and full.endswith(".part"):
            drop_part(leaves, full.removesuffix("part"))
        return
    leaves[full] = _overridden(leaves.get(full), full, attribute, value)
    if full.startswith("memory.") and full.endswith(".part"):
        swap_part(leaves, full.removesuffix("part"))


def _addable(spec: Spec, path: str) -> tuple[str, Attribute] | None:
    """The leaf that the schema allows at ``path`` (or at ``unit.``, ``memory.``, ``link.`` before it) on a part that the spec has."""
    for start in ("", "unit.", "memory.", "link."):
        try:
            return start + path, _new_attribute(spec, start + path)
        except Unknown:
            continue
    return None


def _allowed(spec: Spec, path: str) -> str:
    """A hint with the nearest names that the schema allows on the part that ``path`` begins with; empty where nothing is near."""
    for start in ("", "unit.", "memory.", "link."):
        try:
            _new_attribute(spec, start + path)
        except Unknown as error:
            near = (error.hint or "").removeprefix("did you mean ").removesuffix("?")
            if near != error.hint and error.level > 1:
                parts = (start + path).split(".")
                before, after = parts[: error.level], parts[error.level + 1 :]
                names = near.split(" or ")[: 1 if after else None]  # what lies below the nearest need not lie below the others
                return "did you mean " + " or ".join([".".join((*before, name, *after)) for name in names]) + "?"
    return ""


def _has_part(spec: Spec, prefix: str) -> bool:
    return any(path.startswith(prefix) for path in spec.leaves)


def _new_attribute(spec: Spec, path: str) -> Attribute:
    parts = tuple(path.split("."))
    if len(parts) > 1 and parts[0] in ("unit", "memory", "link") and not _has_part(spec, f"{parts[0]}.{parts[1]}."):
        raise Unknown(f"no {parts[0]} {parts[1]!r}", "", 1)
    kinds = {name: unit.kind for name, unit in spec.hardware.units.items()}
    entry = attribute_at(parts, kinds)
    if not isinstance(entry, Attribute):
        raise Unknown(f"{path!r} is a mapping", "", len(parts))
    return entry


def _overridden(old: Leaf | None, path: str, attribute: Attribute, value: object) -> Leaf:
    if not isinstance(value, (str, int, float, bool)):
        raise ArgumentError(f"{value!r} is no value for a leaf", hint="give text with a unit, or a number in the leaf's own unit")
    leaf = old or Leaf(path, 0.0, "", "", "assumed", "")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and leaf.unit:
        return _set_number(leaf, attribute, float(value))
    words = attribute.dimension in ("word", "words")
    node = Node(Mark("--set", 0, 0), resolve_scalar(value.strip()) if isinstance(value, str) and not words else value)
    read, unit = read_value(node, attribute, path)
    bound = None if isinstance(read, (str, bool)) else float(read)
    return replace(
        leaf, value=read, text=str(value), unit=unit, source="assumed", cite="set by the user", low=bound, high=bound, where="--set"
    )


def _set_number(leaf: Leaf, attribute: Attribute, value: float) -> Leaf:
    """A plain number replaces a quantity: it is in the leaf's own unit."""
    from hwspecs.reading import in_range
    from hwspecs.vocabulary.units import Quantity

    read = in_range(Quantity(value, leaf.unit, attribute.dimension), value, attribute)
    text = format_quantity(value, leaf.unit)
    return replace(leaf, value=read, text=text, source="assumed", cite="set by the user", low=float(read), high=float(read), where="--set")
