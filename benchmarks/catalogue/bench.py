"""Catalogues of 10 thousand to 5 million items: step time, memory, gradient error, NDCG, ranking.

Each size is a process of its own (`steps.py`), then `quality.py` and `ranking.py`. Run as

    python benchmarks/catalogue/bench.py --json benchmarks/catalogue/metrics.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
SIZES: Final[dict[int, list[str]]] = {
    10_000: ["ids/exact", "ids/sampled", "default/exact", "default/sampled"],
    100_000: ["ids/exact", "ids/sampled", "default/exact", "default/sampled"],
    1_000_000: ["ids/exact", "ids/sampled", "default/sampled"],
    5_000_000: ["ids/sampled", "default/sampled"],
}
"""Where the exact softmax can be paid it is measured beside."""


def child(script: str, *arguments: str) -> dict[str, Any]:
    """The JSON object that a script prints last."""
    command = [sys.executable, str(HERE / script), *arguments]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def show(found: dict[str, Any], console: Console) -> None:
    """The tables."""
    table = Table(
        "items", "model/softmax", "s/step", "× exact", "targets/s", "memory MiB", "optimizer MiB", box=box.SIMPLE_HEAD
    )
    for size, each in found["steps"].items():
        for name, row in each["variants"].items():
            exact = each["variants"].get(name.split("/")[0] + "/exact")
            table.add_row(
                f"{int(size):,}",
                name,
                f"{row['step']:.3f}",
                "" if exact is None else f"{row['step'] / exact['step']:.2f}",
                f"{row['targets'] / row['step']:,.0f}",
                f"{row['memory'] / 2**20:,.0f}",
                f"{row['optimizer_state'] / 2**20:,.0f}",
            )
    console.print(table)
    table = Table("items", "negatives", "error", "error of the mean", "cosine", box=box.SIMPLE_HEAD)
    for size, each in found["steps"].items():
        for negatives, row in each.get("gradient", {}).items():
            table.add_row(
                f"{int(size):,}",
                negatives,
                f"{row['error']:.3f}",
                f"{row['error_of_mean']:.3f}",
                f"{row['cosine']:.4f}",
            )
    console.print("gradient of the encoder, sampled against exact, one batch of 512 targets")
    console.print(table)
    table = Table("items", "blocked s", "whole s", "blocked MiB", "whole MiB", "same", box=box.SIMPLE_HEAD)
    for size, row in found["ranking"].items():
        one = row.get("whole")
        table.add_row(
            f"{int(size):,}",
            f"{row['blocked']['seconds']:.2f}",
            "" if one is None else f"{one['seconds']:.2f}",
            f"{row['blocked']['memory'] / 2**20:,.0f}",
            "" if one is None else f"{one['memory'] / 2**20:,.0f}",
            "" if one is None else f"{row['same']:.4f}",
        )
    console.print("top 10 of 256 queries at width 64")
    console.print(table)


def main() -> None:
    """Measure what is asked for, and print all that was measured."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    arguments.add_argument("--ranking", type=int, nargs="*", default=[100_000, 1_000_000, 5_000_000])
    arguments.add_argument("--json", type=Path, help="figures are added to those that it has")
    asked = arguments.parse_args()
    found: dict[str, Any] = {"steps": {}, "ranking": {}}
    if asked.json is not None and asked.json.exists():
        found = json.loads(asked.json.read_text(encoding="utf-8"))
    for size in asked.sizes:
        found["steps"][str(size)] = child("steps.py", str(size), "--variants", *SIZES[size])
    if asked.ranking:
        found["ranking"].update(child("ranking.py", *map(str, asked.ranking)))
    show(found, Console())
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
