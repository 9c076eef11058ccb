"""What each part of the model costs: training time per target against the plain model's, step by step in turn.

The models of a data set take the same batches, one step each in turn, so that a noisy machine slows all of them alike.
Run as

    python benchmarks/cost/bench.py [service|ml-1m|movietweetings] --json FILE
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import data_folder
from palate.data import Dataset, split
from palate.model import IntentConfig, ModelConfig, NextConfig, SequenceModel, TowerConfig
from palate.simulate import preset, simulate
from palate.tokens import Batch, Catalogue, Tokenizer, training_catalogue
from palate.train import PretrainConfig, new_model
from palate.train.material import Material
from palate.train.memory import keep_freed_memory
from palate.train.optimizer import build_optimizer
from palate.train.plan import BatchPlanner

PLAIN = ModelConfig(tower=TowerConfig(metadata=False, ages=False), intents=None)
VARIANTS = {
    "plain": PLAIN,
    "ages": PLAIN.model_copy(update={"tower": TowerConfig(metadata=False)}),
    "metadata": PLAIN.model_copy(update={"tower": TowerConfig(ages=False)}),
    "intents": PLAIN.model_copy(update={"intents": IntentConfig()}),
    "next 10": PLAIN.model_copy(update={"next": NextConfig(n=10)}),
    "all but next": ModelConfig(),
    "all": ModelConfig(next=NextConfig(n=10)),
}


class Stepper:
    """One model and its optimizer."""

    def __init__(self, model: ModelConfig, config: PretrainConfig, tokenizer: Tokenizer) -> None:
        self._config = config.model_copy(update={"model": model})
        self._model: SequenceModel = new_model(self._config, tokenizer).train()
        self._optimizer = build_optimizer(self._model, config.optimizer)
        self.seconds: list[float] = []

    def step(self, batch: Batch, catalogue: Catalogue, number: int) -> None:
        """One step of training, timed."""
        torch.manual_seed(number)
        started = time.perf_counter()
        self._model.loss(batch, catalogue, self._config.objective).total.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._config.optimizer.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.seconds.append(time.perf_counter() - started)


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", nargs="?", default="service")
    arguments.add_argument("--steps", type=int, default=60)
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    keep_freed_memory()  # as a training does
    if asked.data == "service":
        made = simulate(preset("service", seed=0))
        dataset = Dataset.from_frames(made.events, made.items, made.users, schema=made.schema)
        config = PretrainConfig()
    else:
        dataset = Dataset.from_folder(data_folder(asked.data))
        config = PretrainConfig()
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    catalogue = training_catalogue(tokenizer)
    planner = BatchPlanner(Material.of(tokenizer, dataset, division), tokenizer, config)
    plan = planner.epoch(0)
    steppers = {name: Stepper(model, config, tokenizer) for name, model in VARIANTS.items()}
    targets = 0
    for number in range(min(asked.steps, len(plan.packs))):
        batch = planner.batch(plan, number)
        targets += int((batch.target > 0).sum())
        for stepper in steppers.values():
            stepper.step(batch, catalogue, number)
    skipped = 5
    plain = np.array(steppers["plain"].seconds[skipped:])
    rows = {
        name: {
            "ratio": float(np.median(np.array(stepper.seconds[skipped:]) / plain)),
            "targets_per_second": targets / len(stepper.seconds) / float(np.median(stepper.seconds)),
        }
        for name, stepper in steppers.items()
    }
    table = Table("model", "time per target, × plain", "targets/s", box=box.SIMPLE_HEAD)
    for name, row in rows.items():
        table.add_row(name, f"{row['ratio']:.2f}", f"{row['targets_per_second']:,.0f}")
    Console().print(f"{asked.data}: {len(catalogue.metadata):,} items, medians of {len(plain)} steps")
    Console().print(table)
    if asked.json is not None:
        found = {
            "items": len(catalogue.metadata),
            "steps": len(plain),
            "threads": torch.get_num_threads(),
            "rows": rows,
        }
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
