"""The stored form of a result: one JSON document, read back to an equal ``Result``.

Numbers are written by ``repr``, so they come back bit for bit; there is no NaN or infinity. ``digest`` is the sha256 of the
canonical JSON (sorted keys, no spaces) of everything but ``meta`` and ``digest`` itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from typing import Any

from hwspecs.vocabulary.errors import ContractError, InvalidInput, ModelError
from simulator.reading import read_document
from simulator.result import RESULT_SCHEMA, OperatorResult, Result, Span

TOP = ("latency_s", "cycles", "energy_j", "macs", "flops", "dram_bytes", "roofline_s", "bound_by", "peak_memory_bytes")
"""Keys that come first in the document, so that a reader meets them first."""
_NAMES = tuple(item.name for item in fields(Result))
_OPERATOR_NAMES = tuple(item.name for item in fields(OperatorResult))
_LATER = frozenset(("scalesim", "dram", "in_memory", "over_time", "resources", "time_parts", "memory_plan"))
"""Keys that results stored before them do not have; they come back as the default."""
_SPAN_NAMES = tuple(item.name for item in fields(Span))


def to_document(result: Result) -> dict[str, Any]:
    """The result as JSON values: the keys of ``TOP``, then the other fields, ``operators`` and ``timeline`` as lists of objects.

    Raises:
        ContractError: a number is NaN or infinite; names the field.
    """
    body = {name: getattr(result, name) for name in (*TOP, *(name for name in _NAMES if name not in TOP))}
    body["operators"] = [{name: getattr(operator, name) for name in _OPERATOR_NAMES} for operator in result.operators]
    body["timeline"] = [[getattr(span, name) for name in _SPAN_NAMES] for span in result.timeline]
    document: dict[str, Any] = {name: body.pop(name) for name in TOP}
    document["schema"] = RESULT_SCHEMA
    document["digest"] = ""
    document.update({name: _plain(value) for name, value in body.items()})
    _check_finite(document, "result")
    document["digest"] = digest(document)
    return document


def to_json(result: Result, *, indent: int | None = 1) -> str:
    """The result as JSON text; the same result always gives the same text.

    Raises:
        ContractError: a number is NaN or infinite; names the field.
    """
    return json.dumps(to_document(result), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def digest(document: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of ``document`` without ``meta`` and ``digest``."""
    rest = {name: value for name, value in document.items() if name not in ("meta", "digest")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def from_json(text: str) -> Result:
    """The result that ``to_json`` wrote.

    Raises:
        ModelError: not JSON, of another schema, with missing or unknown keys, or changed since it was written.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ModelError(f"not a stored result: {error}", hint="give a file that `run -o NAME.json` wrote") from error
    if not isinstance(document, dict) or "schema" not in document:
        raise ModelError("not a stored result: it has no key 'schema'", hint="give a file that `run -o NAME.json` wrote")
    if document["schema"] != RESULT_SCHEMA:
        raise ModelError(f"a stored result of schema {document['schema']}, this version reads {RESULT_SCHEMA}", hint="run it again")
    missing = [name for name in (*_NAMES, "digest") if name not in document and name not in _LATER]
    unknown = [name for name in document if name not in (*_NAMES, "schema", "digest")]
    if missing or unknown:
        raise ModelError(f"a stored result with keys missing {missing} and unknown {unknown}", hint="run it again")
    if document["digest"] != digest(document):
        raise ModelError("a stored result whose numbers do not match its digest: it was changed after it was written", hint="run it again")
    try:
        return read_document(document)
    except InvalidInput as error:
        raise ModelError(f"a stored result with a value of the wrong form: {error.what}", where=error.where, hint="run it again") from error


def _plain(value: Any) -> Any:
    """JSON values of nested mappings and tuples."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    return value


def _check_finite(value: Any, path: str) -> None:
    if isinstance(value, float):
        if not isfinite(value):
            raise ContractError(f"the number is {value}", where=path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_finite(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_finite(inner, f"{path}[{number}]")
