"""From a YAML tree to a flat draft: every leaf with its path, its place and where its number comes from.

Provenance is settled file by file, before specs are merged, so that a spec that extends another never lends its own citation
to the numbers it inherits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hwspecs.hardware import SOURCES
from hwspecs.schema import HEADER, LEAF_KEYS, SCHEMA_VERSION
from hwspecs.vocabulary.errors import CyclewrightError, SpecError
from hwspecs.vocabulary.located_yaml import Mark, Node
from hwspecs.vocabulary.suggest import did_you_mean

PROVENANCE = "provenance"
Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a number comes from, as far as the file says.

    ``low`` and ``high`` are the nodes of its bounds; ``stated`` is path and place of what gives the source (a mapping or a leaf).
    """

    source: str | None = None
    cite: str = ""
    low: Node | None = None
    high: Node | None = None
    stated: tuple[str, Mark] | None = None


@dataclass(frozen=True, slots=True)
class DraftLeaf:
    """A leaf before its meaning is known: ``value`` as written, ``key`` the place of its key."""

    parts: Parts
    value: Node
    key: Mark
    provenance: Provenance

    @property
    def path(self) -> str:
        """Dotted path."""
        return ".".join(self.parts)


@dataclass(slots=True)
class Draft:
    """A spec, flat: header words, leaves by path, places of all mappings, errors met so far."""

    root: Mark
    header: dict[str, Node] = field(default_factory=dict)
    leaves: dict[Parts, DraftLeaf] = field(default_factory=dict)
    groups: dict[Parts, Mark] = field(default_factory=dict)
    errors: list[CyclewrightError] = field(default_factory=list)

    def fail(self, mark: Mark, path: str, message: str, hint: str) -> None:
        """Note an error at ``mark``."""
        self.errors.append(located(mark, path, message, hint))


def located(mark: Mark | str, path: str, message: str, hint: str) -> SpecError:
    """``file:line:col: path: message; hint``."""
    return SpecError(f"{path}: {message}" if path else message, where=str(mark), hint=hint)


def draft(tree: Node) -> Draft:
    """Flatten the tree of one file; errors are kept in the draft."""
    result = Draft(tree.mark)
    if not isinstance(tree.value, dict):
        result.fail(tree.mark, "", f"a spec is a mapping, this is a {tree.kind}", "begin with schema: 1")
        return result
    for key in HEADER:
        if key in tree.value:
            _header(result, key, tree.value[key])
    if "schema" not in tree.value:
        result.fail(tree.mark, "schema", "missing", f"write schema: {SCHEMA_VERSION}")
    if "name" not in tree.value:
        result.fail(tree.mark, "name", "missing", "write name: my-chip")
    _walk(result, tree, (), Provenance())
    return result


def _header(result: Draft, key: str, node: Node) -> None:
    if key == "schema":
        if node.value != SCHEMA_VERSION or isinstance(node.value, bool):
            result.fail(node.mark, key, f"version {node.value!r} is not known", f"this cyclewright reads schema: {SCHEMA_VERSION}")
    elif not isinstance(node.value, str) or not node.value.strip():
        result.fail(node.mark, key, f"must be text, not {node.kind}", "put the text in quotes")
        return
    result.header[key] = node


def _walk(result: Draft, node: Node, parts: Parts, outer: Provenance) -> None:
    assert isinstance(node.value, dict)
    if PROVENANCE in node.value:
        outer = _provenance(result, ".".join((*parts, PROVENANCE)), node.value[PROVENANCE], outer)
    for key, child in node.value.items():
        if key == PROVENANCE or (not parts and key in HEADER):
            continue
        mark = node.keys[key]
        path = (*parts, *_split(key))
        if any(not part for part in path):
            result.fail(mark, ".".join(path), "empty key", "write a name before the colon")
        elif isinstance(child.value, dict) and not _is_leaf(result, ".".join(path), child, mark):
            for end in range(len(parts) + 1, len(path) + 1):
                result.groups.setdefault(path[:end], mark)
            _walk(result, child, path, outer)
        else:
            for end in range(len(parts) + 1, len(path)):
                result.groups.setdefault(path[:end], mark)
            _leaf(result, path, child, mark, outer)


def _split(key: str) -> list[str]:
    """A dotted key is a path; keys that begin with a digit (``1.5 MiB``, ``2:4``) are one part, without spaces."""
    return [key.replace(" ", "")] if key[:1].isdigit() else key.split(".")


def _is_leaf(result: Draft, path: str, node: Node, mark: Mark) -> bool:
    assert isinstance(node.value, dict)
    if "value" in node.value:
        return True
    if node.value and set(node.value) <= set(LEAF_KEYS):
        result.fail(mark, path, f"has {', '.join(node.value)} but no value", 'write value: "..." beside them')
        return True
    return False


def _leaf(result: Draft, path: Parts, node: Node, mark: Mark, outer: Provenance) -> None:
    if len(path) == 4 and path[0] == "unit" and path[2] == "rates":
        path = (*path, "dense")
    name = ".".join(path)
    value, own = node, outer
    if isinstance(node.value, dict):
        if "value" not in node.value:
            return
        value = node.value["value"]
        own = _provenance(result, name, node, outer)
        if isinstance(value.value, dict):
            result.fail(value.mark, name, "the value of a leaf is a number, text or list, not a mapping", 'write value: "..."')
            return
    if path in result.leaves:
        result.fail(mark, name, f"given twice, first at line {result.leaves[path].key.line}", "remove one of the two")
        return
    result.leaves[path] = DraftLeaf(path, value, mark, own)


def _provenance(result: Draft, path: str, node: Node, outer: Provenance) -> Provenance:
    """What ``node`` (a ``provenance`` mapping or a leaf in long form) says, over what the enclosing mappings say."""
    if not isinstance(node.value, dict):
        result.fail(node.mark, path, f"must be a mapping, not {node.kind}", 'write {source: datasheet, cite: "..."}')
        return outer
    for key in node.value:
        if key not in LEAF_KEYS:
            result.fail(node.keys[key], path, f"unknown key {key!r}", did_you_mean(key, LEAF_KEYS))
    for key in ("source", "cite", "note"):
        given = node.value.get(key)
        if given is not None and not isinstance(given.value, str):
            result.fail(given.mark, path, f"{key} must be text, not {given.kind}", "put the text in quotes")
    source = _text(node, "source")
    if source is not None and source not in SOURCES:
        result.fail(node.value["source"].mark, path, f"unknown source {source!r}", did_you_mean(source, SOURCES))
        return Provenance("derived", "unknown", node.value.get("low"), node.value.get("high"), (path, node.mark))
    if source is None:
        cite, low, high = _text(node, "cite") or outer.cite, node.value.get("low", outer.low), node.value.get("high", outer.high)
        return Provenance(outer.source, cite, low, high, outer.stated)
    cite = _text(node, "cite") or ("" if source != "assumed" else "no source known")
    if not cite:
        result.fail(node.keys["source"], path, f"source {source} without a citation", 'add cite: "who, what, where"')
        cite = "missing"
    return Provenance(source, cite, node.value.get("low"), node.value.get("high"), (path, node.keys["source"]))


def _text(node: Node, key: str) -> str | None:
    given = node.value.get(key) if isinstance(node.value, dict) else None
    return given.value.strip() if given is not None and isinstance(given.value, str) else None


def merge(base: Draft, child: Draft) -> Draft:
    """``child`` over ``base``: its leaves replace, ``null`` removes a leaf or a mapping, the rest is inherited in the base's order."""
    leaves = dict(base.leaves)
    groups = dict(base.groups)
    for path, leaf in child.leaves.items():
        for old in list(_below(leaves, path)):
            if leaf.value.value is None or old != path:
                del leaves[old]
        if leaf.value.value is None:
            for group in list(_below(groups, path)):
                del groups[group]
        else:
            leaves[path] = leaf
    for path, mark in child.groups.items():
        leaves.pop(path, None)
        groups[path] = mark
    header = {**base.header, **child.header}
    return Draft(child.root, header, leaves, groups, [*base.errors, *child.errors])


def _below(paths: dict[Parts, DraftLeaf] | dict[Parts, Mark], start: Parts) -> Iterator[Parts]:
    return (path for path in paths if path[: len(start)] == start)
