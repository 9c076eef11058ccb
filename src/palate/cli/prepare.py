"""``palate data prepare``: check and sort a log that may be larger than memory, once and for all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palate.data import PrepareConfig, prepare
from palate.data.large.config import LEAST_MEMORY
from palate.errors import ConfigError
from palate.terminal.stages import StageProgress

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def prepare_command(
    data: Annotated[Path, typer.Argument(help="Folder with events, and where they exist items, users, schema.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    memory: Annotated[str, typer.Option(help="Memory to use at most, e.g. 800MiB or 4GiB.", metavar="SIZE")] = "2GiB",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pieces worked on at a time; by default the cores, at most 4.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a preparation that was cut off.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop where a repair would be needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check, repair and sort a log in bounded memory, for training on more events than fit into it.

    Example: palate data prepare my-data --out my-log --memory 4GiB
    """
    settings: dict[str, object] = {"memory": _bytes(memory)}
    if workers is not None:
        settings["workers"] = workers
    config = PrepareConfig.parse(settings, source="palate data prepare")
    messages = Console(stderr=True)
    with StageProgress(messages) as progress:
        prepared = prepare(data, out, config, strict=strict, resume=resume, progress=progress)
    if as_json:
        counts = {"events": prepared.events, "members": prepared.members, "parts": len(prepared.log_parts)}
        typer.echo(json.dumps({"folder": str(out), **counts, "report": prepared.report.to_dict()}, ensure_ascii=False))
        return
    messages.print(str(prepared.report), markup=False, highlight=False, soft_wrap=True)
    typer.echo(
        f"{out}: {prepared.events:,} events of {prepared.members:,} members in {len(prepared.log_parts):,} "
        f"{'part' if len(prepared.log_parts) == 1 else 'parts'}\n"
        f"next: palate pretrain {out} --out RUN"
    )


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise ConfigError(f"--memory {text}: not a size", hint="give e.g. 800MiB or 4GiB")
    size = int(float(match[1]) * _UNITS[match[2]])
    if size < LEAST_MEMORY:
        raise ConfigError(f"--memory {text}: too little", hint=f"give at least {LEAST_MEMORY >> 20}MiB")
    return size
