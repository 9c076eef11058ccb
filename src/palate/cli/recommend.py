"""``palate recommend``: the best items for each member next."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from palate.cli.source import read_for
from palate.data import Dataset
from palate.data.table import TableName
from palate.errors import ConfigError
from palate.words import ITEM_ID, RANK, SCORE, USER_ID

TITLE_COLUMNS = ("title", "name")


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
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Parquet or CSV, by the ending.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """The best items for each member next: available, and not seen where the schema says so.

    Example: palate recommend runs/first my-data --user m00031 -k 5
    """
    from palate.foundation import FoundationModel
    from palate.terminal.progress import RankingProgress

    messages = Console(stderr=True)
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"--out {out}: unknown ending", hint="use .parquet or .csv")
    if out is not None and out.stem in get_args(TableName) and out.resolve().parent == data.resolve():
        raise ConfigError(f"--out {out}: is a table of {data}", hint="name another file")
    with messages.status("reading"):
        model = FoundationModel.from_pretrained(run)
        dataset = read_for(run, model.schema, data)
    with RankingProgress(messages) as progress:
        table = model.recommend(dataset, k=k, user_ids=user or None, at=_milliseconds(at), progress=progress)
    table = with_titles(table, dataset)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(out) if out.suffix == ".parquet" else table.write_csv(out)
    if as_json:
        typer.echo(json.dumps({"recommendations": table.to_dicts()}, ensure_ascii=False))
    elif out is not None:
        typer.echo(f"{out}: {table.height:,} recommendations for {table[USER_ID].n_unique():,} members")
    elif sys.stdout.isatty():
        Console().print(_shown(table))
    else:
        typer.echo(table.write_csv(), nl=False)


def with_titles(table: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The table with the items' titles, where the items table has a column of them."""
    if dataset.items is None:
        return table
    found = [name for name in TITLE_COLUMNS if name in dataset.items.columns]
    return table.join(dataset.items.select(ITEM_ID, *found[:1]), on=ITEM_ID, how="left", maintain_order="left")


def _shown(table: pl.DataFrame) -> Table:
    shown = Table(*table.columns)
    for row in table.iter_rows(named=True):
        cells = [f"{value:.3f}" if name == SCORE else str(value) for name, value in row.items()]
        shown.add_row(*cells, end_section=False, style="bold" if row[RANK] == 1 else None)
    return shown


def _milliseconds(moment: str | None) -> int | None:
    if moment is None:
        return None
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise ConfigError(f"--at {moment}: not a time", hint="for example 2026-01-31T20:00") from error
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
