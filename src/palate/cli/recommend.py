"""``palate recommend``: the best items for each member next."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from palate.cli.answer import check_out, milliseconds, write_table
from palate.cli.source import read_for
from palate.rank.titles import with_titles
from palate.words import RANK, SCORE, USER_ID


def recommend_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[Path, typer.Argument(help="Folder with events up to now.")],
    user: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A member; may be repeated. All members without it.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Items for each member.")] = 10,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Moment (ISO 8601, UTC); just after the last event without it.")
    ] = None,
    horizon: Annotated[
        int, typer.Option(min=1, metavar="N", help="Best for the next N targets together; the run must look so far.")
    ] = 1,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Parquet or CSV, by the ending.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """The best items for each member next: available, and not seen where the schema says so.

    Example: palate recommend runs/first my-data --user m00031 -k 5
    """
    from palate.foundation import FoundationModel
    from palate.terminal.progress import RankingProgress

    messages = Console(stderr=True)
    check_out(out, data)
    with messages.status("reading"):
        model = FoundationModel.from_pretrained(run)
        dataset = read_for(run, model.schema, data)
    with RankingProgress(messages) as progress:
        table = model.recommend(
            dataset, k=k, horizon=horizon, user_ids=user or None, at=milliseconds(at), progress=progress
        )
    table = with_titles(table, dataset)
    if out is not None:
        write_table(table, out)
    if as_json:
        typer.echo(json.dumps({"recommendations": table.to_dicts()}, ensure_ascii=False))
    elif out is not None:
        typer.echo(f"{out}: {table.height:,} recommendations for {table[USER_ID].n_unique():,} members")
    elif sys.stdout.isatty():
        Console().print(_shown(table, digits=3 if horizon == 1 else 4))
    else:
        typer.echo(table.write_csv(), nl=False)


def _shown(table: pl.DataFrame, *, digits: int) -> Table:
    shown = Table(*table.columns)
    for row in table.iter_rows(named=True):
        cells = [Text(f"{value:.{digits}f}" if name == SCORE else str(value)) for name, value in row.items()]
        shown.add_row(*cells, end_section=False, style="bold" if row[RANK] == 1 else None)
    return shown
