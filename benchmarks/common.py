"""What the quality benchmarks share: find the data, train, look at the test part once, write and print the figures."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from palate.baselines.choose import standard
from palate.data import Dataset, Part, split
from palate.foundation import FoundationModel
from palate.terminal.progress import TerminalReporter
from palate.train import PretrainConfig, measure, pretrain

ROOT = Path(__file__).parents[1]


def data_folder(name: str) -> Path:
    """The data set's folder under PALATE_DATA (default ../shared/data beside the checkout)."""
    folder = Path(os.environ.get("PALATE_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        sys.exit(f"no {folder}: set PALATE_DATA; docs/benchmarks.md says how to build the data")
    return folder


def bench(name: str, folder: Path) -> None:
    """Train by ``folder``/config.yaml on data set ``name``, measure, and write ``folder``/metrics.json."""
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
        f"(validation NDCG@10 {best['value']:.4f} at epoch {best['epoch']}; trained {training['seconds']:.0f} s)"
    )
