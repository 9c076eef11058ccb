"""Memory and time of `palate pretrain`, as told before the first step and as they turned out, for several settings.

    make bench-estimate

Each setting is trained by `palate pretrain` in a process of its own, which writes both into metrics.json, both about
all of it: training, fit of new items, sealing. Peak memory is the most resident memory of the process; time is that of
all steps and validations, of the fit and of the sealing. The load of the machine is written down, since time depends
on it: the trial of the estimate may have met another one than the training.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import data_folder
from palate.data import SCHEMA_FILE, Dataset
from palate.demo.demo import SETTINGS as SETTINGS_OF_DEMO
from palate.simulate import SimulationConfig, simulate

ENCODER = {"kind": "transformer", "width": 64, "blocks": 2, "heads": 2}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "the demo": ("service", SETTINGS_OF_DEMO.model_dump(include={"packing", "optimizer", "validation"})),
    "defaults": ("ml-1m", {}),
    "width 256": ("few", {"model": {"encoder": {**ENCODER, "width": 256, "heads": 4}}}),
    "context 1,000": ("few", {"windows": {"context": 1000}, "packing": {"batch_tokens": 4096}}),
    "batches of 16,384": ("ml-1m", {"packing": {"batch_tokens": 16384}}),
    "200,000 items": ("large", {"packing": {"batch_tokens": 2048}}),
}
MEMBERS = 1000
"""Of ML-1M, where more would take long."""


def service(folder: Path) -> Path:
    """What `palate demo` trains on."""
    simulation = simulate(SimulationConfig(members=2000, items=1000, seed=0))
    simulation.write(folder)
    simulation.schema.model_copy(update={"one_target_a_run": True}).write(folder / SCHEMA_FILE)
    return folder


def few(folder: Path) -> Path:
    """The first members of ML-1M."""
    dataset = Dataset.from_folder(data_folder("ml-1m"))
    stop = dataset.member_starts[MEMBERS]
    dataset.events[:stop].write_parquet(folder / "events.parquet")
    if dataset.items is not None:
        dataset.items.write_parquet(folder / "items.parquet")
    if dataset.users is not None:
        dataset.users.write_parquet(folder / "users.parquet")
    dataset.schema.write(folder / "schema.yaml")
    return folder


def large(folder: Path, *, items: int = 200_000, events: int = 300_000, members: int = 3_000) -> Path:
    """A log of many items without any pattern: nobody learns from it, and it takes as long."""
    rng = np.random.default_rng(0)
    pl.DataFrame(
        {
            "user_id": rng.integers(0, members, events),
            "item_id": np.concatenate([np.arange(items), rng.integers(0, items, events - items)]),
            "timestamp": 1_600_000_000 + rng.integers(0, 90 * 86_400, events),
        }
    ).write_parquet(folder / "events.parquet")
    return folder


def trained(data: Path, settings: dict[str, Any], work: Path) -> dict[str, Any]:
    """What metrics.json says of a training."""
    (work / "settings.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(settings))), encoding="utf-8")
    command = [sys.executable, "-m", "palate", "pretrain", data, "--out", work / "run"]
    command += ["--config", work / "settings.yaml", "--json"]
    said = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])["training"]
    return found


def main() -> None:
    """Train, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=list(SETTINGS))
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    rows = {}
    print(f"{'':20}{'MiB':>8}{'told':>8}{'ratio':>7}{'s':>8}{'told':>8}{'ratio':>7}{'load':>6}", flush=True)
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        folders = {"ml-1m": data_folder("ml-1m")}
        for title in arguments.only:
            data, settings = SETTINGS[title]
            if data not in folders:
                (Path(name) / data).mkdir()
                folders[data] = {"service": service, "few": few, "large": large}[data](Path(name) / data)
            work = Path(name) / title.replace(" ", "-")
            work.mkdir()
            found = trained(folders[data], {"epochs": arguments.epochs, **settings}, work)
            told, whole = found["estimate"], found["whole"]
            row = {
                "peak_bytes": whole["peak_bytes"],
                "peak_ratio": told["peak_bytes"] / whole["peak_bytes"],
                "seconds": whole["seconds"],
                "seconds_ratio": told["seconds"] / whole["seconds"],
                "training": {"peak_bytes": found["peak_bytes"], "seconds": found["seconds"]},
                "whole": whole,
                "estimate": told,
                "load": os.getloadavg()[0],
            }
            rows[title] = row
            print(
                f"{title:20}{whole['peak_bytes'] / 2**20:8,.0f}{told['peak_bytes'] / 2**20:8,.0f}"
                f"{row['peak_ratio']:7.2f}{whole['seconds']:8.1f}{told['seconds']:8.1f}{row['seconds_ratio']:7.2f}"
                f"{row['load']:6.1f}",
                flush=True,
            )
            if arguments.json is not None:
                arguments.json.write_text(json.dumps({"epochs": arguments.epochs, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
