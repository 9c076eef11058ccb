"""Training on a GPU: targets a second, share of its peak, and windowed against dense attention at long contexts.

    python benchmarks/device/bench.py --device cuda --json benchmarks/device/metrics.json

Steps of the default model on the simulated service, as `palate.train.parallel.Learner` takes them, in the precision
that `precision: auto` chooses; and one block's attention alone, forward and backward, over long histories. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from palate.data import Dataset, split
from palate.model import ModelConfig, TransformerConfig
from palate.model.grid import Dense, Grid, Span, dense_view, grid_view
from palate.model.transformer import Attention
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
LENGTHS = (4_000, 16_000)


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


def attention(length: int, window: int | None, device: torch.device, *, times: int) -> dict[str, float]:
    """Milliseconds and MiB of one block's attention over one history, forward and backward."""
    config = TransformerConfig(width=512, heads=8, window=window, block=128)
    part = Attention(config, context=length, has_time=True).to(device)
    model = _Views(config, length, device)
    x = torch.randn(length, config.width, device=device, requires_grad=True)
    lowered = lowered_type("auto", device)
    found = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(times + 2):
        started = time.perf_counter()
        with torch.autocast(device.type, lowered, enabled=lowered is not None):
            out = part(x, model.views(), None)
        out.float().square().mean().backward()
        assert x.grad is not None
        x.grad[0, 0].item()
        found.append(time.perf_counter() - started)
    held = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else float("nan")
    return {"ms": 1e3 * statistics.median(found[2:]), "mib": held}


class _Views:
    """One history of events a minute apart."""

    def __init__(self, config: TransformerConfig, length: int, device: torch.device) -> None:
        self._span, self._buckets = Span.of(config), config.time_buckets
        self._time = (1_700_000_000_000 + 60_000 * torch.arange(length, device=device))[None]

    def views(self) -> tuple[Dense | Grid, ...]:
        """What attention has to know, made anew as in each step."""
        if self._span is None:
            return (dense_view(self._time, self._time, self._buckets),)
        first = torch.zeros(1, dtype=torch.int64, device=self._time.device)
        return (grid_view(self._span, first, self._time, self._time, self._buckets),)


def tried(what: Callable[[], dict[str, float]]) -> dict[str, float] | None:
    """None where it does not fit."""
    try:
        return what()
    except torch.OutOfMemoryError:
        return None


def main() -> None:
    """Print both tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    arguments.add_argument("--lengths", nargs="*", type=int, default=list(LENGTHS))
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
    long = {
        f"{'dense' if window is None else 'windowed'} {length}": tried(
            lambda length=length, window=window: attention(length, window, device, times=asked.times)
        )
        for length in asked.lengths
        for window in (None, 256)
    }
    table = Table("attention", "ms", "MiB", box=box.SIMPLE_HEAD)
    for name, each in long.items():
        table.add_row(name, *(("does not fit", "") if each is None else (f"{each['ms']:.1f}", f"{each['mib']:,.0f}")))
    Console(width=120).print(table)
    print(f"{told(device, lowered_type('auto', device))}; {asked.rows:,} rows a step")
    if asked.json is not None:
        found = {"device": told(device, lowered_type("auto", device)), "rows": asked.rows, "steps": rows}
        asked.json.write_text(json.dumps({**found, "attention": long}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
