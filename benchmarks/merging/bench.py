"""Does merging adjacent events pay? NDCG@10 for the next different item at an equal budget of training rows.

Every variant has the same network, context and number of rows that go through it in training; those with fewer tokens
an event see the log more often. The targets are the same for all: the first event of each run. Settings are chosen by
nobody: the table is the result. Run as

    python benchmarks/merging/bench.py wikipedia-edits
    python benchmarks/merging/bench.py service
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from palate.data import Dataset, Part, Schema, split
from palate.foundation import FoundationModel
from palate.simulate import preset, simulate
from palate.tokens import PackConfig, Tokenizer, TokenizerConfig, WindowConfig
from palate.train import PretrainConfig, measure, pretrain
from palate.train.material import Material
from palate.train.plan import BatchPlanner

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import data_folder

HERE = Path(__file__).parent
VARIANTS: dict[str, TokenizerConfig] = {
    "no merging": TokenizerConfig(runs="keep"),
    "last of a run": TokenizerConfig(runs="last"),
    "merged, 4 actions": TokenizerConfig(runs="merge", max_actions=4),
    "merged, 8 actions": TokenizerConfig(runs="merge", max_actions=8),
    "merged, 16 actions": TokenizerConfig(runs="merge", max_actions=16),
    "merged, 64 actions": TokenizerConfig(runs="merge", max_actions=64),
}


def load(name: str) -> Dataset:
    """The data with the next different item as target."""
    if name != "service":
        return Dataset.from_folder(data_folder(name), schema=Schema(one_target_a_run=True))
    simulation = simulate(preset("service"))
    schema = simulation.schema.model_copy(update={"one_target_a_run": True})
    return Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=schema)


def settings(tokenizer: TokenizerConfig, context: int, seed: int) -> PretrainConfig:
    """What all variants share."""
    return PretrainConfig(
        seed=seed,
        tokenizer=tokenizer,
        windows=WindowConfig(context=context),
        packing=PackConfig(batch_tokens=1024),
    )


def run(dataset: Dataset, config: PretrainConfig, budget: int) -> dict[str, float]:
    """Train on about ``budget`` rows, and measure."""
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    material = Material.of(tokenizer, dataset, division)
    store, planner = material.store, BatchPlanner(material, tokenizer, config)
    rows = int(planner.epoch(0).windows.lengths.sum())
    epochs = max(round(budget / rows), 1)
    every = max(epochs // 10, 1)
    config = config.model_copy(
        update={
            "epochs": epochs,
            "validation": config.validation.model_copy(update={"every": every, "patience": 99, "targets": 4000}),
        }
    )
    in_context = np.minimum(np.diff(np.append(np.unique(store.begin), len(store.begin))), config.windows.context)
    work = Path(tempfile.mkdtemp(prefix="palate-merging-"))
    try:
        began = time.perf_counter()
        trained = pretrain(dataset, work / "run", config)
        seconds = time.perf_counter() - began
        scorer = FoundationModel(trained).scorer(dataset)
        found = {part: measure(scorer, dataset, division, part) for part in (Part.VALIDATION, Part.TEST)}
    finally:
        shutil.rmtree(work)
    validation, test = found[Part.VALIDATION], found[Part.TEST]
    assert validation is not None
    assert test is not None
    return {
        "tokens_per_event": len(store.begin) / dataset.events.height,
        "events_in_context": float(_events_in_context(store.begin, store.event, dataset.events.height, config)),
        "mean_rows": float(in_context.mean()),
        "epochs": epochs,
        "rows": epochs * rows,
        "seconds": seconds,
        "validation": validation.metrics["ndcg@10"].value,
        "test": test.metrics["ndcg@10"].value,
        "test_hr": test.metrics["hr@10"].value,
    }


def _events_in_context(begin: np.ndarray, event: np.ndarray, events: int, config: PretrainConfig) -> float:
    """Events that the last context of a member's history holds, on average over members."""
    starts = np.unique(begin)
    ends = np.append(starts[1:], len(begin))
    first = np.maximum(starts, ends - config.windows.context)
    event = np.append(event, events)
    return float((event[ends] - event[first]).mean())


def main() -> None:
    """Print the table; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=["wikipedia-edits", "service"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--context", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--budget", type=int, default=1_000_000, help="training rows of each run")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    dataset = load(arguments.data)
    types = dataset.events["event_type"].n_unique() + 1 if "event_type" in dataset.events.columns else 2
    rows = []
    for context in arguments.context:
        for name, tokenizer in VARIANTS.items():
            if tokenizer.runs == "merge" and tokenizer.max_actions <= types:
                continue  # nothing would be merged
            runs = []
            for seed in range(arguments.seeds):
                runs.append(run(dataset, settings(tokenizer, context, seed), arguments.budget))
                print(name, context, seed, runs[-1], file=sys.stderr, flush=True)
            mean = {key: float(np.mean([each[key] for each in runs])) for key in runs[0]}
            spread = float(np.std([each["test"] for each in runs]))
            rows.append({"variant": name, "context": context, **mean, "test_deviation": spread})
            if arguments.json is not None:
                content = {"data": arguments.data, "seeds": arguments.seeds, "budget": arguments.budget, "rows": rows}
                arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = Table(title=f"{arguments.data}: {arguments.budget:,} rows a training", box=box.SIMPLE_HEAD)
    for column in ("variant", "context", "tokens/event", "events seen", "epochs", "seconds", "validation", "NDCG@10"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for row in rows:
        table.add_row(
            row["variant"],
            str(row["context"]),
            f"{row['tokens_per_event']:.3f}",
            f"{row['events_in_context']:.1f}",
            f"{row['epochs']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['validation']:.4f}",
            f"{row['test']:.4f} ± {row['test_deviation']:.4f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
