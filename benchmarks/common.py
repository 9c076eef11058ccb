"""What the quality benchmarks share: find the data, train, look at the test part once, write and print the figures."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.baselines.choose import standard
from palate.data import Dataset, Part, split
from palate.evaluate.compare import Difference, compare
from palate.evaluate.evaluation import EvaluationConfig
from palate.foundation import FoundationModel
from palate.simulate import Simulation, preset, simulate
from palate.simulate.config import PresetName
from palate.terminal.progress import TerminalReporter
from palate.tokens import PackConfig
from palate.train import PretrainConfig, measure, pretrain
from palate.train.config import OptimizerConfig
from palate.words import TIMESTAMP, USER_ID

ROOT = Path(__file__).parents[1]
SERVICE = PretrainConfig(epochs=8, packing=PackConfig(batch_tokens=512), optimizer=OptimizerConfig(learning_rate=5e-3))
"""How models of the simulated service are trained."""


def data_folder(name: str) -> Path:
    """The data set's folder under PALATE_DATA (default ../shared/data beside the checkout)."""
    folder = Path(os.environ.get("PALATE_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        sys.exit(f"no {folder}: set PALATE_DATA; docs/benchmarks.md says how to build the data")
    return folder


def service(size: PresetName = "service") -> tuple[Simulation, Dataset]:
    """The simulated service, and its log."""
    made = simulate(preset(size, seed=0))
    return made, Dataset.from_frames(made.events, made.items, made.users, schema=made.schema)


def chosen(simulation: Simulation, asked: pl.DataFrame) -> NDArray[np.bool_]:
    """Which queries are plays in which a title is chosen, ``[Q]``; the others go on with one."""
    known = asked.join(simulation.truth.plays, on=[USER_ID, TIMESTAMP], how="left", maintain_order="left")
    begins: NDArray[np.bool_] = (known["begins"] == 0).fill_null(False).to_numpy()
    return begins


def trained(dataset: Dataset, config: PretrainConfig) -> FoundationModel:
    """A model, whose run folder is gone again."""
    work = Path(tempfile.mkdtemp(prefix="palate-bench-"))
    try:
        return FoundationModel(pretrain(dataset, work / "run", config))
    finally:
        shutil.rmtree(work)


def paired(first: NDArray[np.float64], second: NDArray[np.float64], members: NDArray[np.int64]) -> Difference:
    """The difference of two values of each query, with an interval over members."""
    config = EvaluationConfig()
    found = compare(
        {"value": first},
        {"value": second},
        members,
        resamples=config.resamples,
        flips=config.flips,
        confidence=config.confidence,
        seed=config.seed,
    )
    return found["value"]


def bench(name: str, folder: Path) -> None:
    """Train by ``folder``/config.yaml on data set ``name``, measure, and write ``folder``/metrics.json."""
    argparse.ArgumentParser(description="Train, choose by validation, look at the test part once.").parse_args()
    dataset = Dataset.from_folder(data_folder(name))
    division = split(dataset)
    config = PretrainConfig.from_yaml(folder / "config.yaml")
    work = Path(tempfile.mkdtemp(prefix="palate-bench-"))
    try:
        with TerminalReporter() as reporter:
            run = pretrain(dataset, work / "run", config, reporters=[reporter])
        training = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))["training"]
        scorer = FoundationModel(run).scorer(dataset)
        found = measure(scorer, dataset, division, Part.TEST, baselines=standard(dataset, division))
    finally:
        shutil.rmtree(work)
    assert found is not None, "the test part has targets"
    (folder / "metrics.json").write_text(found.to_json(), encoding="utf-8")
    for title, metrics in (("palate", found.metrics), *found.baselines.items()):
        print(f"{title:24} NDCG@10 {metrics['ndcg@10'].value:.4f}  HR@10 {metrics['hr@10'].value:.4f}")
    best = training["best"]
    print(
        f"{name}: NDCG@10 {found.metrics['ndcg@10'].value:.4f} HR@10 {found.metrics['hr@10'].value:.4f} "
        f"(validation in training {best['value']:.4f} at epoch {best['epoch']}; trained {training['seconds']:.0f} s)"
    )
