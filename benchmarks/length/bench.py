"""Long histories: what a window with summaries costs beside dense attention, and what it learns.

``cost``: time and memory of the encoder (64 wide, 2 blocks of 2 heads, time bias), training and inference, by context:
window and summaries, dense attention with biases (as the model has it, and by PyTorch's
`scaled_dot_product_attention`), and the latter causal without any bias, which a kernel computes without the matrix.
Each cell is a process of its own; memory is what its peak adds to what it had before.

``quality``: NDCG@10 on simulated members with thousands of events, trained on the same rows for the same epochs.

    python benchmarks/length/bench.py cost --json benchmarks/length/cost.json
    python benchmarks/length/bench.py quality --json benchmarks/length/quality.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import chosen, paired
from palate.data import Dataset, Part, SplitRule, queries, split
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.foundation import FoundationModel
from palate.model import ModelConfig, TowerConfig, TransformerConfig
from palate.model.grid import Dense
from palate.model.transformer import Attention, Transformer
from palate.rank.recommend import recommend
from palate.simulate import preset, simulate
from palate.tokens import PackConfig, WindowConfig
from palate.tokens.batch import Batch, Rectangle
from palate.train import PretrainConfig, pretrain
from palate.train.config import OptimizerConfig, ValidationConfig
from palate.words import USER_ID

CONTEXTS = (200, 1000, 4000, 16_000)
WINDOW = {"window": 256, "block": 128}
ROWS = 4000
"""Rows of a step, at least: several sequences, where they are short."""


class Fused(Attention):
    """Dense attention by PyTorch's function, with or without the biases."""

    biased = True

    def _dense(self, projected: Tensor, view: Dense) -> Tensor:
        query, key, value = self._split(projected.view(view.sequences, view.length, -1))
        bias = None
        if self.biased:
            bias = self.position(view.length)
            if self.time is not None and view.gaps is not None:
                bias = bias + self.time(view.gaps)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=bias is None)
        return out.transpose(1, 2).flatten(2).flatten(0, 1)


class Causal(Fused):
    """The same without biases."""

    biased = False


VARIANTS: dict[str, tuple[dict[str, object], type[Attention]]] = {
    "window and summaries": (WINDOW, Attention),
    "dense, biases": ({}, Attention),
    "dense, biases, PyTorch's": ({}, Fused),
    "dense, no bias, PyTorch's": ({"time_bias": False}, Causal),
}


def rows_of(context: int) -> Batch:
    """Sequences of ``context`` rows, ten minutes apart."""
    b = max(ROWS // context, 1)
    T = b * context
    time = torch.arange(T) * 600_000
    empty = torch.zeros(T, 0)
    return Batch(
        ids=empty.int(),
        values=empty,
        query_time=time,
        key_time=time,
        target=time,
        available=time.int(),
        outcome=empty.int(),
        familiar=time.int(),
        session=time.int(),
        weight=time.float(),
        shown=empty.int(),
        first=torch.zeros(b, dtype=torch.int64),
        rectangles=(Rectangle(b, context),),
    )


def cell(
    variant: str, context: int, mode: str, given: argparse.Namespace, answer: multiprocessing.Queue[tuple[float, float]]
) -> None:
    """Microseconds a row and MiB of one variant; median of some steps after the first."""
    device, on_gpu = given.device, given.device != "cpu"
    clock = time.process_time if given.processor_time else time.perf_counter
    settings, attention = VARIANTS[variant]
    torch.manual_seed(0)
    config = TransformerConfig.model_validate(settings)
    encoder = Transformer(config, context=context, has_time=config.time_bias)
    for block in encoder.blocks:
        block.attention.update.__class__ = attention
    encoder.to(device).train(mode == "training")
    batch = Batch(*(each.to(device) if isinstance(each, Tensor) else each for each in rows_of(context)))
    x = torch.randn(len(batch.target), config.width, device=device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    while len(seconds) < 3 or (sum(seconds) < 2 and len(seconds) < 7):
        began = clock()
        if mode == "training":
            encoder(x, batch).sum().backward()
        else:
            with torch.inference_mode():
                encoder(x, batch)
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(clock() - began)
    if on_gpu:
        answer.put((float(np.median(seconds[1:])) / len(x) * 1e6, torch.cuda.max_memory_allocated() / 2**20))
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer.put((float(np.median(seconds[1:])) / len(x) * 1e6, (peak - before) / 1024))


def cost(given: argparse.Namespace) -> dict[str, object]:
    """Every cell that fits into ``--memory``."""
    fork = multiprocessing.get_context("fork")
    rows: list[dict[str, object]] = []
    for mode in ("training", "inference"):
        table = Table(
            "", *(f"{context:,}" for context in CONTEXTS), title=f"{mode}: µs a row / MiB", box=box.SIMPLE_HEAD
        )
        for variant in VARIANTS:
            shown, last = [], 0.0
            for context in CONTEXTS:
                # Matrices grow with the number of pairs.
                pairs = max(context, ROWS) * context
                if "biases" in variant and last * pairs > given.memory * 1024:
                    shown.append("does not fit")
                    continue
                answer = fork.Queue()
                process = fork.Process(target=cell, args=(variant, context, mode, given, answer))
                process.start()
                found, memory = answer.get()
                process.join()
                last = memory / pairs
                rows.append({"mode": mode, "variant": variant, "context": context, "µs": found, "MiB": memory})
                shown.append(f"{found:.1f} / {memory:,.0f}")
                print(rows[-1], file=sys.stderr, flush=True)
            table.add_row(variant, *shown)
        Console(width=120).print(table)
    return {
        "device": given.device,
        "processor_time": given.processor_time,
        "threads": torch.get_num_threads(),
        "rows": rows,
    }


SMALL = {"width": 32, "heads": 1, "blocks": 2}
LEARNERS = {
    "truncated: dense, 256": (256, {}),
    "window 256 and summaries, 1,000": (1000, {"window": 256, "block": 64}),
    "dense, 1,000": (1000, {}),
    "window 256 and summaries, 4,000": (4000, {"window": 256, "block": 64}),
    "dense, 4,000": (4000, {}),
}


def quality(given: argparse.Namespace) -> dict[str, object]:
    """Train each, look at the test part."""
    made = simulate(preset("long", seed=0, members=given.members, items=given.items))
    rule = SplitRule(kind="temporal", train_share=0.9, validation_share=0.02)
    schema = made.schema.model_copy(update={"split": rule})
    dataset = Dataset.from_frames(made.events, made.items, made.users, schema=schema)
    lengths = np.diff(np.append(dataset.member_starts, dataset.events.height))
    division = split(dataset)
    asked = queries(dataset, division, Part.TEST)
    turns = chosen(made, asked)
    members = asked[USER_ID].rank("dense").to_numpy().astype(np.int64)
    about = f"{len(lengths)} members, median {np.median(lengths):,.0f} events, {len(asked):,} targets"
    print(about, file=sys.stderr, flush=True)
    found: dict[str, list[np.ndarray]] = {}
    seconds: dict[str, float] = {}
    for name in given.only:
        context, settings = LEARNERS[name]
        for seed in range(given.seeds):
            config = PretrainConfig(
                seed=seed,
                epochs=given.epochs,
                windows=WindowConfig(context=context, slide=max(context // 4, 1)),
                packing=PackConfig(batch_tokens=given.batch),
                model=ModelConfig(
                    encoder=TransformerConfig.model_validate(SMALL | settings | {"time_bias": not given.no_time_bias}),
                    tower=TowerConfig(metadata=False),
                    intents=None,
                ),
                optimizer=OptimizerConfig(learning_rate=given.rate, warmup_steps=30),
                validation=ValidationConfig(every=given.epochs, targets=2000),
            )
            work = given.work / f"{name} {seed}".replace(" ", "-")
            run = pretrain(dataset, work, config, resume=True)
            training = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))["training"]
            scorer = FoundationModel(run).scorer(dataset)
            values = accuracy(ranks(recommend(scorer, dataset, asked, k=10), asked), (10,))["ndcg@10"]
            found.setdefault(name, []).append(values)
            seconds[name] = seconds.get(name, 0.0) + training["seconds"] / given.seeds
            print(
                name,
                seed,
                f"{values.mean():.4f} {values[turns].mean():.4f} {training['seconds']:.0f} s",
                file=sys.stderr,
            )
    rows = {}
    table = Table("", "training, s", "NDCG@10", "against truncated", "chosen", title=about, box=box.SIMPLE_HEAD)
    base = np.mean(found[given.only[0]], axis=0)
    for name, several in found.items():
        values = np.mean(several, axis=0)
        less = paired(values, base, members)
        rows[name] = {
            "seconds": seconds[name],
            "ndcg@10": float(values.mean()),
            "chosen": float(values[turns].mean()),
            "difference": less.model_dump(),
        }
        difference = f"{less.value:+.4f} [{less.low:+.4f}, {less.high:+.4f}]"
        table.add_row(name, f"{seconds[name]:.0f}", f"{values.mean():.4f}", difference, f"{values[turns].mean():.4f}")
    Console(width=120).print(table)
    return {"about": about, "seeds": given.seeds, "epochs": given.epochs, "chosen": int(turns.sum()), "rows": rows}


def main() -> None:
    """Print the table; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "quality"])
    parser.add_argument("--memory", type=float, default=6.0, help="GiB that a cell may take")
    parser.add_argument("--processor-time", action="store_true", help="of a busy machine, with OMP_NUM_THREADS=1")
    parser.add_argument("--device", default="cpu", help="of `cost`: cpu or cuda, where windows go by FlexAttention")
    parser.add_argument("--members", type=int, default=30)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4096, help="rows of a step")
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--no-time-bias", action="store_true", help="makes dense attention over 4,000 rows bearable")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--work", type=Path, default=Path("palate-length"), help="folder of the runs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = cost(given) if given.what == "cost" else quality(given)
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
