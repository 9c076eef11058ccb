"""NDCG@10 after equal steps: the exact softmax against samples, on a catalogue small enough for both.

python benchmarks/catalogue/quality.py --json benchmarks/catalogue/quality.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Final

import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from log import log

from palate.data import split
from palate.model import ModelConfig, NegativeSampler, ObjectiveConfig, SamplingConfig, TowerConfig
from palate.model.negatives import Negatives
from palate.rank.model_scorer import ModelScorer
from palate.tokens import PackConfig, Tokenizer, WindowConfig, training_catalogue
from palate.train import PretrainConfig, ValidationConfig, new_model
from palate.train.material import Material
from palate.train.optimizer import Together, build_optimizer, clip_gradients, learning_rate
from palate.train.plan import BatchPlanner
from palate.train.validate import Validator

CONTEXT: Final = 32
SOURCES: Final = {
    "default": {},
    "uniform": {"uniform": 1.0, "popularity": 0.0},
    "popularity": {"uniform": 0.0, "popularity": 1.0},
    "popularity^0.75": {"uniform": 0.0, "popularity": 1.0, "power": 0.75},
    "half uniform": {"uniform": 0.5, "popularity": 0.5, "power": 0.75},
    "in batch": {"uniform": 0.0, "popularity": 0.0, "in_batch": 1.0},
    "half in batch": {"uniform": 0.25, "popularity": 0.25, "in_batch": 0.5},
}
VARIANTS: Final = {
    "exact": {"negatives": 0},
    "exact, by rows": {"negatives": 0, "by_rows": True},
    "default 1,024": {"negatives": 1024},
    "default 1,024, dense AdamW": {"negatives": 1024, "by_rows": False},
    "default 1,024, no correction": {"negatives": 1024, "corrected": False},
    "default 4,096": {"negatives": 4096},
    **{f"{name} 1,024": {"negatives": 1024, "source": name} for name in SOURCES if name != "default"},
}


class Uncorrected(NegativeSampler):
    """What happens without the correction."""

    def draw(self, targets: torch.Tensor) -> Negatives:
        """The same items."""
        drawn = super().draw(targets)
        return drawn._replace(correction=torch.zeros_like(drawn.correction))


class Bench:
    """A log, and models trained on it."""

    def __init__(self, *, items: int, events: int, epochs: int) -> None:
        self.config = PretrainConfig(
            model=ModelConfig(tower=TowerConfig(id_dropout=0.05)),  # nothing is inferred behind these trainings
            packing=PackConfig(batch_tokens=2048),
            windows=WindowConfig(context=CONTEXT),
            epochs=epochs,
        )
        self.dataset = log(items, events)
        self.division = split(self.dataset)
        self.tokenizer = Tokenizer.fit(self.dataset, self.division, self.config.tokenizer)
        self.catalogue = training_catalogue(self.tokenizer)
        material = Material.of(self.tokenizer, self.dataset, self.division)
        self.planner = BatchPlanner(material, self.tokenizer, self.config)

    def trained(
        self,
        *,
        negatives: int,
        source: str = "default",
        by_rows: bool | None = None,
        corrected: bool = True,
    ) -> dict[str, float]:
        """NDCG@10 on the validation part, seconds of training."""
        config = self.config
        sampler = None
        if negatives:
            sampling = SamplingConfig.model_validate({"negatives": negatives, **SOURCES[source]})
            sampler = (NegativeSampler if corrected else Uncorrected)(sampling, self.catalogue.counts)
        by_rows = negatives > 0 if by_rows is None else by_rows
        model = new_model(config, self.tokenizer).train()
        optimizer = build_optimizer(model, config.optimizer, by_rows=by_rows)
        started, step = time.perf_counter(), 0
        for epoch in range(config.epochs):
            plan = self.planner.epoch(epoch)
            for number in range(len(plan.packs)):
                batch = self.planner.batch(plan, number)
                torch.manual_seed(step)
                loss = model.loss(batch, self.catalogue, ObjectiveConfig(), sampler).total
                (loss / int((batch.target > 0).sum())).backward()
                for table in (model.tower.id, model.tower.id_bias):
                    if not by_rows and table.grad is not None:
                        table.grad = table.grad.to_dense()
                clip_gradients(model, config.optimizer.clip_norm)
                progress = (epoch + number / len(plan.packs)) / config.epochs
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(config.optimizer, step=step, progress=progress)
                optimizer.step()
                optimizer.zero_grad()
                step += 1
        if isinstance(optimizer, Together):
            optimizer.settle()
        seconds = time.perf_counter() - started
        scorer = ModelScorer(model, self.tokenizer, self.dataset, context=CONTEXT)
        validator = Validator(scorer, self.dataset, self.division, ValidationConfig(targets=6000), seed=0)
        return {"ndcg@10": validator.ndcg(), "seconds": seconds, "steps": step}


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--items", type=int, default=10_000)
    arguments.add_argument("--events", type=int, default=300_000)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--variants", nargs="+", default=list(VARIANTS))
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    bench = Bench(items=asked.items, events=asked.events, epochs=asked.epochs)
    table = Table("softmax", "NDCG@10", "seconds", box=box.SIMPLE_HEAD)
    rows = {}
    for name in asked.variants:
        rows[name] = bench.trained(**VARIANTS[name])
        table.add_row(name, f"{rows[name]['ndcg@10']:.4f}", f"{rows[name]['seconds']:.0f}")
        print(name, rows[name], file=sys.stderr, flush=True)
    Console().print(table)
    if asked.json is not None:
        found = {"items": asked.items, "epochs": asked.epochs, "threads": torch.get_num_threads(), "rows": rows}
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
