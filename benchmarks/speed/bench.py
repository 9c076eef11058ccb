"""Where the time of training goes, and the share of the machine's peak of matrix products that is reached.

On MovieLens-1M (3,416 items) with context 200 and batches of 32 histories, as in `benchmarks/ml1m/config.yaml`, or of
``--histories``: the plain model (ids alone) and the default one (ratings, members' attributes, metadata, heads). Run as

    python benchmarks/speed/bench.py --json FILE

Steps are timed whole, each beside the peak of square float32 products of that moment, by torch.mm and by the product
that the model uses; then again with marks between their parts. On a machine that others use too, `--cpu-clock` counts
the processor seconds of one thread instead of those that pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from parts import EMBED, SOFTMAX, Parts

from common import data_folder
from palate.data import Dataset, split
from palate.model import ModelConfig, TowerConfig, TransformerConfig
from palate.model.product import product
from palate.tokens import Batch, PackConfig, Tokenizer, TokenizerConfig, WindowConfig, training_catalogue
from palate.train import PretrainConfig, new_model
from palate.train.compute import Operations
from palate.train.loader import made_ahead
from palate.train.material import Material
from palate.train.memory import keep_freed_memory
from palate.train.optimizer import build_optimizer
from palate.train.plan import BatchPlanner

WARM_UP = 4
WINDOWS = WindowConfig(context=200, windows_per_member=1)


def packing(histories: int) -> PackConfig:
    """Batches of so many whole windows."""
    return PackConfig(batch_tokens=histories * WINDOWS.context, batch_sequences=histories)


def plain(width: int, histories: int) -> PretrainConfig:
    """Ids alone."""
    model = ModelConfig(
        encoder=TransformerConfig(width=width), tower=TowerConfig(metadata=False, ages=False), intents=None
    )
    tokenizer = TokenizerConfig(member_attributes=False)
    return PretrainConfig(windows=WINDOWS, packing=packing(histories), tokenizer=tokenizer, model=model)


def default(width: int, histories: int) -> PretrainConfig:
    """The default model."""
    model = ModelConfig(encoder=TransformerConfig(width=width))
    return PretrainConfig(windows=WINDOWS, packing=packing(histories), model=model)


Clock = Callable[[], float]


class Bench:
    """One model and its batches."""

    def __init__(self, config: PretrainConfig, tokenizer: Tokenizer, material: Material, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._planner = BatchPlanner(material, tokenizer, config)
        self._plan = self._planner.epoch(0)
        self._catalogue = training_catalogue(tokenizer)
        self._model = new_model(config, tokenizer).train()
        self._optimizer = build_optimizer(self._model, config.optimizer)
        self._operations = Operations(self._model)

    def measure(self, steps: int) -> dict[str, Any]:
        """Medians of ``steps`` steps, and of as many that are timed by parts."""
        for number in range(WARM_UP):
            self._step(number)
        whole = [(*self._step(number), peaks(self._clock)) for number in range(steps)]
        speeds = [each[2] / each[0] for each in whole]
        return {
            "step_ms": 1e3 * statistics.median(each[0] for each in whole),
            "step_ahead_ms": 1e3 * statistics.median(self._ahead(steps)),
            "targets_per_second": statistics.median(each[1] / each[0] for each in whole),
            "operations_per_target": sum(each[2] for each in whole) / sum(each[1] for each in whole),
            "operations_per_second": statistics.median(speeds),
            "peaks": {kernel: max(each[3][kernel] for each in whole) for kernel in whole[0][3]},
            "share_of_peak": statistics.median(
                speed / max(each[3].values()) for speed, each in zip(speeds, whole, strict=True)
            ),
            "share_of_torch_mm": statistics.median(
                speed / each[3]["torch.mm"] for speed, each in zip(speeds, whole, strict=True)
            ),
            "parts_ms": self._parts(steps),
            "parameters": sum(each.numel() for each in self._model.parameters()),
        }

    def _step(self, number: int) -> tuple[float, int, float]:
        """Seconds, targets and operations of a step that assembles its batch itself."""
        started = self._clock()
        batch = self._planner.batch(self._plan, number)
        self._learn(batch, number)
        return self._clock() - started, int((batch.target > 0).sum()), self._operations.of(batch)

    def _ahead(self, steps: int) -> list[float]:
        """Seconds of steps whose batches are made ahead, as in training."""
        found = []
        with closing(made_ahead(partial(self._planner.batch, self._plan), range(WARM_UP + steps))) as batches:
            started = self._clock()
            for number, batch in enumerate(batches):
                self._learn(batch, number)
                now = self._clock()
                found.append(now - started)
                started = now
        return found[WARM_UP:]

    def _learn(self, batch: Batch, number: int, parts: Parts | None = None) -> None:
        torch.manual_seed(number)
        targets = int((batch.target > 0).sum())
        losses = self._model.loss(batch, self._catalogue, self._config.objective)
        if parts is not None:
            parts.close(SOFTMAX)
        (losses.total / targets).backward()
        if parts is not None:
            parts.close(EMBED)
        losses.item.item()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._config.optimizer.clip_norm)
        if parts is not None:
            parts.close("clip")
        self._optimizer.step()
        self._optimizer.zero_grad()
        if parts is not None:
            parts.close("optimizer")

    def _parts(self, steps: int) -> dict[str, float]:
        """Medians by part."""
        parts = Parts(self._model, self._clock)
        found = []
        for number in range(steps):
            parts.seconds.clear()
            parts.begin()
            batch = self._planner.batch(self._plan, number)
            parts.close("assembly")
            self._learn(batch, number, parts)
            found.append(dict(parts.seconds))
        names = ["assembly", *parts.order, "clip", "optimizer"]
        return {name: 1e3 * statistics.median(each[name] for each in found) for name in names}


def peaks(clock: Clock, size: int = 1024, times: int = 5) -> dict[str, float]:
    """Operations a second of a square product now, the best of several, by both kernels."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    found = {}
    for name, multiply in (("torch.mm", torch.mm), ("product", product)):
        seconds = []
        for _ in range(times):
            started = clock()
            multiply(a, b)
            seconds.append(clock() - started)
        found[name] = 2 * size**3 / min(seconds)
    return found


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    arguments.add_argument("--models", nargs="+", default=["plain", "default"])
    arguments.add_argument("--histories", type=int, default=32, help="of a batch")
    arguments.add_argument("--steps", type=int, default=8)
    arguments.add_argument("--cpu-clock", action="store_true", help="processor seconds; on one thread")
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    clock = time.process_time if asked.cpu_clock else time.perf_counter
    if asked.cpu_clock:
        torch.set_num_threads(1)
    keep_freed_memory()  # as a training does
    dataset = Dataset.from_folder(data_folder("ml-1m"))
    division = split(dataset)
    rows: dict[str, dict[str, Any]] = {}
    for name in asked.models:
        configs = {width: {"plain": plain, "default": default}[name](width, asked.histories) for width in asked.widths}
        tokenizer = Tokenizer.fit(dataset, division, configs[asked.widths[0]].tokenizer)
        material = Material.of(tokenizer, dataset, division)
        for width, config in configs.items():
            rows[f"{name} {width}"] = Bench(config, tokenizer, material, clock).measure(asked.steps)
    best = {kernel: max(row["peaks"][kernel] for row in rows.values()) for kernel in ("torch.mm", "product")}
    show(rows, best)
    if asked.json is not None:
        found = {"threads": torch.get_num_threads(), "cpu_clock": asked.cpu_clock, "steps": asked.steps}
        found["histories"] = asked.histories
        asked.json.write_text(json.dumps({**found, "peaks": best, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def show(rows: dict[str, dict[str, Any]], best: dict[str, float]) -> None:
    """One column a model."""
    table = Table("", *rows, box=box.SIMPLE_HEAD)
    names: list[str] = []
    for row in rows.values():
        names += [name for name in row["parts_ms"] if name not in names]
    for name in names:
        table.add_row(
            name, *(f"{row['parts_ms'][name]:.1f}" if name in row["parts_ms"] else "" for row in rows.values())
        )
    table.add_section()
    for title, key, form in (
        ("step, ms", "step_ms", "{:.1f}"),
        ("step, batches made ahead, ms", "step_ahead_ms", "{:.1f}"),
        ("targets/s", "targets_per_second", "{:,.0f}"),
        ("share of the peak", "share_of_peak", "{:.2f}"),
        ("share of torch.mm's peak", "share_of_torch_mm", "{:.2f}"),
    ):
        table.add_row(title, *(form.format(row[key]) for row in rows.values()))
    Console(width=140).print(table)
    print(", ".join(f"peak of {kernel} {each / 1e9:.0f} GF/s" for kernel, each in best.items()))
    print(f"{torch.get_num_threads()} threads, milliseconds by part, medians")


if __name__ == "__main__":
    main()
