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

from palate.cli.answer import check_out, milliseconds
from palate.cli.source import read_or_open
from palate.words import RANK, SCORE


def recommend_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[Path, typer.Argument(help="Folder with events up to now, or a prepared log.")],
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
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write Parquet or CSV, by the ending; without ending a folder of Parquet."),
    ] = None,
    part_members: Annotated[
        int, typer.Option(min=1, metavar="N", help="Members of a part; what is written goes on behind the last one.")
    ] = 8192,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """The best items for each member next: available, and not seen where the schema says so.

    With --out the work may be killed at any moment: the same command goes on, and ends with the same bytes.

    Example: palate recommend runs/first my-data --user m00031 -k 5
    """
    from palate.foundation import FoundationModel
    from palate.rank.batch import BatchConfig
    from palate.terminal.progress import RankingProgress

    messages = Console(stderr=True)
    check_out(out, data, folder=True)
    with messages.status("reading"):
        model = FoundationModel.from_pretrained(run)
        config = BatchConfig(k=k, horizon=horizon, at=milliseconds(at), part_members=part_members)
        batch = model.batch(read_or_open(run, model.schema, data), config, user_ids=user or None)
    if out is not None:
        with RankingProgress(messages) as progress:
            done = batch.write(out, progress=progress)
        if done.resumed_parts:
            resumed = f"gone on behind {done.resumed_parts:,} of {done.parts:,} parts"
            messages.print(f"{out}: {resumed}", markup=False, highlight=False, soft_wrap=True)
        if as_json:
            typer.echo(done.model_dump_json())
        else:
            typer.echo(f"{out}: {done.recommendations:,} recommendations for {done.members:,} members")
        return
    with RankingProgress(messages) as progress:
        table = pl.concat(batch.tables(progress=progress))
    if as_json:
        typer.echo(json.dumps({"recommendations": table.to_dicts()}, ensure_ascii=False))
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
