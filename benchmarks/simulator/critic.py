"""A critic told to separate simulated members from MovieTweetings' by their statistics, and what it looks at.

    python benchmarks/simulator/critic.py [--members 3000] [--seed 0] [--json]

Three comparisons. *As it is*: all plays of the preset service. *Matched*: a service as long as MovieTweetings' log and
with as many titles; of each member and title the first play alone, thinned at random until histories are as long as
MovieTweetings' on average: what remains is like ratings. *Matched, taught*: the same, with what the critic taught put
into the settings. Gradient boosting over trees, five folds; an AUC of 0.5 means that it can't tell. Popularity is
rounded: the exact values are a fingerprint of a log. Importance is what the AUC loses when a feature is shuffled among
the members of a held-out fold. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from palate.simulate import preset, simulate

DAY = 86_400_000
ROOT = Path(__file__).parents[2]
TIMING = (
    "log10 median gap (s)", "dispersion of log gaps", "gaps < 1 min", "gaps < 1 h", "gaps < 1 day", "log10 span (days)",
    "weekend", "evening", "concentration over hours", "active days per event",
)  # fmt: skip
CHOICE = (
    "popularity percentile", "dispersion of popularity", "in top 1 %", "in top 10 %", "novelty (bits)", "title is new",
    "repeated titles",
)  # fmt: skip
LENGTH = ("log10 history",)
RELATIVE = ("quantile of popularity", "dispersion of quantiles", "title is new", "repeated titles")
"""Choice without the popularity curve: the quantile is among all plays, so that both logs have a mean of one half."""
MATCHED = {"members": 12_000, "items": 20_000, "sessions_per_day": 0.06, "activity_spread": 1.2}
"""As many titles as MovieTweetings has; members who come rarely."""
TAUGHT = {**MATCHED, "sharpness": 0.6, "quality_scale": 2.4, "row_share": 0.3, "freshness": 4.0, "promotion": 0.6}
"""A longer tail (flatter choices, fewer from rows) under a higher head (quality, news)."""


def real() -> pl.DataFrame:
    folder = Path(os.environ.get("PALATE_DATA", ROOT.parent / "shared" / "data")) / "movietweetings"
    if not folder.is_dir():
        sys.exit(f"no {folder}: set PALATE_DATA; docs/benchmarks.md says how to build the data")
    events = pl.read_parquet(folder / "events.parquet")
    return events.select("user_id", pl.col("item_id").alias("title"), pl.col("timestamp") * 1000)


def simulated(seed: int, like: pl.DataFrame | None, settings: dict[str, float]) -> pl.DataFrame:
    """Plays by title (a series is one); thinned to be like another log, if one is given."""
    changes = dict(settings)
    if like is not None:
        span = like["timestamp"].max() - like["timestamp"].min()  # type: ignore[operator]
        changes["days"] = int(span / DAY)
    simulation = simulate(preset("service", seed=seed, **changes))
    titles = simulation.items.select("item_id", pl.coalesce("group_id", "item_id").alias("title"))
    plays = simulation.events.filter(pl.col("event_type") == "play").join(titles, on="item_id")
    plays = plays.select("user_id", "title", "timestamp").sort("user_id", "timestamp")
    if like is None:
        return plays
    first = plays.unique(["user_id", "title"], keep="first", maintain_order=True)
    wanted = like.height / like["user_id"].n_unique()
    rng = np.random.default_rng(seed)
    uniform = rng.random(first.height)
    low, high = 0.0, 1.0
    for _ in range(30):  # the share kept at which those who are left have histories of the wanted length
        share = (low + high) / 2
        kept = first.filter(pl.Series(uniform < share))
        low, high = (share, high) if kept.height < wanted * kept["user_id"].n_unique() else (low, share)
    return first.filter(pl.Series(uniform < share))


def features(events: pl.DataFrame) -> pl.DataFrame:
    """One row a member."""
    events = events.sort("user_id", "timestamp")
    counts = events.group_by("title").agg(pl.len().alias("plays"), pl.col("timestamp").min().alias("appeared"))
    counts = counts.with_columns(
        percentile=pl.col("plays").rank() / pl.len(), place=pl.col("plays").rank("ordinal", descending=True) / pl.len()
    )
    counts = counts.sort("plays", "title").with_columns(
        quantile=(pl.col("plays").cum_sum() - pl.col("plays") / 2) / pl.col("plays").sum()
    )
    start = events["timestamp"].min()
    hour = pl.col("timestamp") // 3_600_000 % 24
    rows = events.join(counts, on="title", maintain_order="left").with_columns(
        gap=(pl.col("timestamp").diff().over("user_id") / 1000).clip(1),
        bits=-(pl.col("plays") / events.height).log(2),
        new=(pl.col("timestamp") - pl.col("appeared") < 14 * DAY) & (pl.col("appeared") > start + 30 * DAY),  # type: ignore[operator]
        day=pl.col("timestamp") // DAY,
        hour=hour,
    )
    log_gap = pl.col("gap").log10()
    angle = 2 * np.pi * pl.col("hour") / 24
    return rows.group_by("user_id", maintain_order=True).agg(
        log_gap.median().alias("log10 median gap (s)"),
        log_gap.std().alias("dispersion of log gaps"),
        (pl.col("gap") < 60).mean().alias("gaps < 1 min"),
        (pl.col("gap") < 3600).mean().alias("gaps < 1 h"),
        (pl.col("gap") < 86_400).mean().alias("gaps < 1 day"),
        ((pl.col("timestamp").max() - pl.col("timestamp").min()) / DAY + 0.01).log10().alias("log10 span (days)"),
        ((pl.col("day") + 3) % 7 >= 5).mean().alias("weekend"),
        pl.col("hour").is_between(18, 23).mean().alias("evening"),
        (angle.cos().mean().pow(2) + angle.sin().mean().pow(2)).sqrt().alias("concentration over hours"),
        (pl.col("day").n_unique() / pl.len()).alias("active days per event"),
        (50 * pl.col("percentile").mean()).round().truediv(50).alias("popularity percentile"),
        (50 * pl.col("percentile").std()).round().truediv(50).alias("dispersion of popularity"),
        (pl.col("place") <= 0.01).mean().alias("in top 1 %"),
        (pl.col("place") <= 0.1).mean().alias("in top 10 %"),
        (2 * pl.col("bits").mean()).round().truediv(2).alias("novelty (bits)"),
        pl.col("quantile").mean().alias("quantile of popularity"),
        pl.col("quantile").std().alias("dispersion of quantiles"),
        pl.col("new").mean().alias("title is new"),
        (1 - pl.col("title").n_unique() / pl.len()).alias("repeated titles"),
        pl.len().log10().alias("log10 history"),
    )


def judge(real_table: pl.DataFrame, made: pl.DataFrame, members: int, seed: int) -> dict[str, Any]:
    """AUC in all, by group of features, and feature by feature."""
    columns = [*TIMING, *CHOICE, *LENGTH, *RELATIVE[:2]]
    size = min(members, real_table.height, made.height)
    parts = [table.select(columns).sample(size, seed=seed, shuffle=True) for table in (real_table, made)]
    label = np.repeat([0, 1], size)
    table = pl.concat(parts, how="vertical_relaxed").to_numpy().astype(np.float64)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    trees = HistGradientBoostingClassifier(max_iter=150, random_state=seed)

    def auc(names: tuple[str, ...] | list[str]) -> float:
        some = table[:, [columns.index(name) for name in names]]
        return float(
            roc_auc_score(label, cross_val_predict(trees, some, label, cv=folds, method="predict_proba")[:, 1])
        )

    filled = np.where(np.isnan(table), np.nanmedian(table, axis=0), table)
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    linear = cross_val_predict(plain, filled, label, cv=folds, method="predict_proba")[:, 1]
    train, test = next(iter(folds.split(table, label)))
    fitted = trees.fit(table[train], label[train])
    importance = permutation_importance(
        fitted, table[test], label[test], scoring="roc_auc", n_repeats=5, random_state=seed
    ).importances_mean
    rows = []
    for place, name in enumerate(columns):
        values = filled[:, place]
        rows.append(
            {
                "feature": name,
                "importance": float(importance[place]),
                "auc alone": float(max(alone := roc_auc_score(label, values), 1 - alone)),
                "MovieTweetings": float(np.nanmedian(table[label == 0, place])),
                "simulated": float(np.nanmedian(table[label == 1, place])),
            }
        )
    return {
        "members of each": size,
        "auc": auc(columns),
        "auc, logistic regression": float(roc_auc_score(label, linear)),
        "auc by group": {
            "timing": auc(TIMING),
            "choice": auc(CHOICE),
            "choice without the curve": auc(RELATIVE),
            "length": auc(LENGTH),
            "all without the curve": auc((*TIMING, *RELATIVE, *LENGTH)),
        },
        "features": sorted(rows, key=lambda row: -row["importance"]),
    }


def lessons(found: dict[str, Any]) -> list[str]:
    """What gives the simulation away, in words: the most important features and their direction."""
    said = []
    for row in found["features"][:6]:
        if row["importance"] > 0.002:
            more = "more" if row["simulated"] > row["MovieTweetings"] else "less"
            said.append(
                f"{row['feature']}: {more} in the simulation "
                f"({row['simulated']:.3g} against {row['MovieTweetings']:.3g}; alone {row['auc alone']:.2f})"
            )
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=3000, help="members of each side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    events = real()
    known = features(events)
    found = {}
    for name, like, settings in (
        ("as it is", None, {}),
        ("matched", events, MATCHED),
        ("matched, taught", events, TAUGHT),
    ):
        made = features(simulated(given.seed, like, settings))
        # Statistics of single events say nothing: both sides need two at least.
        tables = [table.filter(pl.col("log10 history") > 0.2) for table in (known, made)]
        found[name] = judge(*tables, given.members, given.seed)
    if given.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        groups = ", ".join(f"{group} {value:.3f}" for group, value in one["auc by group"].items())
        print(f"\n{name}: AUC {one['auc']:.3f} (logistic {one['auc, logistic regression']:.3f}; {groups})")
        print(f"{'feature':28}{'importance':>11}{'alone':>8}{'real':>10}{'simulated':>11}")
        for row in one["features"]:
            print(
                f"{row['feature']:28}{row['importance']:11.3f}{row['auc alone']:8.3f}"
                f"{row['MovieTweetings']:10.3f}{row['simulated']:11.3f}"
            )
        for line in lessons(one):
            print(f"- {line}")


if __name__ == "__main__":
    main()
