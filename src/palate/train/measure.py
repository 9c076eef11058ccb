"""Measuring a scorer on one part of a dataset: rank the whole catalogue, then hand the tables to `palate.evaluate`."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from palate.data import Dataset, Part, Split, queries
from palate.evaluate.evaluate import evaluate
from palate.evaluate.evaluation import Evaluation, EvaluationConfig
from palate.evaluate.heads import head_results
from palate.rank.ahead_scorer import AheadScorer
from palate.rank.model_scorer import ModelScorer
from palate.rank.predictions import head_tables
from palate.rank.recommend import Progress, recommend
from palate.rank.scorer import Scorer


def measure(
    scorer: Scorer,
    dataset: Dataset,
    division: Split,
    part: Part,
    *,
    config: EvaluationConfig | None = None,
    baselines: Mapping[str, Scorer] | None = None,
    compare_with: Mapping[str, Scorer] | None = None,
    progress: Progress | None = None,
    popularity: pl.DataFrame | None = None,
    asked: pl.DataFrame | None = None,
) -> Evaluation | None:
    """Figures of ``scorer`` on the targets of ``part``, those of other scorers beside; none where it has no target.

    Of a model they include those of its heads. ``asked`` are some of the part's `queries`; all of them if not given.

    ``popularity`` is that of the whole log, where ``dataset`` holds some of its members.
    """
    asked = queries(dataset, division, part) if asked is None else asked
    if not len(asked):
        return None
    config = config or EvaluationConfig()

    def ranked(which: Scorer) -> pl.DataFrame:
        return recommend(which, dataset, asked, k=max(config.cutoffs), progress=progress)

    found = evaluate(
        ranked(scorer),
        asked,
        dataset,
        division,
        part,
        config=config,
        baselines={name: ranked(each) for name, each in (baselines or {}).items()},
        compare_with={name: ranked(each) for name, each in (compare_with or {}).items()},
        popularity=popularity,
        horizon=scorer.horizon if isinstance(scorer, AheadScorer) else 1,
    )
    if not isinstance(scorer, ModelScorer) or scorer.model.intents is None:
        return found
    tables = head_tables(scorer, division, asked)
    return found.model_copy(update={"heads": head_results(tables.outcomes, tables.training, asked, config)})
