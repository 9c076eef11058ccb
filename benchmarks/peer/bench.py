"""Training speed beside RecTools' SASRec: same width, depth, context and batch, in one run, alternating.

    make bench-peer OUT=file.json

Each round times the peer (its own process and virtual environment) and then Palate: our SASRec recipe, and the default
model at the same width as a second row. Rates are real targets a second of a pass; the ratio is that of the medians.
Without packing: the same recipe's rate if every window were padded to the context, as the peer pads.
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
from pathlib import Path

import numpy as np
import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import ROOT, data_folder
from palate.baselines.sasrec import sasrec_recipe
from palate.data import Dataset, Part, split
from palate.model import ModelConfig, TransformerConfig
from palate.tokens import Tokenizer
from palate.train import PretrainConfig, new_model
from palate.train.material import Material
from palate.train.optimizer import build_optimizer
from palate.train.plan import BatchPlanner

WIDTH, CONTEXT, BLOCKS, HEADS, BATCH = 128, 200, 2, 2, 128
WARM_UP = 3


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


def palate_rate(dataset: Dataset, config: PretrainConfig, steps: int) -> dict[str, float]:
    """Targets of a pass over the seconds that its batches take, by the median seconds a target slot of timed steps."""
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    planner = BatchPlanner(Material.of(tokenizer, dataset, division), tokenizer, config)
    plan = planner.epoch(0)
    model = new_model(config, tokenizer).train()
    optimizer = build_optimizer(model, config.optimizer)
    rates, slots, targets = [], 0, 0
    for number in range(WARM_UP + steps):
        started = time.perf_counter()
        batch = planner.batch(plan, number % len(plan.packs))
        count = int((batch.target > 0).sum())
        loss = model.loss(batch) / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if number >= WARM_UP:
            rates.append(count / (time.perf_counter() - started))
            slots, targets = slots + len(batch.target), targets + count
    figures = planner.figures(plan)
    return {
        "targets_per_second": statistics.median(rates),
        "targets_per_pass": figures.targets,
        "padding": 1 - targets / slots,
    }


def main() -> None:
    """Run the rounds, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15)
    arguments = parser.parse_args()
    dataset = Dataset.from_folder(data_folder("ml-1m"))
    recipe = sasrec_recipe(width=WIDTH, blocks=BLOCKS, heads=HEADS, context=CONTEXT, sequences=BATCH)
    default = recipe.model_copy(
        update={"model": ModelConfig(encoder=TransformerConfig(width=WIDTH, blocks=BLOCKS, heads=HEADS))}
    )
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "train.parquet"
        train = dataset.events.filter(pl.Series(split(dataset).part == Part.TRAIN))
        train.select("user_id", "item_id", "position").write_parquet(events)
        for _ in range(arguments.rounds):
            peer = peer_rate(events, arguments.steps)
            ours, model = (palate_rate(dataset, config, arguments.steps) for config in (recipe, default))
            rounds.append({"peer": peer["targets_per_second_of_pass"], "sasrec": ours["targets_per_second"]})
            rounds[-1] |= {"default": model["targets_per_second"], "peer_padding": peer["padding_share"]}
            rounds[-1] |= {"sasrec_padding": ours["padding"], "peer_cores": peer["processor_seconds_per_second"]}
            print({name: round(value, 3) for name, value in rounds[-1].items()}, flush=True)
    middle = {name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}
    # Real targets are a share 1 - padding of the slots; padded like the peer, as many slots would hold fewer of them.
    unpacked = middle["sasrec"] * (1 - middle["peer_padding"]) / (1 - middle["sasrec_padding"])
    figures = {
        "tokens_per_second_ratio": middle["sasrec"] / middle["peer"],
        "tokens_per_second_ratio_default_model": middle["default"] / middle["peer"],
        "tokens_per_second_ratio_without_packing": unpacked / middle["peer"],
        "tokens_per_second": {name: middle[name] for name in ("peer", "sasrec", "default")},
        "settings": {"width": WIDTH, "context": CONTEXT, "blocks": BLOCKS, "heads": HEADS, "sequences": BATCH},
        "threads": torch.get_num_threads(),
        "rounds": rounds,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"tokens_per_second_ratio {figures['tokens_per_second_ratio']:.2f}")


if __name__ == "__main__":
    main()
