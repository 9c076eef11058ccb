"""A rehearsal of how weights get out of date, without a look at the test part.

The log is cut before its test part, and what is left is divided again by the same rule: 80 % training, 10 % validation,
10 % that stands for the test. Weights are ten per cent of the log old there, as they are in the benchmark.

    python benchmarks/movietweetings/rehearse.py
    python benchmarks/movietweetings/rehearse.py --set tokenizer.ages.half_life_days=3 --seed 1
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import data_folder, paired
from palate.baselines.recent import RecentPopular, RecentPopularConfig
from palate.data import Dataset, Part, Split, queries, split
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.foundation import FoundationModel
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.train import PretrainConfig, pretrain
from palate.words import ITEM_ID, TIMESTAMP, USER_ID

HERE = Path(__file__).parent


def rehearsal(dataset: Dataset) -> Dataset:
    """The log before its test part."""
    cuts = split(dataset).cuts
    assert cuts is not None, "a temporal split"
    events = dataset.events.filter(pl.col(TIMESTAMP) < cuts[1])
    return Dataset.from_frames(events, dataset.items, dataset.users, schema=dataset.schema)


def ndcg(scorer: Scorer, dataset: Dataset, asked: pl.DataFrame) -> NDArray[np.float64]:
    """NDCG@10 of each query."""
    found: NDArray[np.float64] = accuracy(ranks(recommend(scorer, dataset, asked), asked), (10,))["ndcg@10"]
    return found


def report(model: Scorer, dataset: Dataset, division: Split) -> None:
    """Print the model beside popular of 7 days on both parts, and apart for titles with a training event."""
    popular = RecentPopular.fit(dataset, division, RecentPopularConfig(rolling=True))
    trained = dataset.events.filter(pl.Series(division.part == Part.TRAIN))[ITEM_ID].unique()
    for part in (Part.VALIDATION, Part.TEST):
        asked = queries(dataset, division, part)
        own, other = ndcg(model, dataset, asked), ndcg(popular, dataset, asked)
        members = asked[USER_ID].rank("dense").to_numpy().astype(np.int64)
        difference = paired(own, other, members)
        known = asked[ITEM_ID].is_in(trained.implode()).to_numpy()
        print(
            f"{part.name.lower():10} NDCG@10 {own.mean():.4f}  popular of 7 days rolling {other.mean():.4f}  "
            f"difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]  "
            f"titles with training events {own[known].mean():.4f} / {other[known].mean():.4f}  "
            f"new titles {own[~known].mean():.4f} / {other[~known].mean():.4f}",
            flush=True,
        )


def settings(pairs: list[str]) -> PretrainConfig:
    """The benchmark's configuration with some settings changed, each as ``path.to.setting=value``."""
    config = PretrainConfig.from_yaml(HERE / "config.yaml").model_dump(mode="json")
    for pair in pairs:
        path, _, value = pair.partition("=")
        *rooms, name = path.split(".")
        place = config
        for room in rooms:
            place = place[room]
        place[name] = json.loads(value)
    return PretrainConfig.model_validate(config)


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], dest="pairs", metavar="SETTING=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder to keep the run in")
    given = parser.parse_args()
    dataset = rehearsal(Dataset.from_folder(data_folder("movietweetings")))
    division = split(dataset)
    work = Path(tempfile.mkdtemp(prefix="palate-rehearse-"))
    try:
        config = settings(given.pairs).model_copy(update={"seed": given.seed})
        run = pretrain(dataset, given.keep or work / "run", config)
        metrics = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
        best = metrics["training"]["best"]
        print(f"epoch {best['epoch']}: {best['value']:.4f} with ids alone; {metrics['new_items']}")
        report(FoundationModel(run).scorer(dataset), dataset, division)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
