"""Choosing a setting of a baseline by what it gets on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import polars as pl

from palate.data.dataset import Dataset
from palate.data.split import Part, Split, queries
from palate.errors import ConfigError
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.candidates import Candidates
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer

S = TypeVar("S", bound=Scorer)


def best_on_validation(
    settings: Sequence[float],
    build: Callable[[float], S],
    dataset: Dataset,
    split: Split,
    *,
    catalogue: pl.Series,
    at_most: int,
) -> S:
    """The scorer of the setting with the highest validation NDCG@10, the first of equals.

    Looks at up to ``at_most`` validation targets, evenly spaced. With a single setting nothing is looked at.
    Raises `ConfigError` when there are several and no validation targets.
    """
    if len(settings) == 1:
        return build(settings[0])
    targets = queries(dataset, split, Part.VALIDATION)
    if len(targets) == 0:
        raise ConfigError(
            f"nothing to choose by among {list(settings)}: the split has no validation targets",
            hint="give a single setting, or another split",
        )
    if len(targets) > at_most:
        targets = targets[np.linspace(0, len(targets) - 1, at_most).astype(np.int64)]
    candidates = Candidates(dataset, catalogue)
    best: tuple[float, S] | None = None
    for setting in settings:
        scorer = build(setting)
        table = recommend(scorer, dataset, targets, k=10, candidates=candidates)
        figure = float(accuracy(ranks(table, targets), (10,))["ndcg@10"].mean())
        if best is None or figure > best[0]:
            best = (figure, scorer)
    assert best is not None
    return best[1]
