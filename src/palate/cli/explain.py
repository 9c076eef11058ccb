"""``palate explain``: why an item is, or is not, recommended to a member."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palate.cli.answer import milliseconds
from palate.cli.source import read_for

_WIDTH = 100


def explain_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[Path, typer.Argument(help="Folder with events up to now.")],
    user: Annotated[str, typer.Option(metavar="ID", help="The member.")],
    item: Annotated[str, typer.Option(metavar="ID", help="The item.")],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Moment (ISO 8601, UTC); just after the last event without it.")
    ] = None,
    events: Annotated[int, typer.Option(min=0, help="Last events of the member that are left out in turn.")] = 100,
    most: Annotated[int, typer.Option(min=1, help="Past things shown for the item, and as many against.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Why an item is, or is not, recommended: which rules hide it, and which events, intents and metadata moved it.

    Example: palate explain runs/first my-data --user m00031 --item t00007
    """
    from palate.foundation import FoundationModel
    from palate.terminal.explanation import explanation_tables

    messages = Console(stderr=True)
    with messages.status("reading"):
        model = FoundationModel.from_pretrained(run)
        dataset = read_for(run, model.schema, data)
    with messages.status("asking again"):
        found = model.explain(dataset, user, item, at=milliseconds(at), events=events)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    console.print(explanation_tables(found, most=most))
