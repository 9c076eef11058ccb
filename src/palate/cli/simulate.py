"""``palate data simulate``: the event log of a service that does not exist."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Preset(StrEnum):
    """Named settings."""

    TINY = "tiny"
    SERVICE = "service"
    LONG = "long"


def simulate_command(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist, or be empty.")],
    preset: Annotated[
        Preset, typer.Option(help="tiny: for tests; service: for trying out; long: few members, very long histories.")
    ] = Preset.SERVICE,
    members: Annotated[int | None, typer.Option(min=1, help="Members; by default the preset's.")] = None,
    items: Annotated[int | None, typer.Option(min=1, help="Items: films, episodes and so on.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Length of the period in days.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds make equal data.")] = 0,
    late: Annotated[float, typer.Option(min=0, max=1, help="Share of events that reach the log late.")] = 0.0,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of events that the log holds twice.")] = 0.0,
    truth: Annotated[bool, typer.Option(help="Write the truth beside the data, in truth/.")] = True,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes at work; by default what pays.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Make the event log of a simulated streaming service, with its truth apart.

    Example: palate data simulate service --preset service --members 2000 --seed 0
    """
    from palate.simulate import preset as preset_settings
    from palate.simulate import simulate_to, useful_processes

    asked = {"members": members, "items": items, "days": days}
    given = {name: value for name, value in asked.items() if value is not None}
    config = preset_settings(preset.value, seed=seed, late_share=late, duplicate_share=duplicates, **given)
    with Progress(
        TextColumn("simulating"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} members, {task.fields[events]:,} events"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=config.members, events=0)
        written = simulate_to(
            config,
            out,
            truth=truth,
            processes=processes or useful_processes(config),
            progress=lambda done, total, events: bar.update(task, completed=done, total=total, events=events),
        )
    counts = {"events": sum(written.events.values()), "members": written.members, "items": written.items}
    if as_json:
        settings = config.model_dump(mode="json")
        typer.echo(
            json.dumps({"folder": str(written.folder), **counts, "event_types": written.events, "settings": settings})
        )
        return
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    apart = f"; the truth is in {written.folder / 'truth'}, which training never reads" if truth else ""
    typer.echo(f"{written.folder}: {said}{apart}")
    typer.echo(f"next: palate data inspect {written.folder}")
