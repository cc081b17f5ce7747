"""The schema's tables as pydantic models and as a JSON Schema for editors.

Loading does not use these models: pydantic alone takes a quarter of a second to import, and knows no lines and columns. They are made
from the same tables as the reader, and the tests hold both to the same verdict on the structure of specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, WithJsonSchema, create_model

from hwspecs.attributes import WORD, Attribute, Group
from hwspecs.hardware import SOURCES
from hwspecs.schema import SCHEMA_VERSION, TOP
from hwspecs.unit_kinds import UNIT_KINDS, unit_group
from hwspecs.vocabulary.units import example

_STRICT = ConfigDict(extra="forbid")
_OPEN = ConfigDict(extra="allow")
_PURE = ("count", "number", "ratio", "free")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec, for editors: completion, hover texts, structure.

    Units, ranges, sources and whatever holds between leaves are checked by ``validate_file`` alone.
    """
    schema = spec_model().model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "cyclewright hardware spec"}


@cache
def spec_model() -> type[BaseModel]:
    """The pydantic model of a whole spec, as YAML holds it."""
    fields = _fields({key: entry for key, entry in TOP.keys.items() if key != "unit"}, "spec")
    fields |= {
        "schema_": (Literal[SCHEMA_VERSION], Field(alias="schema", description="version of this schema")),
        "name_": _optional(str, "name", "the spec's name; its file is called NAME.yaml"),
        "extends_": _optional(str, "extends", "spec to inherit from: a library name, or a path relative to this file"),
        "description_": _optional(str, "description", "one line for lists and reports"),
        "family_": _optional(str, "family", "gpu, npu, systolic, crossbar, fpga, ..."),
        "unit_": _optional(_mapping(_units()), "unit", TOP.keys["unit"].description),
    }
    return create_model("spec", __config__=_STRICT, **fields)


@cache
def _provenance() -> type[BaseModel]:
    bound = _either(str, int, float)
    fields: dict[str, Any] = {
        "source": (_either(Literal[SOURCES], None), Field(None, description="kind of source")),
        "cite": (_either(str, None), Field(None, description="citation, data set, fitting script")),
        "low": (_either(bound, None), Field(None, description='lower bound: a quantity, or relative like "-20 %"')),
        "high": (_either(bound, None), Field(None, description='upper bound: a quantity, or relative like "+20 %"')),
        "note": (_either(str, None), Field(None, description="anything a reader should know")),
    }
    return create_model("provenance", __config__=_STRICT, **fields)


def _either(*types: Any) -> Any:
    return Union[types]  # noqa: UP007 - made of a tuple


def _optional(annotation: Any, key: str, description: str) -> Any:
    """A field that a spec may leave out (it may inherit it) or set to null (to remove what it inherits)."""
    return (_either(annotation, None), Field(None, alias=key, description=description))


def _mapping(*values: Any) -> Any:
    """A mapping of free names to ``values``, which may also carry a ``provenance``."""
    return dict[str, _either(*values, _provenance(), None)]  # type: ignore[misc]


def _fields(entries: Mapping[str, Attribute | Group], name: str) -> dict[str, Any]:
    fields = {f"{key}_": _optional(_annotation(entry, f"{name}_{key}"), key, entry.description) for key, entry in entries.items()}
    return fields | {"provenance_": _optional(_provenance(), "provenance", "default source of every number below")}


def _annotation(entry: Attribute | Group, name: str) -> Any:
    if isinstance(entry, Attribute):
        return _leaf(entry, name)
    if entry.each is None:
        return create_model(name, __config__=_STRICT, **_fields(entry.keys, name))
    value = _annotation(entry.each, f"{name}_each")
    mapping = _mapping(value, dict[str, Any]) if entry.nested else _mapping(value)
    return _either(value, mapping) if entry.each_key == "pattern" else mapping


def _units() -> Any:
    models = []
    for kind in UNIT_KINDS:
        fields = _fields(unit_group(kind).keys, f"{kind}_unit") | {"kind_": _optional(Literal[kind], "kind", "names the mapper")}
        models.append(create_model(f"{kind}_unit", __config__=_STRICT, **fields))
    foreign = Annotated[str, AfterValidator(_foreign), WithJsonSchema({"type": "string", "not": {"enum": list(UNIT_KINDS)}})]
    fields = _fields(unit_group("").keys, "plugin_unit") | {"kind_": _optional(foreign, "kind", "kind of a plug-in")}
    return _either(*models, create_model("plugin_unit", __config__=_OPEN, **fields))


def _foreign(kind: str) -> str:
    """A plug-in's kind; the kinds of the tables have models of their own."""
    if kind in UNIT_KINDS:
        raise ValueError(f"{kind} is no plug-in's kind")
    return kind


def _leaf(attribute: Attribute, name: str) -> Any:
    """The short form of a leaf (the value alone), or its long form with provenance."""
    short = _short(attribute)
    long: Any = create_model(f"{name}_leaf", __base__=_provenance(), value=(short, Field(description=attribute.description)))
    return _either(short, long)


def _short(attribute: Attribute) -> Any:
    if attribute.dimension == "flag":
        return StrictBool
    if attribute.dimension == "words":
        return _either(list[str], str)
    if attribute.dimension == WORD:
        return Literal[(*attribute.choices, *attribute.short)] if attribute.choices else str
    if attribute.dimension in _PURE:
        return _either(int, float, str)
    dimension = "energy_per_op" if attribute.dimension == "action_energy" else attribute.dimension
    return Annotated[str, Field(pattern=r"^\s*[-+]?\.?[0-9]", examples=[example(dimension)])]
