"""How long Palate trains until it is as good as RecTools' SASRec after half an hour of two cores, on ML-1M.

    python benchmarks/peer/race.py trials --json benchmarks/peer/trials.json   # about half an hour
    python benchmarks/peer/race.py race --json benchmarks/peer/race.json       # about an hour

Everything runs on one thread and is timed in processor seconds, which a busy machine hardly changes. Left alone with
two cores the peer keeps 1.6 of them busy: half an hour is 2,880 processor seconds. `trials` trains the peer with a few
settings for `TRIAL` seconds each, and takes the best validation NDCG@10 on the way. `race` trains the best of them
for `RACE` seconds (its validations not counted), and Palate by benchmarks/ml1m/config.yaml with schedules of a few
lengths (reading, fitting and validations counted); a file that is there already keeps its peer and gets more lengths.
The test part is looked at once for each, with its best weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import ROOT, data_folder
from palate.data import Dataset, Part, split
from palate.foundation import FoundationModel
from palate.train import PretrainConfig, measure, pretrain
from palate.train.report import Reporter
from palate.train.state import Validation

TRIAL, RACE, SNAPSHOTS = 480, 2880, 6
DEFAULT = {"width": 128, "context": 200, "blocks": 2, "heads": 2, "batch": 128, "lr": 1e-3, "dropout": 0.2}
TRIALS: tuple[dict[str, float], ...] = (
    {"width": 64},
    {"width": 64, "batch": 32},
    {"width": 64, "batch": 32, "lr": 2e-3},
)


def write_parts(dataset: Dataset, work: Path) -> None:
    """train.parquet, history.parquet (with the validation part), and the targets of both parts."""
    part = pl.Series(split(dataset).part)
    for name, wanted in {
        "train": part == Part.TRAIN,
        "history": (part == Part.TRAIN) | (part == Part.VALIDATION),
        "validation": part == Part.VALIDATION,
        "test": part == Part.TEST,
    }.items():
        table = dataset.events.filter(wanted).select("user_id", "item_id", "position")
        table.write_parquet(work / f"{name}.parquet")


def peer(work: Path, settings: dict[str, float], *options: object) -> dict[str, Any]:
    """Train the peer and choose its best snapshot by validation."""
    words: list[object] = [ROOT / ".venv-rectools" / "bin" / "python", Path(__file__).with_name("rectools_sasrec.py")]
    words += ["--events", work / "train.parquet", "--out", work / "peer.json", "--epochs", 100_000]
    words += ["--validate", work / "train.parquet", work / "validation.parquet", "--snapshots", SNAPSHOTS]
    words += ["--busy", "--threads", 1]
    words += [word for name, value in settings.items() for word in (f"--{name}", value)]
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "PYTHONPATH")}
    subprocess.run([str(word) for word in (*words, *options)], check=True, env=environment, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads((work / "peer.json").read_text(encoding="utf-8"))
    return {name: found[name] for name in ("settings", "validations", "best", "train_seconds", "peak_memory_mib")}


def ndcg_of_recommendations(recommended: Path, targets: Path) -> float:
    """NDCG@10 of the peer's lists; a target that it does not know is a miss."""
    target = pl.read_parquet(targets)
    lists = pl.read_parquet(recommended).rename({"query": "user_id"})
    hits = lists.join(target, on=["user_id", "item_id"]).select(1 / (pl.col("rank") + 1).log(2))
    return float(hits.to_series().sum()) / target.height


class Clock(Reporter):
    """Processor seconds since the start, at every validation."""

    def __init__(self) -> None:
        self.began = time.process_time()
        self.validations: list[dict[str, float]] = []

    def validated(self, validation: Validation, *, best: bool) -> None:
        """Note when it was there."""
        seconds = time.process_time() - self.began
        self.validations.append({"epoch": validation.epoch, "seconds": seconds, "ndcg": validation.value})


def ours(dataset: Dataset, work: Path, epochs: int, level: float) -> dict[str, Any]:
    """Train Palate with a schedule of ``epochs``; test the weights of its best validation."""
    config = PretrainConfig.from_yaml(ROOT / "benchmarks" / "ml1m" / "config.yaml")
    clock = Clock()
    run = pretrain(dataset, work / f"run-{epochs}", config.model_copy(update={"epochs": epochs}), reporters=[clock])
    whole = time.process_time() - clock.began
    found = measure(FoundationModel(run).scorer(dataset), dataset, split(dataset), Part.TEST)
    assert found is not None, "the test part has targets"
    reached = next((each for each in clock.validations if each["ndcg"] >= level), None)
    return {
        "epochs": epochs,
        "validations": clock.validations,
        "reached": reached,
        "seconds_with_sealing": whole,
        "test": found.metrics["ndcg@10"].value,
    }


def main() -> None:
    """Trials or race; each result is printed and written when it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["trials", "race"])
    parser.add_argument("--trials", type=Path, default=Path(__file__).with_name("trials.json"))
    parser.add_argument("--epochs", type=int, nargs="+", default=[6, 10, 16], help="schedules of Palate")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset.from_folder(data_folder("ml-1m"))
    with tempfile.TemporaryDirectory(prefix="palate-race-") as folder:
        work = Path(folder)
        write_parts(dataset, work)
        if arguments.what == "trials":
            trials = []
            for changed in TRIALS:
                trials.append(peer(work, DEFAULT | changed, "--seconds", TRIAL))
                print(changed, trials[-1]["best"], flush=True)
                arguments.json.write_text(json.dumps(trials, indent=1) + "\n", encoding="utf-8")
            return
        if arguments.json.exists():
            figures: dict[str, Any] = json.loads(arguments.json.read_text(encoding="utf-8"))
        else:
            figures = {"peer": raced(work, arguments.trials), "palate": []}
        for epochs in arguments.epochs:
            figures["palate"].append(ours(dataset, work, epochs, figures["peer"]["best"]["ndcg"]))
            print("palate", figures["palate"][-1], flush=True)
            arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def raced(work: Path, trials: Path) -> dict[str, Any]:
    """The peer with the settings of the best trial, after half an hour of two cores."""
    settings = max(json.loads(trials.read_text(encoding="utf-8")), key=lambda each: each["best"]["ndcg"])["settings"]
    lists = work / "lists.parquet"
    options = ("--recommend", work / "history.parquet", "--recommendations", lists)
    found = peer(work, {name: settings[name] for name in DEFAULT}, "--seconds", RACE, *options)
    found["test"] = ndcg_of_recommendations(lists, work / "test.parquet")
    print("peer", found, flush=True)
    return found


if __name__ == "__main__":
    main()
