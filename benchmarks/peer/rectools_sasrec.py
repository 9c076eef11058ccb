"""Trains RecTools' SASRec by the library's own path and reports its speed, and its recommendations if asked.

Run by the python of the peer's virtual environment (`setup.sh`); imports nothing of Palate:

    .venv-rectools/bin/python benchmarks/peer/rectools_sasrec.py \\
        --events train.parquet --steps 18 --out peer.json

The trainer is the library's default one. What is added to it is a callback that reads the clock and counts
the targets of each batch, and a limit on steps or seconds.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

PACKAGES = ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")


class Clock(pytorch_lightning.Callback):
    """Time and real targets of every optimiser step; stops training when `seconds` have passed.

    A step runs from the end of the one before to its own end: drawing and collating the batch are part of it.
    `busy` counts processor seconds instead of those on the wall. The weights are kept `snapshots` times on the way,
    the last time at the end.
    """

    def __init__(self, seconds: float | None, busy: bool = False, snapshots: int = 0) -> None:
        self.seconds = seconds
        self.busy = busy
        self.snapshots = snapshots
        self.kept: list[tuple[float, dict[str, torch.Tensor]]] = []
        self.wall: list[float] = []
        self.processor: list[float] = []
        self.targets: list[int] = []
        self.slots: list[int] = []
        self.losses: list[float] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start both clocks."""
        self._stamp()

    def on_train_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: dict[str, torch.Tensor],
        batch_idx: int,
    ) -> None:
        """Note the step that has just ended."""
        self._stamp()
        targets, slots = count_targets(batch)
        self.targets.append(targets)
        self.slots.append(slots)
        self.losses.append(float(outputs["loss"]))
        if self.seconds is not None:
            clock = self.processor if self.busy else self.wall
            passed = clock[-1] - clock[0]
            if self.snapshots and passed >= self.seconds * (len(self.kept) + 1) / self.snapshots:
                state = pl_module.torch_model.state_dict()
                self.kept.append((passed, {name: tensor.clone() for name, tensor in state.items()}))
            trainer.should_stop = trainer.should_stop or passed >= self.seconds

    def _stamp(self) -> None:
        self.wall.append(time.perf_counter())
        self.processor.append(time.process_time())


def count_targets(batch: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Targets that RecTools learns from (labels other than padding, with a weight), and all target slots."""
    real = (batch["y"] != 0) & (batch["yw"] != 0)
    return int(real.sum()), real.numel()


def read_dataset(path: Path) -> Dataset:
    """Events of a Parquet file as a RecTools dataset. Only the order counts: positions stand in for dates."""
    events = pd.read_parquet(path, columns=["user_id", "item_id", "position"])
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: events["user_id"],
                Columns.Item: events["item_id"],
                Columns.Weight: 1.0,
                Columns.Datetime: pd.to_datetime(events["position"], unit="s"),
            }
        )
    )


def build_model(options: argparse.Namespace, clock: Clock) -> SASRecModel:
    """The model with the library's defaults for all that the options don't name."""
    model = SASRecModel(
        n_blocks=options.blocks,
        n_heads=options.heads,
        n_factors=options.width,
        session_max_len=options.context,
        dropout_rate=options.dropout,
        loss=options.loss,
        lr=options.lr,
        batch_size=options.batch,
        recommend_torch_device="cpu",
    )
    # The arguments of the library's default trainer, with an end by steps or seconds besides that by epochs.
    # A trainer may be put in place so by the library's documentation.
    model._trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=options.epochs,
        max_steps=options.steps or -1,
        deterministic=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        callbacks=[clock],
    )
    return model


def count_pass(model: SASRecModel) -> dict[str, int]:
    """Batches, real targets and target slots of one whole pass, read from the library's own loader."""
    loader = model.data_preparator.get_dataloader_train()
    counts = [count_targets(batch) for batch in loader]
    targets, slots = (sum(column) for column in zip(*counts, strict=True))
    return {"batches_per_pass": len(counts), "targets_per_pass": targets, "slots_per_pass": slots}


def measure(clock: Clock, per_pass: dict[str, int], warmup: int, window: int) -> dict[str, Any]:
    """Figures of the steps after the warm-up. Partial last batches of a pass are left out of the median."""
    seconds = np.diff(clock.wall)
    targets = np.array(clock.targets)
    slots = np.array(clock.slots)
    if len(seconds) < warmup + window:
        raise SystemExit(
            f"rectools_sasrec.py: {len(seconds)} steps are too few for {warmup} of warm-up and a window"
            f" of {window}; give more --steps, --seconds or --epochs"
        )
    timed = np.arange(len(seconds)) >= warmup
    full = timed & (slots == slots.max())
    starts = range(warmup, len(seconds) - window + 1, window)
    windows = [targets[s : s + window].sum() / seconds[s : s + window].sum() for s in starts]
    median_step = float(np.median(seconds[full]))
    seconds_per_pass = median_step * per_pass["slots_per_pass"] / int(slots.max())
    processor = np.diff(clock.processor)
    return {
        "targets_per_second": statistics.median(windows),
        "targets_per_second_of_pass": per_pass["targets_per_pass"] / seconds_per_pass,
        "seconds_per_pass": seconds_per_pass,
        "first_step_seconds": float(seconds[0]),
        "median_step_seconds": median_step,
        "tokens_in_batch": int(slots.max()),
        "targets_in_batch": float(targets[full].mean()),
        "padding_share": 1 - per_pass["targets_per_pass"] / per_pass["slots_per_pass"],
        "warmup_steps": warmup,
        "window_steps": window,
        "steps": len(seconds),
        "train_seconds": clock.wall[-1] - clock.wall[0],
        "processor_seconds_per_second": float(processor[timed].sum() / seconds[timed].sum()),
        "first_loss": clock.losses[0],
        "last_loss": clock.losses[-1],
        "step_seconds": [round(float(s), 4) for s in seconds],
        "step_targets": clock.targets,
    }


def recommend(model: SASRecModel, history: Path, k: int, out: Path) -> dict[str, Any]:
    """Top k for every member of `history`, what they have seen left out, as a table `evaluate` can score."""
    dataset = read_dataset(history)
    members = dataset.user_id_map.external_ids
    began = time.perf_counter()
    table = model.recommend(members, dataset, k=k, filter_viewed=True)
    seconds = time.perf_counter() - began
    table = table.rename(columns={"user_id": "query"}).sort_values(["query", "rank"])
    table[["query", "rank", "item_id", "score"]].to_parquet(out, index=False)
    return {
        "recommend_members": len(members),
        "recommend_k": k,
        "recommend_seconds": seconds,
        "recommend_members_per_second": len(members) / seconds,
    }


def validate(model: SASRecModel, clock: Clock, history: Path, targets: Path, k: int = 10) -> dict[str, Any]:
    """NDCG@k of every snapshot on each member's one target (user_id, item_id); the model is left with the best."""
    dataset = read_dataset(history)
    target = pd.read_parquet(targets, columns=["user_id", "item_id"])
    found = []
    for seconds, state in clock.kept:
        model.torch_model.load_state_dict(state)
        table = model.recommend(dataset.user_id_map.external_ids, dataset, k=k, filter_viewed=True)
        hits = table.merge(target, on=["user_id", "item_id"])
        found.append({"seconds": seconds, "ndcg": float((1 / np.log2(hits["rank"] + 1)).sum() / len(target))})
    best = max(range(len(found)), key=lambda each: found[each]["ndcg"])
    model.torch_model.load_state_dict(clock.kept[best][1])
    return {"validations": found, "best": found[best]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--events", type=Path, required=True, help="training events, in order: user_id, item_id, position")
    add("--out", type=Path, required=True, help="where the figures go, one JSON object")
    add("--width", type=int, default=128, help="embedding width")
    add("--context", type=int, default=200, help="events of a member that are used: the last ones")
    add("--blocks", type=int, default=2)
    add("--heads", type=int, default=2, help="attention heads (the library's default is 4)")
    add("--batch", type=int, default=128, help="members in a batch")
    add("--loss", default="softmax", choices=["softmax", "BCE", "gBCE", "sampled_softmax"])
    add("--lr", type=float, default=1e-3)
    add("--dropout", type=float, default=0.2)
    add("--epochs", type=int, default=1, help="passes over the members; steps and seconds can end it earlier")
    add("--steps", type=int, help="stop after so many optimiser steps")
    add("--seconds", type=float, help="stop after the step in which so many seconds of training are over")
    add("--busy", action="store_true", help="count processor seconds in --seconds, not those on the wall")
    add("--snapshots", type=int, default=0, help="keep the weights so often in --seconds; --validate chooses")
    add("--validate", type=Path, nargs=2, metavar=("HISTORY", "TARGETS"), help="choose the best snapshot by NDCG@10")
    add("--warmup", type=int, default=3, help="steps left out of the figures")
    add("--window", type=int, default=3, help="steps of a window whose targets per second are one sample")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--recommend", type=Path, metavar="HISTORY", help="then recommend after these events (same columns)")
    add("--k", type=int, default=10)
    add("--recommendations", type=Path, default=Path("recommendations.parquet"))
    return parser.parse_args()


def main() -> None:
    began = time.perf_counter()
    options = parse()
    torch.set_num_threads(options.threads)
    pytorch_lightning.seed_everything(options.seed, verbose=False)

    dataset = read_dataset(options.events)
    model = build_model(options, Clock(options.seconds, options.busy, options.snapshots))
    model.fit(dataset)
    clock = next(c for c in model.fit_trainer.callbacks if isinstance(c, Clock))  # fit() trains with a copy
    per_pass = count_pass(model)

    figures: dict[str, Any] = {
        "peer": "RecTools SASRecModel",
        **measure(clock, per_pass, options.warmup, options.window),
        **per_pass,
        "start_up_seconds": clock.wall[0] - began,
        "members": dataset.user_id_map.size,
        "items": model.data_preparator.get_known_item_ids().size,
        "events": len(dataset.interactions.df),
        "parameters": sum(p.numel() for p in model.torch_model.parameters()),
        "dtype": str(next(model.torch_model.parameters()).dtype).removeprefix("torch."),
        "settings": {
            name: getattr(options, name)
            for name in ("width", "context", "blocks", "heads", "batch", "loss", "lr", "dropout", "seed")
        },
        "torch_threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    if options.validate is not None:
        figures |= validate(model, clock, *options.validate)
    if options.recommend is not None:
        figures |= recommend(model, options.recommend, options.k, options.recommendations)
    figures["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    options.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
