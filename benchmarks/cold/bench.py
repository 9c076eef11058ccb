"""New titles: a tenth of them hidden from training, then ranked for the members who chose them.

A hidden title (a series with all its episodes, where there are series) has no event in training, in validation or in
any history: it has no views, and is known by its row of the items table alone. Its test events ask for it, ranked (a)
among the hidden titles and (b) among all candidates, by the full model, by content-kNN and by popularity, which knows
nothing of it: its order among hidden titles is arbitrary. Content-kNN comes twice: with settings chosen on all
validation targets, and with those chosen by rehearsals, in which other titles are hidden and validation targets ask for
them. Each seed draws titles of its own, and the targets of all draws are counted together. Besides, (c): what metadata
do to all other targets, against the same model without them. Run as

    python benchmarks/cold/bench.py service --json benchmarks/cold/service.json
    python benchmarks/cold/bench.py ml-1m --json benchmarks/cold/ml-1m.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from blind import Blind, Floats, figures
from hide import Hidden
from rehearse import rehearsed

from common import SERVICE, data_folder, service
from palate.baselines.content import ContentKnn
from palate.baselines.popular import Popular
from palate.data import Dataset
from palate.evaluate.compare import compare
from palate.evaluate.intervals import estimates
from palate.foundation import FoundationModel
from palate.model import ModelConfig, TowerConfig
from palate.rank.catalogue import known_items
from palate.rank.scorer import Scorer
from palate.train import PretrainConfig, pretrain
from palate.train.log import WholeLog
from palate.words import USER_ID

ROOT = Path(__file__).parents[1]
UNCERTAINTY = {"resamples": 1000, "confidence": 0.95, "seed": 0}
SIMULATED = ("service", "tiny")
FULL, IDS = "full model", "ids alone"
Figures = dict[str, dict[str, Floats]]
"""Ranking → metric → value of each target."""


def settings(data: str, *, metadata: bool) -> PretrainConfig:
    """The training of a model with or without metadata."""
    tower = TowerConfig(metadata=metadata)
    if data in SIMULATED:
        return SERVICE.model_copy(update={"model": ModelConfig(tower=tower)})
    config = PretrainConfig.from_yaml(ROOT / data.replace("-", "") / "config.yaml")
    return config.model_copy(update={"model": ModelConfig(encoder=config.model.encoder, tower=tower)})


def read(data: str) -> Dataset:
    """The simulated service, or a data set of PALATE_DATA."""
    return service(data)[1] if data in SIMULATED else Dataset.from_folder(data_folder(data))


def measured(hidden: Hidden, scorer_of: Callable[[Dataset], Scorer]) -> Figures:
    """(a) and (b) of hidden targets, (c) of the others, which are ranked among what is not hidden."""
    scorer = Blind(hidden, scorer_of)
    known = known_items(hidden.dataset)
    others = known.filter(~known.is_in(hidden.items.implode()))
    return {
        "among hidden": figures(scorer, hidden, hidden.hidden_targets, hidden.items),
        "among all": figures(scorer, hidden, hidden.hidden_targets, known),
        "other targets": figures(scorer, hidden, hidden.known_targets, others),
    }


def trained(hidden: Hidden, config: PretrainConfig, folder: Path) -> Figures:
    """Train without the hidden titles, or go on with the training at ``folder``, and measure."""
    model = FoundationModel(pretrain(WholeLog(*hidden.log), folder, config, resume=True))
    learned = model.run.tokenizer.items.values
    assert not learned.is_in(hidden.items.implode()).any(), f"{folder} was trained on titles that are hidden now"
    return measured(hidden, model.scorer)


def joined(runs: list[Figures]) -> Figures:
    """The targets of all draws, one after the other."""
    return {
        ranking: {name: np.concatenate([run[ranking][name] for run in runs]) for name in runs[0][ranking]}
        for ranking in runs[0]
    }


def members(draws: list[Hidden], ranking: str) -> NDArray[np.int64]:
    """The member of each target, in the order of `joined`."""
    asked = [each.known_targets if ranking == "other targets" else each.hidden_targets for each in draws]
    found: NDArray[np.int64] = pl.concat(each[USER_ID] for each in asked).rank("dense").to_numpy().astype(np.int64)
    return found


def against(one: Figures, other: Figures, ranking: str, draws: list[Hidden]) -> dict[str, Any]:
    """Paired differences with intervals over members, and ratios."""
    found = compare(one[ranking], other[ranking], members(draws, ranking), flips=10_000, **UNCERTAINTY)
    means = {name: (float(one[ranking][name].mean()), float(other[ranking][name].mean())) for name in found}
    return {
        name: difference.model_dump() | {"ratio": means[name][0] / means[name][1] if means[name][1] else None}
        for name, difference in found.items()
    }


def summary(values: Figures, draws: list[Hidden]) -> dict[str, Any]:
    """Means with their intervals."""
    found: dict[str, Any] = {}
    for ranking, metrics in values.items():
        estimated = estimates(metrics, members(draws, ranking), **UNCERTAINTY)
        found[ranking] = {name: each.model_dump() for name, each in estimated.items()}
    return found


def of_draw(hidden: Hidden, data: str, share: float, changes: dict[str, int], runs: Path) -> dict[str, Figures]:
    """The figures of every scorer for one list of hidden titles; the trainings are kept in ``runs``."""
    dataset, division = hidden.log
    popular = Popular.fit(dataset, division)
    results = {
        "content-kNN": measured(hidden, ContentKnn.fit(dataset, division).on),
        "content-kNN, rehearsed": measured(hidden, rehearsed(hidden, share).on),
        "popular": measured(hidden, lambda _: popular),
    }
    for name, metadata in ((FULL, True), (IDS, False)):
        config = settings(data, metadata=metadata).model_copy(update=changes)
        folder = runs / f"{data}, {name}, draw {config.seed} of {share:g}, {config.epochs} epochs"
        results[name] = trained(hidden, config, folder)
    print({name: _brief(each) for name, each in results.items()}, file=sys.stderr, flush=True)
    return results


def bench(data: str, share: float, seeds: list[int], epochs: int | None, folder: Path) -> dict[str, Any]:
    """Everything, as one JSON object; trainings are kept in ``folder``."""
    dataset = read(data)
    draws = [Hidden.draw(dataset, share=share, seed=seed) for seed in seeds]
    runs = []
    for seed, hidden in zip(seeds, draws, strict=True):
        changes = {"seed": seed} | ({} if epochs is None else {"epochs": epochs})
        runs.append(of_draw(hidden, data, share, changes, folder))
    results = {name: joined([run[name] for run in runs]) for name in runs[0]}
    return {
        "data": data,
        "share": share,
        "items": len(known_items(dataset)),
        "hidden_items": [len(each.items) for each in draws],
        "hidden_targets": len(members(draws, "among hidden")),
        "other_targets": len(members(draws, "other targets")),
        "seeds": seeds,
        "epochs": epochs,
        "by draw": [{name: _brief(each) for name, each in run.items()} for run in runs],
        "figures": {name: summary(values, draws) for name, values in results.items()},
        "full model minus": {
            name: {
                ranking: against(results[FULL], results[name], ranking, draws)
                for ranking in ("among hidden", "among all")
            }
            for name in ("content-kNN", "content-kNN, rehearsed")
        },
        "full model - ids alone": against(results[FULL], results[IDS], "other targets", draws),
    }


def _brief(values: Figures) -> dict[str, float]:
    return {ranking: round(float(each["ndcg@10"].mean()), 4) for ranking, each in values.items()}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    for ranking in ("among hidden", "among all", "other targets"):
        count = result["other_targets" if ranking == "other targets" else "hidden_targets"]
        table = Table(title=f"{result['data']}: {ranking}, {count:,} targets", box=box.SIMPLE_HEAD)
        for column in ("", "NDCG@10", "HR@10", "MRR"):
            table.add_column(column, justify="right" if column else "left")
        for name, values in result["figures"].items():
            cells = [values[ranking][metric] for metric in ("ndcg@10", "hr@10", "mrr")]
            table.add_row(name, *(f"{c['value']:.4f} [{c['low']:.4f}, {c['high']:.4f}]" for c in cells))
        Console().print(table)
    for name, rankings in result["full model minus"].items():
        for ranking, found in rankings.items():
            print(f"full model - {name}, {ranking}: {_said(found['ndcg@10'])}")
    print(f"full model - ids alone, other targets: {_said(result['full model - ids alone']['ndcg@10'])}")


def _said(difference: dict[str, float | None]) -> str:
    low, high = (f"{difference[end]:+.4f}" for end in ("low", "high"))
    ratio = difference["ratio"]
    return f"NDCG@10 {difference['value']:+.4f} [{low}, {high}], ratio {'-' if ratio is None else f'{ratio:.2f}'}"


def main() -> None:
    """Print the tables; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="service, tiny, or a data set of PALATE_DATA such as ml-1m")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="draws of hidden titles, each with trainings of its own"
    )
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--share", type=float, default=0.1, help="share of the titles that are hidden")
    parser.add_argument("--runs", type=Path, default=None, help="where trainings are kept, and gone on with next time")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        runs = given.runs
        if runs is None:
            runs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="palate-cold-")))
        result = bench(given.data, given.share, given.seeds, given.epochs, runs)
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result)


if __name__ == "__main__":
    main()
