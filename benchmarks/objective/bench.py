"""What reward weights and the correction for presentation do, measured by the simulator's truth.

Trains on the simulated service with and without each of them, and measures what is recommended at the plays of the
last 10 % of the events: NDCG@10 of the next play (of all plays, and of those in which a title is chosen), and where a
title is chosen also the expected watched share and rating of the ten items, the rank correlation with true preference,
and the partial one with exposure (see truth.py and preference.py).

Differences to the plain model are paired by query, each query's values averaged over the seeds. Their intervals are
over members, for the models that were trained; how much another seed changes stands behind them (±, the deviation of
the difference between the two models of a seed). A difference counts only where it is large against both. Run as

    python benchmarks/objective/bench.py --seeds 3 --json benchmarks/objective/metrics.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from preference import Preference
from propensity import estimated
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from truth import places, rating, watched_share

from palate.baselines.popular import Popular, PopularConfig
from palate.data import Dataset, Part, Split, queries, split
from palate.demo.oracle import LOWEST, OracleScorer
from palate.evaluate.compare import Difference, compare
from palate.evaluate.evaluation import EvaluationConfig
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.foundation import FoundationModel
from palate.model import ModelConfig, PresentationConfig
from palate.model.presentation import Presentation
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.simulate import Oracle, Simulation, preset, simulate
from palate.simulate.rows import LENGTH
from palate.tokens import PackConfig
from palate.tokens.rewards import DurationReward, RatingReward, RewardConfig
from palate.train import PretrainConfig, pretrain
from palate.train.config import OptimizerConfig
from palate.words import QUERY, USER_ID

Floats = NDArray[np.float64]
K = 10


@dataclass(frozen=True)
class Variant:
    """What a training has beyond the plain loss."""

    rewards: bool = False
    presentation: bool = False


VARIANTS = {
    "plain": Variant(),
    "rewards": Variant(rewards=True),
    "presentation": Variant(presentation=True),
    "both": Variant(rewards=True, presentation=True),
}
PLAIN = "plain"
COLUMNS = {
    "ndcg@10": "NDCG@10",
    "ndcg@10 chosen": "chosen",
    "watched share": "watched",
    "rating": "rating",
    "preference": "preference",
    "exposure": "exposure",
}


def settings(variant: Variant, seed: int, epochs: int) -> PretrainConfig:
    """The training of a variant."""
    rewards = RewardConfig(duration=DurationReward(), rating=RatingReward()) if variant.rewards else None
    model = ModelConfig(presentation=PresentationConfig() if variant.presentation else None)
    return PretrainConfig(
        seed=seed,
        epochs=epochs,
        rewards=rewards,
        model=model,
        packing=PackConfig(batch_tokens=512),
        optimizer=OptimizerConfig(learning_rate=5e-3),
    )


def propensities(model: torch.nn.Module, places: int) -> list[float] | None:
    """The propensity of each place that a model has learned, against the first; none where it learns none."""
    for module in model.modules():
        if isinstance(module, Presentation):
            found = module.log_propensities().detach().exp()[:places]
            return [round(float(value), 4) for value in found]
    return None


class PreferenceScorer:
    """True preference as a ranking: what would be recommended by who knows tastes, and nothing of the past."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.catalogue = oracle.catalogue

    def score(self, asked: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """Utilities of the items' titles."""
        return torch.from_numpy(self._oracle.relevance(asked)).clamp(min=LOWEST)


class Measure:
    """Values of each query for a scorer; NaN where a query has none."""

    def __init__(self, simulation: Simulation, dataset: Dataset, division: Split) -> None:
        self._dataset, self._truth = dataset, simulation.truth
        self.oracle = simulation.oracle()
        self.asked = queries(dataset, division, Part.TEST)
        known = self.asked.join(self._truth.plays, on=["user_id", "timestamp"], how="left", maintain_order="left")
        self.chosen = (known["begins"] == 0).to_numpy()
        self.members = self.asked[USER_ID].rank("dense").to_numpy().astype(np.int64)
        self._preference = Preference(self.oracle, dataset, division)

    def of(self, scorer: Scorer) -> dict[str, Floats]:
        """Every column of the table, ``[Q]``."""
        picks = recommend(scorer, self._dataset, self.asked, k=K)
        ndcg = accuracy(ranks(picks, self.asked), (K,))[f"ndcg@{K}"]
        chosen = self.asked.filter(pl.Series(self.chosen))
        own = picks.filter(pl.col(QUERY).is_in(chosen[QUERY].implode()))
        items = places(self._truth, own, chosen, K)
        some = self._preference.measure(scorer, chosen)
        some |= {
            "watched share": np.nanmean(watched_share(self._truth, chosen, items), axis=1),
            "rating": np.nanmean(rating(self._truth, chosen, items), axis=1),
        }
        result = {"ndcg@10": ndcg, "ndcg@10 chosen": np.where(self.chosen, ndcg, np.nan)}
        for name, values in some.items():
            result[name] = np.full(len(self.asked), np.nan)
            result[name][self.chosen] = values
        return result

    def differences(self, values: Mapping[str, Floats], others: Mapping[str, Floats]) -> dict[str, Difference]:
        """Paired differences, each over the queries that both have a value of."""
        config = EvaluationConfig()
        result = {}
        for name in values:
            both = ~np.isnan(values[name]) & ~np.isnan(others[name])
            result |= compare(
                {name: values[name][both]},
                {name: others[name][both]},
                self.members[both],
                resamples=config.resamples,
                flips=config.flips,
                confidence=config.confidence,
                seed=config.seed,
            )
        return result


def trained(dataset: Dataset, config: PretrainConfig, measure: Measure) -> tuple[dict[str, Floats], list[float] | None]:
    """Values of each query after a training, and the propensities that it learned."""
    work = Path(tempfile.mkdtemp(prefix="palate-objective-"))
    try:
        run = pretrain(dataset, work / "run", config)
        model = FoundationModel(run)
        return measure.of(model.scorer(dataset)), propensities(model.run.model, LENGTH)
    finally:
        shutil.rmtree(work)


def mean_of(runs: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Each query's mean over runs."""
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}


def between_seeds(runs: list[dict[str, Floats]], others: list[dict[str, Floats]]) -> dict[str, float | None]:
    """Deviation over seeds of the difference of the means; none for a single seed."""
    pairs = list(zip(runs, others, strict=True))
    if len(pairs) < 2:
        return dict.fromkeys(runs[0])
    return {
        name: float(np.std([np.nanmean(run[name]) - np.nanmean(other[name]) for run, other in pairs], ddof=1))
        for name in runs[0]
    }


def row(name: str, runs: list[dict[str, Floats]]) -> dict[str, object]:
    """A scorer's figures: means over queries and seeds, and the deviation between seeds."""
    means = {key: [float(np.nanmean(run[key])) for run in runs] for key in runs[0]}
    return {
        "scorer": name,
        "seeds": len(runs),
        "mean": {key: float(np.mean(each)) for key, each in means.items()},
        "deviation": {key: float(np.std(each)) for key, each in means.items()},
    }


def main() -> None:
    """Print the tables; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service"])
    parser.add_argument("--simulation-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=PretrainConfig().epochs)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    simulation = simulate(preset(given.preset, seed=given.simulation_seed))
    dataset = Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=simulation.schema)
    division = split(dataset)
    measure = Measure(simulation, dataset, division)
    print(f"{len(measure.asked):,} plays, {int(measure.chosen.sum()):,} chosen", file=sys.stderr, flush=True)

    references: dict[str, Scorer] = {
        "oracle (knows the latent state)": OracleScorer(measure.oracle, dataset.events),
        "true preference": PreferenceScorer(measure.oracle),
        "popular": Popular.fit(dataset, division, PopularConfig(rolling=True)),
    }
    rows = [row(name, [measure.of(scorer)]) for name, scorer in references.items()]
    found: dict[str, list[dict[str, Floats]]] = {}
    learned: dict[str, list[list[float]]] = {}
    for name in given.variants:
        for seed in range(given.seeds):
            values, places_of_rows = trained(dataset, settings(VARIANTS[name], seed, given.epochs), measure)
            found.setdefault(name, []).append(values)
            if places_of_rows is not None:
                learned.setdefault(name, []).append(places_of_rows)
            print(name, seed, row(name, [values])["mean"], file=sys.stderr, flush=True)
    rows += [row(name, runs) for name, runs in found.items()]
    differences: dict[str, dict[str, dict[str, float | None]]] = {}
    if PLAIN in found:
        plain = mean_of(found[PLAIN])
        for name, runs in found.items():
            if name != PLAIN:
                spread = between_seeds(runs, found[PLAIN])
                paired = measure.differences(mean_of(runs), plain)
                differences[name] = {key: {**each.model_dump(), "spread": spread[key]} for key, each in paired.items()}
    truly = {"truth": [round(float(value), 4) for value in simulation.truth.arrays["propensity"]]}
    truly |= estimated(measure.oracle, dataset.events.filter(pl.Series(division.part == Part.TRAIN)))
    if given.json is not None:
        content = {
            "simulation": simulation.config.model_dump(),
            "epochs": given.epochs,
            "queries": {"all": len(measure.asked), "chosen": int(measure.chosen.sum())},
            "rows": rows,
            "minus plain": differences,
            "propensities": {"references": truly, "learned": learned},
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _show(rows, differences, truly, learned)


def _show(
    rows: list[dict[str, object]],
    differences: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    truly: Mapping[str, list[float]],
    learned: Mapping[str, list[list[float]]],
) -> None:
    console = Console(width=140)
    table = Table(title="means over queries and seeds", box=box.SIMPLE_HEAD)
    for title in ("scorer", *COLUMNS.values()):
        table.add_column(title, justify="left" if title == "scorer" else "right")
    for each in rows:
        mean, deviation = each["mean"], each["deviation"]
        assert isinstance(mean, dict)
        assert isinstance(deviation, dict)
        many = each["seeds"] != 1
        cells = [f"{mean[key]:.4f}" + (f" ± {deviation[key]:.4f}" if many else "") for key in COLUMNS]
        table.add_row(str(each["scorer"]), *cells)
    console.print(table)
    if differences:
        title = "minus plain (95 % interval over members) ± deviation between seeds"
        table = Table(title=title, box=box.SIMPLE_HEAD)
        for name in ("figure", *differences):
            table.add_column(name, justify="left" if name == "figure" else "right")
        for key, name in COLUMNS.items():
            table.add_row(name, *(_interval(of[key]) for of in differences.values()))
        console.print(table)
    print("propensities of places")
    of_models = {f"{name}, seed {seed}": values for name, of in learned.items() for seed, values in enumerate(of)}
    for name, values in {**truly, **of_models}.items():
        print(f"  {name:24}" + " ".join(f"{value:.2f}" for value in values))


def _interval(found: Mapping[str, float | None]) -> str:
    text = f"{found['value']:+.4f}"
    if found["low"] is not None:
        text += f" ({found['low']:+.4f}, {found['high']:+.4f})"
    return text if found["spread"] is None else f"{text} ± {found['spread']:.4f}"


if __name__ == "__main__":
    main()
