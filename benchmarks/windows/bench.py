"""Very long histories: learning from every window against learning from the last window alone, at equal rows.

Simulated members with up to 20,000 events. Both variants have the same network, context and number of training rows;
truncation sees the same last windows again and again, windows see every part of the history at offsets that differ each
epoch. Run as

    python benchmarks/windows/bench.py --json benchmarks/windows/metrics.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from palate.data import Dataset, Part, SplitRule, split
from palate.foundation import FoundationModel
from palate.simulate import preset, simulate
from palate.tokens import Tokenizer, TokenizerConfig, WindowConfig
from palate.train import PretrainConfig, measure, pretrain
from palate.train.material import Material
from palate.train.plan import BatchPlanner

VARIANTS = {
    "last window": WindowConfig(last_only=True),
    "every window": WindowConfig(),
}


def run(dataset: Dataset, config: PretrainConfig, budget: int) -> dict[str, float]:
    """Train on about ``budget`` rows, and measure."""
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    planner = BatchPlanner(Material.of(tokenizer, dataset, division), tokenizer, config)
    plan = planner.epoch(0)
    rows, targets = int(plan.windows.lengths.sum()), planner.figures(plan).targets
    epochs = max(round(budget / rows), 1)
    validation = config.validation.model_copy(update={"every": max(epochs // 8, 1), "patience": 99, "targets": 4000})
    config = config.model_copy(update={"epochs": epochs, "validation": validation})
    work = Path(tempfile.mkdtemp(prefix="palate-windows-"))
    try:
        trained = pretrain(dataset, work / "run", config)
        seconds = json.loads((trained.folder / "metrics.json").read_text(encoding="utf-8"))["training"]["seconds"]
        scorer = FoundationModel(trained).scorer(dataset)
        found = {part: measure(scorer, dataset, division, part) for part in (Part.VALIDATION, Part.TEST)}
    finally:
        shutil.rmtree(work)
    figures = {part: value.metrics["ndcg@10"].value for part, value in found.items() if value is not None}
    return {
        "different_targets": targets,
        "epochs": epochs,
        "rows": epochs * rows,
        "seconds": seconds,
        "validation": figures[Part.VALIDATION],
        "test": figures[Part.TEST],
    }


def main() -> None:
    """Print the table; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--context", type=int, default=200)
    parser.add_argument("--budget", type=int, default=2_600_000, help="training rows of each run")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    simulation = simulate(preset("long"))
    schema = simulation.schema.model_copy(
        update={"split": SplitRule(kind="temporal", train_share=0.996, validation_share=0.002)}
    )
    dataset = Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=schema)
    lengths = np.diff(np.append(dataset.member_starts, dataset.events.height))
    about = {
        "members": len(lengths),
        "events": dataset.events.height,
        "median": float(np.median(lengths)),
        "longest": int(lengths.max()),
    }
    print(about, file=sys.stderr, flush=True)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in range(arguments.seeds):
        for name, variant in VARIANTS.items():
            window = variant.model_copy(update={"context": arguments.context})
            config = PretrainConfig(seed=seed, tokenizer=TokenizerConfig(), windows=window)
            runs[name].append(run(dataset, config, arguments.budget))
            print(name, seed, runs[name][-1], file=sys.stderr, flush=True)
    rows = []
    for name, found in runs.items():
        mean = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
        rows.append({"variant": name, **mean, "test_deviation": float(np.std([each["test"] for each in found]))})
    if arguments.json is not None:
        content = {"log": about, "context": arguments.context, "seeds": arguments.seeds, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = Table(title=f"{about['members']} members, median {about['median']:,.0f} events", box=box.SIMPLE_HEAD)
    for column in ("learned from", "different targets", "epochs", "seconds", "validation", "NDCG@10"):
        table.add_column(column, justify="left" if column == "learned from" else "right")
    for row in rows:
        table.add_row(
            row["variant"],
            f"{row['different_targets']:,.0f}",
            f"{row['epochs']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['validation']:.4f}",
            f"{row['test']:.4f} ± {row['test_deviation']:.4f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
