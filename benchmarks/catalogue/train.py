"""A whole training over millions of items: fit, encode, train, validate over all items, seal; time and memory.

python benchmarks/catalogue/train.py --items 5000000 --events 6000000 --json benchmarks/catalogue/train.json
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from log import log

from palate.data import SplitRule
from palate.model import ObjectiveConfig, SamplingConfig
from palate.tokens import PackConfig, WindowConfig
from palate.train import PretrainConfig, ValidationConfig, pretrain
from palate.train.plan import Figures
from palate.train.report import Start, Step
from palate.train.state import TrainingState, Validation, Whole


class Notes:
    """Losses as they come."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.figures: Figures | None = None
        self.softmax = ""
        self.began = 0.0

    def start(self, start: Start) -> None:
        """Before the first step."""
        self.figures, self.softmax, self.began = start.figures, start.softmax, time.perf_counter()
        print(f"softmax {start.softmax}; {start.figures.batches:,} batches", file=sys.stderr, flush=True)

    def step(self, step: Step) -> None:
        """After each step."""
        self.losses.append(step.loss)
        if step.step % 20 == 0:
            print(f"{step.step} {step.loss:.3f} {step.targets_per_second:,.0f}/s", file=sys.stderr, flush=True)

    def validating(self, done: int, total: int) -> None:
        """Nothing to note."""

    def validated(self, validation: Validation, *, best: bool) -> None:
        """Nothing to note."""

    def finish(self, state: TrainingState) -> None:
        """Nothing to note."""

    def stage(self, what: str) -> None:
        """Nothing to note."""

    def sealed(self, whole: Whole) -> None:
        """Nothing to note."""


def main() -> None:
    """Print what it took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--items", type=int, default=5_000_000)
    arguments.add_argument("--events", type=int, default=6_000_000)
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    config = PretrainConfig(
        epochs=asked.epochs,
        packing=PackConfig(batch_tokens=16_384),
        windows=WindowConfig(context=8, windows_per_member=1),
        objective=ObjectiveConfig(sampling=SamplingConfig(negatives=2048)),
        validation=ValidationConfig(targets=256),
        checkpoint_seconds=10_000,
    )
    started = time.perf_counter()
    dataset = log(asked.items, asked.events, length=4, rule=SplitRule(train_share=0.9998, validation_share=0.0001))
    made = time.perf_counter()
    work, notes = Path(tempfile.mkdtemp(prefix="palate-bench-")), Notes()
    try:
        run = pretrain(dataset, work / "run", config, reporters=[notes])
        metrics = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
        bytes_on_disk = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    finally:
        shutil.rmtree(work)
    state = metrics["training"]
    steps = len(notes.losses)
    found = {
        "items": asked.items,
        "events": dataset.events.height,
        "softmax": notes.softmax,
        "steps": steps,
        "targets": state["targets"],
        "seconds": {
            "log": made - started,
            "before training": notes.began - made,
            "training and validation": state["seconds"],
            "all": time.perf_counter() - started,
        },
        "loss": [sum(notes.losses[:20]) / 20, sum(notes.losses[-20:]) / 20],
        "ndcg@10": metrics["metrics"]["ndcg@10"]["value"],
        "bytes of the run": bytes_on_disk,
        "peak memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(found, indent=1))
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
