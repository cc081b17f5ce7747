"""``cyclewright claims``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cyclewright.cli.options import checked_outputs, json_option, output_option
from cyclewright.cli.text import Progress, print_json, say_written, table
from hwspecs.vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from cyclewright.ledger import Outcome

_HELP = """The ledger of published results: each row is run, and ours stands against theirs.

\b
Examples:
  cyclewright claims
  cyclewright claims --filter llama --json

Kinds: identity (arithmetic), calibrated (the row's own source was used to fit), predicted (it was not). Exits with 1 if any row turns out
otherwise than it says.
"""


@click.command(help=_HELP, short_help="Published results against ours.")
@click.option("--filter", "word", metavar="WORD", help="Only rows with this word in id, title, source, kind or model.")
@click.option("--folder", metavar="FOLDER", help="A ledger of your own.  [default: the one that ships]")
@json_option
@output_option(".json .csv")
@click.pass_context
def claims(context: click.Context, word: str | None, folder: str | None, as_json: bool, outputs: Sequence[str]) -> None:
    """Run the ledger."""
    paths = checked_outputs(outputs, "claims")
    from cyclewright.ledger import as_document
    from cyclewright.ledger import claims as run_ledger
    from cyclewright.outputs import json_bytes, table_csv, write_all

    with Progress("claims") as progress:
        outcomes = run_ledger(word, folder=folder, progress=progress)
    if not outcomes:
        raise InvalidInput("no row of the ledger matches" if word else "the ledger is empty", where=word or folder, hint="try another word")
    document = as_document(outcomes)
    write_all([(path, json_bytes(document) if path.suffix == ".json" else table_csv(document["claims"])) for path in paths])
    if as_json:
        print_json(document)
    else:
        _show(outcomes)
    say_written(paths)
    if not all(outcome.as_expected for outcome in outcomes):
        context.exit(1)


def _show(outcomes: Sequence[Outcome]) -> None:
    rows: list[tuple[Any, ...]] = []
    for outcome in outcomes:
        claim = outcome.claim
        ours = "" if outcome.ours is None else f"{outcome.ours:.6g}"
        error = "" if outcome.error is None else f"{100 * outcome.error:+.3g} %"
        verdict = "pass" if outcome.passed else "miss"
        if not outcome.as_expected:
            verdict = "FAILED" if outcome.failure else f"{verdict}, expected {claim.expect}"
        rows.append((claim.id, claim.kind, ours, f"{claim.value:.6g}", claim.unit, error, f"{100 * outcome.tolerance:.3g} %", verdict))
    table(("claim", "kind", "ours", "published", "unit", "error", "tolerance", "outcome"), rows, left=2)
    for outcome in outcomes:
        if outcome.failure:
            click.echo(f"  {outcome.claim.id}: {outcome.failure}")
        elif not outcome.passed and outcome.claim.note:
            click.echo(f"  {outcome.claim.id}: {outcome.claim.note}")
    kinds = Counter(outcome.claim.kind for outcome in outcomes)
    kept = sum(outcome.as_expected for outcome in outcomes)
    click.echo(f"  {kept} of {len(outcomes)} as expected ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})")
