"""``palate data simulate``: the event log of a service that does not exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def simulate_command(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist, or be empty.")],
    members: Annotated[int, typer.Option(min=1, help="Members.")] = 2000,
    items: Annotated[int, typer.Option(min=1, help="Titles.")] = 1000,
    days: Annotated[int, typer.Option(min=1, help="Length of the period in days.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds make equal data.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Make the event log of a simulated streaming service, with its truth apart.

    Example: palate data simulate service --members 2000 --items 1000 --days 120 --seed 0
    """
    from palate.simulate import SimulationConfig, simulate

    settings: dict[str, object] = {"members": members, "items": items, "days": days, "seed": seed}
    config = SimulationConfig.parse(settings, source="palate data simulate")
    with Console(stderr=True).status("simulating"):
        simulation = simulate(config)
        folder = simulation.write(out)
    counts = {
        "events": simulation.events.height,
        "members": simulation.users.height,
        "items": simulation.items.height,
    }
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **counts, "settings": config.model_dump(mode="json")}))
        return
    written = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    typer.echo(f"{folder}: {written}; the truth is in {folder / 'truth'}, which training never reads")
    typer.echo(f"next: palate data inspect {folder}")
