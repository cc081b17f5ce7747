"""From the stored JSON document of a run back to a ``Result``, with a located error for whatever does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from math import isfinite
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from hwspecs.vocabulary.errors import InvalidInput
from simulator.result import RESULT_SCHEMA, Result

Record = TypeVar("Record")
_HINT = "give the JSON that `cyclewright run -o result.json` wrote with this version"


def read_document(document: Mapping[str, object]) -> Result:
    """The result that a stored document holds; ``simulator.stored.from_json`` also checks its keys and its digest.

    Args:
        document: what ``json.loads`` gives for the stored form.

    Raises:
        InvalidInput: a field is missing, has the wrong type, is not finite, or the document has another schema version.
    """
    if not isinstance(document, Mapping):
        raise InvalidInput(f"a stored result is a mapping, not {_called(document)}", hint=_HINT)
    schema = document.get("schema", RESULT_SCHEMA)
    if schema != RESULT_SCHEMA:
        raise InvalidInput(f"stored result has schema {schema!r}, this version reads {RESULT_SCHEMA}", where="schema", hint=_HINT)
    result: Result = _build(Result, document, "")
    return result


def read_record(kind: type[Record], value: object, where: str) -> Record:
    """A frozen dataclass from a mapping inside of a stored document, with its fields' types checked.

    Args:
        where: path of the mapping in the document, for messages.

    Raises:
        InvalidInput: a field is missing, has the wrong type or is not finite; the message names it.
    """
    made: Record = _build(kind, value, where)
    return made


@lru_cache(maxsize=16)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: Any, value: object, where: str) -> Any:
    if isinstance(value, list | tuple) and len(value) == len(fields(kind)):
        value = dict(zip((entry.name for entry in fields(kind)), value, strict=True))  # spans are stored as bare lists
    if not isinstance(value, Mapping):
        raise InvalidInput(f"should be a mapping, is {_called(value)}", where=where, hint=_HINT)
    made = {}
    hints = _hints(kind)
    for entry in fields(kind):
        path = f"{where}.{entry.name}" if where else entry.name
        if entry.name in value:
            made[entry.name] = _convert(hints[entry.name], value[entry.name], path)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise InvalidInput("is missing", where=path, hint=_HINT)
    return kind(**made)


def _convert(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        return _tuple(get_args(hint), value, where)
    if origin in (Union, UnionType):
        return _either(get_args(hint), value, where)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise InvalidInput(f"should be a mapping, is {_called(value)}", where=where, hint=_HINT)
        inner = get_args(hint)[1]
        return {str(key): _convert(inner, item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(hint):
        return _build(hint, value, where)
    return _plain(hint, value, where)


def _tuple(inner: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"should be a list, is {_called(value)}", where=where, hint=_HINT)
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_convert(inner[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if len(value) != len(inner):
        raise InvalidInput(f"should have {len(inner)} entries, has {len(value)}", where=where, hint=_HINT)
    return tuple(_convert(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(inner, value, strict=True)))


def _either(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, bool | int | float | str) and type(value) in kinds:
        return value
    solid = [kind for kind in kinds if kind is not type(None)]
    return _convert(solid[0], value, where) if len(solid) == 1 else _plain(float, value, where)


def _plain(hint: Any, value: object, where: str) -> Any:
    if hint is object or hint is Any:
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        if not isfinite(value):  # type: ignore[arg-type]
            raise InvalidInput(f"is {value}, not a finite number", where=where, hint=_HINT)
        return value  # a whole number stays one, so that writing it again gives the same text
    if hint is int and number and value == int(value):  # type: ignore[call-overload]
        return int(value)  # type: ignore[call-overload]
    if hint in (str, bool) and isinstance(value, hint):
        return value
    raise InvalidInput(f"should be {getattr(hint, '__name__', hint)}, is {_called(value)}", where=where, hint=_HINT)


def _called(value: object) -> str:
    text = repr(value)
    return f"{text[:40]}…" if len(text) > 40 else text
