"""The click group behind ``cyclewright``: turns every error into one message on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from hwspecs.vocabulary.errors import ContractError, CyclewrightError, ErrorList
from hwspecs.vocabulary.suggest import did_you_mean

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it (128 + SIGINT)."""


class Application(click.Group):
    """A group that suggests near command names and never shows a traceback.

    Exit codes: 0 done, 1 failed (unsupported, infeasible, a claim that turned out otherwise), 2 bad input, 3 a ``--fail-if``
    condition holds, 130 interrupted.
    """

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` names; an unknown one gets a suggestion, an option that takes one value and is given two an error."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"unknown command {name!r}; {did_you_mean(name, self.list_commands(ctx))}", ctx)
        found = super().resolve_command(ctx, args)
        _check_repeats(ctx, *found)
        return found

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and leave the process with the exit code; with ``standalone_mode=False`` click's own behaviour."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra)
        try:
            program = prog_name or "cyclewright"
            code = super().main(args, program, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # the reader (``| head``) has gone: nothing to say, and the interpreter must not try to flush again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            # what the tool reads and writes itself is wrapped; what is left is the terminal or the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _say(f"cannot write the output: {error.strerror or error}")
            sys.exit(1)
        except Exception as error:
            sys.exit(_report(error))
        sys.exit(code if isinstance(code, int) else 0)


def _check_repeats(outer: click.Context, name: str | None, command: click.Command | None, args: list[str]) -> None:
    """Refuse a second value for an option that takes one: click by itself drops the first without a word.

    Raises:
        click.UsageError: an option is given twice, or the options cannot be parsed.
    """
    if command is None or isinstance(command, click.Group) or outer.resilient_parsing:
        return
    context = click.Context(command, parent=outer, info_name=name)
    _, _, order = command.make_parser(context).parse_args(args=list(args))
    for option in order:
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count) and order.count(option) > 1:
            raise click.UsageError(f"{option.opts[-1]} is given {order.count(option)} times; give it once", context)


def _report(error: Exception) -> int:
    """Write ``error`` to stderr as the user should read it and return the exit code."""
    if isinstance(error, click.exceptions.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 2
    if isinstance(error, click.ClickException):
        _say(_sentence(error.format_message()))
        context = getattr(error, "ctx", None)
        if context is not None:
            click.echo(f"see: {context.command_path} --help", err=True)
        return error.exit_code
    if isinstance(error, ErrorList):
        for part in error.errors:
            _say(str(part))
        return error.exit_code
    if isinstance(error, CyclewrightError):
        if isinstance(error, ContractError) and error.__cause__ is not None and os.environ.get("CYCLEWRIGHT_DEBUG"):
            traceback.print_exception(error.__cause__, file=sys.stderr)
        _say(str(error))
        return error.exit_code
    if os.environ.get("CYCLEWRIGHT_DEBUG"):
        traceback.print_exception(error, file=sys.stderr)
    _say(f"internal error: {type(error).__name__}: {error}; this is a defect of cyclewright, CYCLEWRIGHT_DEBUG=1 shows where it happened")
    return 1


def _say(message: str) -> None:
    colour = False if os.environ.get("NO_COLOR") else None
    click.echo(click.style("error:", fg="red", bold=True) + f" {message}", err=True, color=colour)


def _sentence(message: str) -> str:
    """Click's message in the manner of ours: lower-case start, no full stop."""
    message = message.strip().removesuffix(".")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message
