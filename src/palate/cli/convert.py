"""``palate data convert``: foreign formats into a data folder, and a data folder into foreign formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from palate.data.foreign import Conversion, ConvertConfig, Format, Target, convert, export
from palate.errors import ConfigError


def convert_command(
    source: Annotated[
        Path, typer.Argument(help="Folder or zip archive of a foreign format; with --to, a data folder of Palate.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write; it must not exist, or be empty.")],
    source_format: Annotated[
        Format | None, typer.Option("--format", help="What SOURCE is; without it, its files say.")
    ] = None,
    to: Annotated[Target | None, typer.Option(help="Write a data folder of Palate in this format.")] = None,
    interactions_schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Personalize: Avro schema, if it doesn't lie beside the data.")
    ] = None,
    items_schema: Annotated[Path | None, typer.Option(metavar="FILE", help="The same of the items.")] = None,
    users_schema: Annotated[Path | None, typer.Option(metavar="FILE", help="The same of the users.")] = None,
    user_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="RecBole: column of the member. Default: user_id or session_id.")
    ] = None,
    item_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="RecBole: column of the item. Default: item_id.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="RecBole: column of the time. Default: timestamp.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop where a repair would be needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Convert MovieLens, Amazon Personalize or RecBole data into a data folder, or back with --to.

    Example: palate data convert ml-32m.zip --out ml-32m

    Example: palate data convert my-data --to personalize --out for-personalize
    """
    config = ConvertConfig(
        format=source_format,
        strict=strict,
        interactions_schema=interactions_schema,
        items_schema=items_schema,
        users_schema=users_schema,
        user_column=user_column,
        item_column=item_column,
        time_column=time_column,
    )
    if to is not None:
        _refuse_options_of_reading(config)
        with Console(stderr=True).status("writing"):
            conversion = export(source, to, out, strict=strict)
    else:
        with _Bar() as bar:
            conversion = convert(source, out, config, bar.move)
    if as_json:
        typer.echo(json.dumps(conversion.to_dict(), ensure_ascii=False))
        return
    _show(conversion, exported=to is not None)


def _refuse_options_of_reading(config: ConvertConfig) -> None:
    given = [name.replace("_", "-") for name, value in config if name != "strict" and value is not None]
    if given:
        raise ConfigError(
            f"--to goes without {', '.join(f'--{name}' for name in given)}",
            hint="with --to, SOURCE is a data folder of Palate, which its schema.yaml describes",
        )


def _show(conversion: Conversion, *, exported: bool) -> None:
    """What was written, on stdout; what was decided, after it."""
    counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in conversion.counts.items())
    typer.echo(f"{conversion.folder}: {conversion.format}: {counted}")
    if conversion.event_types:
        typer.echo("types of events: " + ", ".join(f"{name} {rows:,}" for name, rows in conversion.event_types.items()))
    for repair in conversion.repairs:
        typer.echo(f"repair: {repair}")
    for note in conversion.notes:
        typer.echo(f"note: {note}")
    if not exported:
        typer.echo(f"next: palate data inspect {conversion.folder}")


class _Bar:
    """Bytes read of the file in hand, on stderr."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("reading", total=None)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def move(self, name: str, done: int, total: int) -> None:
        """Show how far a file has been read."""
        self._progress.update(self._task, description=name, completed=done, total=total)
