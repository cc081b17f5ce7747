"""JSON objects with located errors: ``file:line:col`` of any value, found only when an error needs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hwspecs.vocabulary.errors import ModelError

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^,\]}\s]+")


def read_object(path: Path) -> tuple[dict[str, object], str]:
    """The JSON object in ``path`` and the file's text.

    Raises:
        ModelError: unreadable file, not UTF-8, a syntax error, a key given twice, or not an object; with its place.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"cannot read the file ({error.strerror or error})", where=str(path)) from None
    except UnicodeDecodeError:
        raise ModelError("the file is not UTF-8 text", where=str(path), hint="give a JSON file") from None

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        seen = dict(items)
        if len(seen) < len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ModelError(f"the key {twice!r} is given twice", where=where(path, text, (twice,)), hint="keep one of them")
        return seen

    try:
        tree = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ModelError(f"not valid JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from None
    except RecursionError:
        raise ModelError("nested too deeply", where=str(path)) from None
    if not isinstance(tree, dict):
        raise ModelError("holds no JSON object", where=f"{path}:1:1", hint="a config.json is one object, {...}")
    return tree, text


def where(path: Path, text: str, key_path: tuple[str, ...]) -> str:
    """``file:line:col`` of the value at ``key_path`` (keys of nested objects); of the object that lacks it when the key is absent."""
    position = _find(text, key_path)
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"{path}:{line}:{column}"


def _find(text: str, key_path: tuple[str, ...]) -> int:
    position = _skip(text, 0)
    for key in key_path:
        found = _member(text, position, key)
        if found is None:
            return position
        position = found
    return position


def _member(text: str, position: int, key: str) -> int | None:
    """Position of the last value called ``key`` in the object that starts at ``position`` (the last one wins in JSON)."""
    if position >= len(text) or text[position] != "{":
        return None
    found: int | None = None
    position = _skip(text, position + 1)
    while text[position] != "}":
        start, position = position, _string_end(text, position)
        name = json.loads(text[start:position])
        position = _skip(text, _skip(text, position) + 1)
        if name == key:
            found = position
        position = _skip(text, _end(text, position))
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _end(text: str, position: int) -> int:
    """Position behind the value that starts at ``position``; the text is known to be valid JSON."""
    if text[position] == '"':
        return _string_end(text, position)
    if text[position] not in "{[":
        match = _SCALAR.match(text, position)
        return match.end() if match else len(text)
    depth = 0
    while True:
        if text[position] == '"':
            position = _string_end(text, position)
            continue
        depth += (text[position] in "{[") - (text[position] in "}]")
        position += 1
        if not depth:
            return position


def _string_end(text: str, position: int) -> int:
    match = _STRING.match(text, position)
    return match.end() if match else len(text)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
