"""The one exception tree of the project.

Every error says what was wrong, where (``file:line:col``, a dotted path or an operator's name) and what to do about it.
The command line turns each into one message on stderr and the class's ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Sequence


class CyclewrightError(Exception):
    """Root of all errors that a user can cause or meet.

    Args:
        what: what was wrong, one sentence without the location.
        where: the location: ``file:line:col``, a dotted path in a spec, an operator's or tensor's name.
        hint: what to do, one sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.hint}" if self.hint else text


class InvalidInput(CyclewrightError):  # noqa: N818 - a family of faults, not one
    """A file, name or argument is wrong: the user can mend it (exit code 2)."""

    exit_code = 2


class ArgumentError(InvalidInput):
    """A command-line or API argument is out of range or contradicts another."""


class UnknownNameError(InvalidInput):
    """A name (model, hardware, leaf, format, operator) is not known; the hint lists the nearest ones."""


class SpecError(InvalidInput):
    """One fault in a hardware spec."""


class ModelError(InvalidInput):
    """A model file, config or graph cannot be read or is inconsistent."""


class UnitError(InvalidInput):
    """A quantity text has no unit, an unknown unit or the wrong dimension."""


class ErrorList(InvalidInput):
    """All faults of one file at once; ``errors`` holds them in the order of the file."""

    def __init__(self, errors: Sequence[CyclewrightError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class UnsupportedError(CyclewrightError):
    """The input is valid, but no mapper, importer or rung can serve it; the message names what is missing."""


class InfeasibleError(CyclewrightError):
    """The workload cannot run on the hardware as asked (does not fit, deadlocks, no schedule)."""


class ContractError(CyclewrightError):
    """A room broke a contract towards the next one: a defect of a mapper or scheduler, not of the input."""


class GateHit(CyclewrightError):  # noqa: N818 - not a fault
    """A ``--fail-if`` condition holds (exit code 3)."""

    exit_code = 3
