"""What each part of the model costs: training time per target against the plain model's, a few steps each in turn.

The models of a data set take the same batches, ten steps each in turn, so that a noisy machine slows all of them alike
and a step follows its like, as in a training. The first two of ten, which find what another model left in the
caches, don't count. Run as

    python benchmarks/cost/bench.py [service|ml-1m|movietweetings] --json FILE
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
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


TURN, SKIPPED = 10, 2
"""Steps of a turn, and how many of them don't count."""


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


def turns(planner: BatchPlanner) -> Iterator[list[Batch]]:
    """The batches of one epoch after the other, those of a turn together."""
    for epoch in itertools.count():
        plan = planner.epoch(epoch)
        if len(plan.packs) < TURN:
            sys.exit(f"an epoch has {len(plan.packs)} batches, and {TURN} are taken in turn: take a larger log")
        for first in range(0, len(plan.packs) - TURN + 1, TURN):
            yield [planner.batch(plan, number) for number in range(first, first + TURN)]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", nargs="?", default="service")
    arguments.add_argument("--steps", type=int, default=300, help="of each model; a multiple of ten")
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    if asked.steps < TURN or asked.steps % TURN:
        arguments.error(f"--steps {asked.steps} is no multiple of {TURN}")
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
    steppers = {name: Stepper(model, config, tokenizer) for name, model in VARIANTS.items()}
    targets = 0
    for turn, batches in zip(range(asked.steps // TURN), turns(planner), strict=False):
        targets += sum(int((batch.target > 0).sum()) for batch in batches)
        for stepper in steppers.values():
            for number, batch in enumerate(batches):
                stepper.step(batch, catalogue, TURN * turn + number)
    seconds = {
        name: np.reshape(stepper.seconds, (-1, TURN))[:, SKIPPED:].reshape(-1) for name, stepper in steppers.items()
    }
    plain = seconds["plain"]
    of_step = targets / len(steppers["plain"].seconds)
    rows = {
        name: {
            "ratio": float(np.median(own / plain)),
            "targets_per_second": of_step / float(np.median(own)),
        }
        for name, own in seconds.items()
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
