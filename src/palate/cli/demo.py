"""``palate demo``: the whole path on the simulated service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for data, run and plots; it must not exist.")] = Path("palate-demo"),
    members: Annotated[int, typer.Option(min=50, help="Members of the simulated service.")] = 2000,
    items: Annotated[int, typer.Option(min=50, help="Titles of the simulated service.")] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 12,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the service and of the training.")] = 0,
) -> None:
    """Simulate a streaming service, learn its members' taste, and measure it against baselines and the truth.

    Example: palate demo --out palate-demo
    """
    from palate.demo.demo import run_demo

    run_demo(out, members=members, items=items, epochs=epochs, seed=seed)
