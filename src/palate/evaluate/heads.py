"""Whether heads are right: against what the target was, and against who only knows how often each class occurs.

A head is *right* where its most probable class is one of the target's own. Its log loss is the mean over the target's
own values of -ln p. The *majority* is the class that most training targets have. The *prior* is the share of each
class among the training targets, where one with several values counts a part for each, and one is added to each class.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from palate.evaluate.evaluation import EvaluationConfig, HeadResult
from palate.evaluate.intervals import estimates
from palate.words import QUERY, USER_ID


def head_results(
    outcomes: pl.DataFrame, training: pl.DataFrame, targets: pl.DataFrame, config: EvaluationConfig | None = None
) -> dict[str, HeadResult]:
    """The figures of each head, over those ``targets`` (a table of `palate.data.queries`) that have a value in it.

    ``outcomes`` has ``query``, ``head``, ``value``, ``log_probability``, ``predicted``: a row for each value that a
    target has. ``training`` has ``head``, ``value``, ``name``, ``targets``, the number of training targets with that
    value, and ``share``, the same in parts: a row for each class. A head whose targets have no value is left out.
    """
    config = config or EvaluationConfig()
    classes = training.with_columns(
        prior=((pl.col("share") + 1) / (pl.col("share") + 1).sum().over("head")).log(),
        majority=pl.int_range(pl.len()).over("head") == pl.col("targets").arg_max().over("head"),
    )
    figures = (
        outcomes.join(classes.select("head", "value", "prior", "majority"), on=["head", "value"], how="left")
        .group_by("head", QUERY, maintain_order=True)
        .agg(
            (pl.col("value") == pl.col("predicted")).any().cast(pl.Float64).alias("accuracy"),
            pl.col("majority").any().cast(pl.Float64).alias("majority_accuracy"),
            -pl.col("log_probability").mean().alias("log_loss"),
            -pl.col("prior").mean().alias("prior_log_loss"),
        )
        .join(targets.select(QUERY, USER_ID), on=QUERY, how="left", maintain_order="left")
    )
    names = ("accuracy", "majority_accuracy", "log_loss", "prior_log_loss")
    found: dict[str, HeadResult] = {}
    for head, own in classes.group_by("head", maintain_order=True):
        rows = figures.filter(pl.col("head") == head[0])
        if not rows.height:
            continue
        members = rows[USER_ID].rank("dense").to_numpy().astype(np.int64)
        measured = estimates(
            {name: rows[name].to_numpy() for name in names},
            members,
            resamples=config.resamples,
            confidence=config.confidence,
            seed=config.seed,
        )
        found[str(head[0])] = HeadResult(
            targets=rows.height,
            classes=own.height,
            majority=own.filter("majority")["name"][0],
            **measured,
        )
    return found
