"""Keys of a spec as data: a leaf with its dimension and range, a mapping of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WORD = "word"
"""Dimension of a leaf that is a word out of ``choices`` or a name."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One leaf.

    Attributes:
        dimension: a dimension of ``hwspecs.vocabulary.units``, or ``word``, ``flag`` (true or false), ``words`` (list of words), ``free``
            (number, quantity of any dimension or word).
        description: what it means, one line.
        required: the enclosing mapping must have it.
        choices: allowed words; empty means any.
        short: short forms of the words.
        low, high: allowed range in SI units; ``low`` itself is excluded where ``above`` is True.
    """

    dimension: str
    description: str
    required: bool = False
    choices: tuple[str, ...] = ()
    short: Mapping[str, str] = field(default_factory=dict)
    low: float | None = 0.0
    high: float | None = None
    above: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A mapping: known ``keys``, and ``each`` for every other key (None: no other key is allowed).

    ``each_key`` says what such a key must be: ``name``, ``format`` (number format), ``pattern`` (``dense``, ``2:4``, ...), ``bytes`` or
    ``function`` (of ``hwspecs.vocabulary.functions``).
    """

    description: str
    keys: Mapping[str, Attribute | Group] = field(default_factory=dict)
    each: Attribute | Group | None = None
    each_key: str = "name"
    required: bool = False
    nested: bool = False
    """Other keys may also be mappings of the same form, to any depth (free parameters)."""


def positive(dimension: str, description: str, required: bool = False, high: float | None = None) -> Attribute:
    """A quantity above zero."""
    return Attribute(dimension, description, required=required, above=True, high=high)


def amount(dimension: str, description: str) -> Attribute:
    """A quantity of zero or more."""
    return Attribute(dimension, description)


def count(description: str, required: bool = False, low: int = 1, high: int | None = None) -> Attribute:
    """A whole number, at least 1 if nothing else is said."""
    return Attribute("count", description, required=required, low=low, high=high)


def word(description: str, *choices: str, required: bool = False, short: Mapping[str, str] | None = None) -> Attribute:
    """One of ``choices``; any word if there are none."""
    return Attribute(WORD, description, required=required, choices=choices, short=short or {})
