"""YAML to a tree of nodes that know their file, line and column, so that every error can say where.

PyYAML's own construction is not used: it reads ``1e9`` as text, ``on`` and ``yes`` as True, ``2:4`` as the number 124, and drops
duplicate keys silently. Here a plain scalar is an integer, a float (``1e9`` included), ``true`` or ``false``, ``null`` or text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, SpecError
from hwspecs.vocabulary.suggest import did_you_mean

if TYPE_CHECKING:
    import yaml

Scalar = str | int | float | bool | None
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_MAX_NODES = 100_000
_MAX_DEPTH = 200
_LONG = 10_000
"""Texts below this many characters cannot nest deeply enough to overrun the composer's stack."""
_TAGS = ("str", "int", "float", "bool", "null", "seq", "map", "merge", "value", "timestamp")
"""Tags that PyYAML gives to nodes without a tag; any other was written by hand."""


class Mark(NamedTuple):
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node: ``value`` is a scalar, a list of nodes, or a dict of text keys to nodes; ``keys`` holds the marks of a mapping's keys."""

    mark: Mark
    value: Scalar | list[Node] | dict[str, Node]
    keys: dict[str, Mark] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``mapping``, ``list``, ``text``, ``number``, ``true/false`` or ``nothing``: for messages."""
        if isinstance(self.value, dict):
            return "mapping"
        if isinstance(self.value, list):
            return "list"
        if isinstance(self.value, bool):
            return "true/false"
        return "text" if isinstance(self.value, str) else "nothing" if self.value is None else "number"

    def items(self) -> Iterator[tuple[str, Node]]:
        """Entries of a mapping; nothing for any other node."""
        return iter(self.value.items()) if isinstance(self.value, dict) else iter(())

    def plain(self) -> Any:
        """The tree as plain Python objects."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


def load_yaml(path: str | Path, *, shown: str | None = None, error: type[CyclewrightError] = SpecError) -> Node:
    """Read a YAML file into a tree.

    Args:
        path: the file.
        shown: how messages name the file; the path itself by default.
        error: class of the errors raised.

    Raises:
        ErrorList: of ``error``: the file is missing, not text, not YAML, has duplicate keys, unknown tags, or loops in its anchors.
    """
    name = shown or str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as fault:
        raise ErrorList([error(f"cannot read the file: {fault.strerror}", where=name, hint=_nearby(Path(path)))]) from fault
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        column = fault.start - data.rfind(b"\n", 0, fault.start)
        raise ErrorList([error("not a text file in UTF-8", where=f"{name}:{line}:{column}", hint="save it as UTF-8 text")]) from fault
    return parse_yaml(text, name, error=error)


def parse_yaml(text: str, name: str = "<text>", *, error: type[CyclewrightError] = SpecError) -> Node:
    """Parse YAML text; see ``load_yaml``.

    Raises:
        ErrorList: see ``load_yaml``; every duplicate key is listed.
    """
    try:
        root = _compose(text, name, error)
        reader = _Reader(name, error)
        tree, _ = reader.convert(root)
    except RecursionError as fault:
        raise ErrorList([_too_deep(name, error)]) from fault
    if reader.errors:
        raise ErrorList(reader.errors)
    return tree


def _compose(text: str, name: str, error: type[CyclewrightError]) -> Any:
    """PyYAML's own node graph."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if len(text) > _LONG and _depth(yaml.parse(text, Loader=loader)) > _MAX_DEPTH:
            raise ErrorList([_too_deep(name, error)])
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ErrorList([error(f"not valid YAML: {fault.problem or fault.context}", where=where, hint=_syntax_hint(text, mark))]) from fault
    except yaml.reader.ReaderError as fault:
        position = text.find(chr(fault.character)) if isinstance(fault.character, int) else max(0, fault.position)
        before = text[: max(position, 0)]
        where = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise ErrorList([error("holds a control character that YAML does not allow", where=where, hint="remove it")]) from fault
    except ValueError as fault:
        raise ErrorList([error(f"cannot be read as YAML: {fault}", where=name, hint="check the numbers and escapes")]) from fault
    if root is None:
        raise ErrorList([error("the file is empty", where=f"{name}:1:1", hint="write at least one key and its value")])
    return root


def _depth(events: Iterable[Any]) -> int:
    """Deepest nesting, without recursion: the C composer overruns its stack on files nested a hundred thousand deep."""
    depth = deepest = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent")
        depth -= kind.endswith("EndEvent")
        deepest = max(deepest, depth)
    return deepest


def _too_deep(name: str, error: type[CyclewrightError]) -> CyclewrightError:
    return error("is nested too deeply", where=name, hint="flatten the file")


class _Reader:
    def __init__(self, name: str, error: type[CyclewrightError]) -> None:
        self.name = name
        self.error = error
        self.errors: list[CyclewrightError] = []
        self.done: dict[int, tuple[Node, int]] = {}
        self.open: set[int] = set()

    def fail(self, what: str, mark: Mark, hint: str) -> None:
        self.errors.append(self.error(what, where=str(mark), hint=hint))

    def mark(self, node: yaml.Node) -> Mark:
        return Mark(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def convert(self, node: yaml.Node) -> tuple[Node, int]:
        """The node and its size with all anchors expanded (bounds what a few lines of nested anchors can blow up to)."""
        identity = id(node)
        if identity in self.done:
            return self.done[identity]
        if identity in self.open:
            raise ErrorList([self.error("an anchor holds itself", where=str(self.mark(node)), hint="break the loop of anchors")])
        self.open.add(identity)
        result, size = self._convert(node)
        self.open.discard(identity)
        if size > _MAX_NODES:
            raise ErrorList([self.error(f"expands to over {_MAX_NODES} entries", where=str(result.mark), hint="nest fewer anchors")])
        self.done[identity] = result, size
        return result, size

    def _convert(self, node: Any) -> tuple[Node, int]:
        mark = self.mark(node)
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self.fail(f"the tag {node.tag} is not understood", mark, "remove the tag")
        if node.id == "scalar":
            plain = node.style in (None, "")
            return Node(mark, resolve_scalar(node.value) if plain else node.value), 1
        if node.id == "sequence":
            pairs = [self.convert(item) for item in node.value]
            return Node(mark, [item for item, _ in pairs]), 1 + sum(size for _, size in pairs)
        return self._mapping(node, mark)

    def _mapping(self, node: Any, mark: Mark) -> tuple[Node, int]:
        entries: dict[str, Node] = {}
        marks: dict[str, Mark] = {}
        merged: list[Node] = []
        total = 1
        for key, value in node.value:
            place = self.mark(key)
            child, size = self.convert(value)
            total += size
            if key.id != "scalar":
                self.fail("a key is a list or mapping", place, "use a word as the key")
            elif key.value == "<<" and key.style in (None, ""):
                merged += child.value if isinstance(child.value, list) else [child]
            elif key.value in entries:
                self.fail(f"duplicate key {key.value!r}, first at line {marks[key.value].line}", place, "remove one of the two")
            else:
                entries[key.value] = child
                marks[key.value] = place
        for source in merged:
            if not isinstance(source.value, dict):
                self.fail("'<<' merges something that is not a mapping", source.mark, "give an alias of a mapping")
                continue
            for name, child in source.value.items():
                if name not in entries:
                    entries[name] = child
                    marks[name] = source.keys[name]
        return Node(mark, entries, marks), total


def resolve_scalar(text: str) -> Scalar:
    """What an unquoted scalar means: ``true``/``false``, ``null``/``~``/nothing, an integer, a float, else the text itself."""
    if text in ("true", "True", "false", "False"):
        return text[0] in "tT"
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if _INTEGER.match(text):
        return int(text.replace("_", "")) if len(text) < 400 else float("inf")
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    return text


def _syntax_hint(text: str, mark: Any) -> str:
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    return "check the indentation, quotes and colons near here"


def _nearby(path: Path) -> str:
    if path.is_dir():
        return "give a file, not a folder"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return did_you_mean(path.name, [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")])
