"""Training speed beside RecTools' SASRec: same width, depth, context and batch, in one run, alternating.

    make bench-peer OUT=file.json

Each round times the peer (its own process and virtual environment) and then Palate: our SASRec recipe, and the default
model at the same width as a second row; each packed, and with every window padded to the context, as the peer pads.
Rates are real targets a second of a pass (ours: of the timed steps); ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import ROOT, data_folder
from palate.baselines.sasrec import sasrec_recipe
from palate.data import Dataset, Part, split
from palate.model import ModelConfig, TransformerConfig
from palate.tokens import Pack, Rectangle, Tokenizer, training_catalogue
from palate.train import PretrainConfig, new_model
from palate.train.loader import made_ahead
from palate.train.material import Material
from palate.train.memory import keep_freed_memory
from palate.train.optimizer import build_optimizer
from palate.train.plan import BatchPlanner, EpochPlan

WIDTH, CONTEXT, BLOCKS, HEADS, BATCH = 128, 200, 2, 2, 128
WARM_UP = 3
TITLES = ("sasrec", "default", "sasrec_unpacked", "default_unpacked")


def peer_rate(events: Path, steps: int) -> dict[str, float]:
    """Figures of the peer in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peer.json"
        python = ROOT / ".venv-rectools" / "bin" / "python"
        script = Path(__file__).with_name("rectools_sasrec.py")
        shape = ["--width", WIDTH, "--context", CONTEXT, "--blocks", BLOCKS, "--heads", HEADS, "--batch", BATCH]
        command = [python, script, "--events", events, "--steps", steps, "--out", out, *shape]
        # The peer runs as it would for its own users: without our setting for waiting threads.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        subprocess.run([str(word) for word in command], check=True, env=environment, stderr=subprocess.DEVNULL)
        found: dict[str, float] = json.loads(out.read_text(encoding="utf-8"))
        return found


class Ours:
    """One of our models, its batches made ahead as in training."""

    def __init__(self, dataset: Dataset, config: PretrainConfig) -> None:
        division = split(dataset)
        tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
        self._config = config
        self._planner = BatchPlanner(Material.of(tokenizer, dataset, division), tokenizer, config)
        self._catalogue = training_catalogue(tokenizer)
        self._model = new_model(config, tokenizer).train()
        self._optimizer = build_optimizer(self._model, config.optimizer)

    def rate(self, steps: int, *, packed: bool = True) -> dict[str, float]:
        """Median real targets a second; unpacked, every window is padded to the context, as the peer pads."""
        plan = self._planner.epoch(0)
        if not packed:
            padded = [Pack(each.windows, (Rectangle(len(each.windows), CONTEXT),)) for each in plan.packs]
            plan = EpochPlan(windows=plan.windows, packs=padded)
        numbers = [number % len(plan.packs) for number in range(WARM_UP + steps)]
        rates, slots, targets = [], 0, 0
        with closing(made_ahead(partial(self._planner.batch, plan), numbers)) as batches:
            started = time.perf_counter()
            for number, batch in enumerate(batches):
                count = int((batch.target > 0).sum())
                losses = self._model.loss(batch, self._catalogue, self._config.objective)
                (losses.total / count).backward()
                torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._config.optimizer.clip_norm)
                self._optimizer.step()
                self._optimizer.zero_grad()
                now = time.perf_counter()
                if number >= WARM_UP:
                    rates.append(count / (now - started))
                    slots, targets = slots + len(batch.target), targets + count
                started = now
        return {"targets_per_second": statistics.median(rates), "padding": 1 - targets / slots}


def main() -> None:
    """Run the rounds, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15)
    arguments = parser.parse_args()
    keep_freed_memory()  # as a training does
    dataset = Dataset.from_folder(data_folder("ml-1m"))
    recipe = sasrec_recipe(width=WIDTH, blocks=BLOCKS, heads=HEADS, context=CONTEXT, sequences=BATCH)
    default = recipe.model_copy(
        update={"model": ModelConfig(encoder=TransformerConfig(width=WIDTH, blocks=BLOCKS, heads=HEADS))}
    )
    ours = {"sasrec": Ours(dataset, recipe), "default": Ours(dataset, default)}
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "train.parquet"
        train = dataset.events.filter(pl.Series(split(dataset).part == Part.TRAIN))
        train.select("user_id", "item_id", "position").write_parquet(events)
        for _ in range(arguments.rounds):
            peer = peer_rate(events, arguments.steps)
            found = {"peer": peer["targets_per_second_of_pass"], "peer_padding": peer["padding_share"]}
            found["peer_cores"] = peer["processor_seconds_per_second"]
            for name, model in ours.items():
                for packed in (True, False):
                    rate = model.rate(arguments.steps, packed=packed)
                    title = name if packed else f"{name}_unpacked"
                    found |= {title: rate["targets_per_second"], f"{title}_padding": rate["padding"]}
            rounds.append(found)
            print({name: round(value, 3) for name, value in found.items()}, flush=True)
    middle = {name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}
    ratio = {name: float(np.median([each[name] / each["peer"] for each in rounds])) for name in TITLES}
    figures = {
        "tokens_per_second_ratio": ratio["sasrec"],
        "tokens_per_second_ratio_default_model": ratio["default"],
        "tokens_per_second_ratio_without_packing": ratio["sasrec_unpacked"],
        "tokens_per_second_ratio_default_model_without_packing": ratio["default_unpacked"],
        "tokens_per_second": {name: middle[name] for name in ("peer", *TITLES)},
        "settings": {"width": WIDTH, "context": CONTEXT, "blocks": BLOCKS, "heads": HEADS, "sequences": BATCH},
        "threads": torch.get_num_threads(),
        "rounds": rounds,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, each in figures.items():
        if isinstance(each, float):
            print(f"{name} {each:.2f}")


if __name__ == "__main__":
    main()
