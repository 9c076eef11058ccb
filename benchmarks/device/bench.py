"""Training on a GPU: targets a second, and the share of its peak.

    python benchmarks/device/bench.py --device cuda --json benchmarks/device/metrics.json

Steps of the default model on the simulated service, as `palate.train.parallel.Learner` takes them, in the precision
that `precision: auto` chooses; medians. `benchmarks/length/bench.py cost --device cuda` has windowed against dense
attention at long contexts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from palate.data import Dataset, split
from palate.model import ModelConfig, TransformerConfig
from palate.simulate import preset, simulate
from palate.tokens import PackConfig, Tokenizer, WindowConfig, training_catalogue
from palate.train import PretrainConfig, new_model
from palate.train.compute import Operations, measured_peak
from palate.train.device import find_device, lowered_type, told
from palate.train.material import Material
from palate.train.optimizer import build_optimizer
from palate.train.parallel import Learner
from palate.train.plan import BatchPlanner
from palate.train.processes import ALONE

SIZES = {"default": (64, 2, 2), "base": (512, 8, 8), "large": (1024, 16, 16)}
"""Width, blocks, heads."""


def steps(dataset: Dataset, size: str, device: torch.device, *, rows: int, times: int) -> dict[str, float]:
    """Medians of whole steps, assembly of the batch included."""
    width, blocks, heads = SIZES[size]
    encoder = TransformerConfig(width=width, blocks=blocks, heads=heads)
    config = PretrainConfig(
        model=ModelConfig(encoder=encoder, logit_bytes=1 << 30),
        windows=WindowConfig(context=200),
        packing=PackConfig(batch_tokens=rows, batch_sequences=max(rows // 100, 1)),
    )
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    planner = BatchPlanner(Material.of(tokenizer, dataset, division), tokenizer, config)
    plan, known = planner.epoch(0), training_catalogue(tokenizer).to(device)
    lowered = lowered_type(config.precision, device)
    model = new_model(config, tokenizer)
    learner = Learner(model, ALONE, device=device, lowered=lowered)
    learner.train()
    optimizer, operations = build_optimizer(learner.trained, config.optimizer), Operations(model)
    peak = measured_peak(device=device, dtype=lowered or torch.float32)
    seconds, targets, owed = [], [], []
    for number in range(times + 2):
        batch = planner.batch(plan, number % len(plan.packs))
        asked, done = int((batch.target > 0).sum()), operations.of(batch)
        started = time.perf_counter()
        losses = learner.loss(batch.to(device), known, config.objective, None, seed=number)
        (losses.total / max(asked, 1)).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), config.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.item.item()
        next(iter(learner.parameters())).flatten()[0].item()  # all of the step is done
        if number >= 2:  # the first ones compile
            seconds.append(time.perf_counter() - started)
            targets.append(asked)
            owed.append(done)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "step_ms": 1e3 * statistics.median(seconds),
        "targets_per_second": statistics.median(t / s for t, s in zip(targets, seconds, strict=True)),
        "share_of_peak": statistics.median(o / s for o, s in zip(owed, seconds, strict=True)) / peak,
        "peak": peak,
    }


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    arguments.add_argument("--rows", type=int, default=32_768, help="of a step")
    arguments.add_argument("--times", type=int, default=20)
    arguments.add_argument("--preset", default="service")
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    device = find_device(asked.device)
    made = simulate(preset(asked.preset))
    dataset = Dataset.from_frames(made.events, made.items, made.users, schema=made.schema)
    rows = {size: steps(dataset, size, device, rows=asked.rows, times=asked.times) for size in asked.sizes}
    table = Table("", "parameters", "step, ms", "targets/s", "share of peak", box=box.SIMPLE_HEAD)
    for size, row in rows.items():
        cells = (f"{row['step_ms']:.1f}", f"{row['targets_per_second']:,.0f}", f"{row['share_of_peak']:.2f}")
        table.add_row(size, f"{row['parameters']:,}", *cells)
    Console(width=120).print(table)
    print(f"{told(device, lowered_type('auto', device))}; {asked.rows:,} rows a step")
    if asked.json is not None:
        found = {"device": told(device, lowered_type("auto", device)), "rows": asked.rows, "steps": rows}
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
