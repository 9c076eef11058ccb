"""``palate predict``: what a member wants next, in the words of the run's heads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from palate.cli.answer import check_out, milliseconds, write_table
from palate.cli.source import read_for
from palate.errors import ConfigError
from palate.words import RANK, USER_ID


def predict_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[Path | None, typer.Argument(help="Folder with events up to now.")] = None,
    head: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A head; may be repeated. All heads without it.")
    ] = None,
    heads: Annotated[bool, typer.Option("--heads", help="List the run's heads; needs no data.")] = False,
    user: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A member; may be repeated. All members without it.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Classes for each head.")] = 5,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Moment (ISO 8601, UTC); just after the last event without it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Parquet or CSV, by the ending.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What each member wants next: the most probable genre, type of title, …, whatever the run has heads for.

    Example: palate predict runs/first my-data --head genres --user m00031
    """
    from palate.foundation import FoundationModel
    from palate.terminal.progress import RankingProgress

    messages = Console(stderr=True)
    if heads:
        _list(FoundationModel.from_pretrained(run).heads, run, as_json=as_json)
        return
    if data is None:
        raise ConfigError("no DATA: whose events?", hint="palate predict RUN DATA, or palate predict RUN --heads")
    check_out(out, data)
    with messages.status("reading"):
        model = FoundationModel.from_pretrained(run)
        dataset = read_for(run, model.schema, data)
    with RankingProgress(messages, "predicting") as progress:
        table = model.predict(dataset, head or None, k=k, user_ids=user or None, at=milliseconds(at), progress=progress)
    if out is not None:
        write_table(table, out)
    if as_json:
        typer.echo(json.dumps({"predictions": table.to_dicts()}, ensure_ascii=False))
    elif out is not None:
        typer.echo(f"{out}: {table.height:,} predictions for {table[USER_ID].n_unique():,} members")
    elif sys.stdout.isatty():
        Console().print(_shown(table))
    else:
        typer.echo(table.write_csv(), nl=False)


def _list(heads: dict[str, list[str]], run: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"heads": heads}, ensure_ascii=False))
    elif not heads:
        typer.echo(f"{run} has no heads")
    else:
        shown = Table("head", "classes", "", box=box.SIMPLE_HEAD)
        for name, classes in heads.items():
            some = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
            shown.add_row(Text(name), f"{len(classes):,}", Text(some))
        Console().print(shown)


def _shown(table: pl.DataFrame) -> Table:
    """A member's heads below each other; who and what is said once."""
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("user_id", "head", "share of intent", "value"):
        shown.add_column(name, justify="right" if name == "share of intent" else "left")
    shown.add_column("probability", justify="right")
    before: tuple[object, object] | None = None
    for row in table.iter_rows(named=True):
        user, head = row[USER_ID], row["head"]
        new_user = before is None or before[0] != user
        if before is not None and (user, head) != before:
            shown.add_section()
        first = row[RANK] == 1
        share = "" if row["attention"] is None or not first else f"{row['attention']:.0%}"
        shown.add_row(
            Text(str(user) if new_user else ""),
            Text(str(head) if first else ""),
            share,
            Text(str(row["value"])),
            f"{row['probability']:.1%}",
            style="bold" if first else None,
        )
        before = (user, head)
    return shown
