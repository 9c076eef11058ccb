"""How a ranking agrees with what members truly like, apart from what they were shown.

The truth is `palate.simulate.Oracle.relevance`: the utility of each title at the query's moment, without rows, places,
and the member's past. Scores are those of the next play, which know what a member is in the middle of or through with;
so a query is about the titles that had launched, that training knows, and of which the member had played nothing. A
title's score is the highest among its items.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from palate.data import Dataset, Part, Split
from palate.rank.catalogue import codes
from palate.rank.history import Histories
from palate.rank.scorer import Scorer
from palate.simulate import Oracle
from palate.simulate.context import INTENTS
from palate.simulate.world import DAY, START
from palate.words import EVENT_TYPE, ITEM_ID

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_BATCH = 512
_LEAST_TITLES = 10


class Preference:
    """Compares scores with the true preference, title by title; G titles."""

    def __init__(self, oracle: Oracle, dataset: Dataset, division: Split) -> None:
        truth = oracle.truth
        self._oracle = oracle
        self._title = truth.items["title"].to_numpy()
        self._first = truth.titles["first"].to_numpy()
        self._histories = Histories(dataset)
        plays = (dataset.events[EVENT_TYPE] == "play").to_numpy()
        items = codes(dataset.events[ITEM_ID], truth.items[ITEM_ID])
        self._played = np.where(plays, self._title[items], -1)
        train = division.part == Part.TRAIN
        self._trained = np.zeros(len(self._title), dtype=np.bool_)
        self._trained[items[train]] = True
        assert division.cuts is not None, "a temporal split"
        self.exposure = exposure(oracle, days=max((division.cuts[0] // 1000 - START) // DAY, 1))

    def measure(self, scorer: Scorer, queries: pl.DataFrame) -> dict[str, Floats]:
        """Rank correlations of each query, ``[Q]``, NaN where fewer than ten titles are left.

        ``preference``: Spearman's, of scores and truth. ``exposure``: the partial one of scores and exposure, given the
        truth: above 0 where titles score higher for having been shown.
        """
        found = [self._batch(scorer, queries[start : start + _BATCH]) for start in range(0, len(queries), _BATCH)]
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def _batch(self, scorer: Scorer, queries: pl.DataFrame) -> dict[str, Floats]:
        relevance = self._oracle.relevance(queries)
        columns = codes(self._oracle.catalogue, scorer.catalogue)
        scored = (columns >= 0) & self._trained
        scores = scorer.score(queries).numpy()[:, columns]
        scores = np.where(scored & np.isfinite(relevance), scores, -np.inf)
        by_title = np.maximum.reduceat(scores, self._first, axis=1)
        usable = np.isfinite(by_title)
        earlier = self._histories.before(queries)
        played = self._played[earlier.row]
        usable[earlier.query[played >= 0], played[played >= 0]] = False
        enough = usable.sum(axis=1) >= _LEAST_TITLES
        true = relevance[:, self._first]
        shown = np.broadcast_to(self.exposure, true.shape)
        agreement = spearman(by_title, true, usable)
        partial = partial_correlation(agreement, spearman(by_title, shown, usable), spearman(true, shown, usable))
        return {
            "preference": np.where(enough, agreement, np.nan),
            "exposure": np.where(enough, partial, np.nan),
        }


def exposure(oracle: Oracle, days: int) -> Floats:
    """How much each title was looked at in rows on the first ``days`` days, ``[G]``.

    The sum of the propensities of its places; a row counts by how often sessions turn to it.
    """
    arrays, truth = oracle.truth.arrays, oracle.truth
    names = list(INTENTS)
    intent = truth.sessions["intent"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    shares = arrays["row_shares"][intent].mean(axis=0)
    rows = arrays["rows"][:days]
    weights = np.broadcast_to(shares[:, None] * arrays["propensity"], rows.shape)
    return np.bincount(rows.ravel(), weights=weights.ravel(), minlength=truth.titles.height)


def spearman(left: Floats, right: Floats, usable: Bools) -> Floats:
    """Rank correlation of each row over its ``usable`` columns, ``[Q]``; equal values share the mean rank; 0 where one
    side is all alike."""
    a, b = _centred_ranks(left, usable), _centred_ranks(right, usable)
    norm = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.where(norm > 0, (a * b).sum(axis=1) / np.where(norm > 0, norm, 1.0), 0.0)


def partial_correlation(xy: Floats, xz: Floats, yz: Floats) -> Floats:
    """Correlation of x and z given y, from the three pairwise ones; 0 where y determines x or z."""
    left = (1 - xy**2) * (1 - yz**2)
    return np.where(left > 1e-9, (xz - xy * yz) / np.sqrt(np.where(left > 1e-9, left, 1.0)), 0.0)


def _centred_ranks(values: Floats, usable: Bools) -> Floats:
    """Ranks among the usable columns less their mean; 0 elsewhere."""
    if not values.size:
        return np.zeros(values.shape)
    number = usable.sum(axis=1, keepdims=True)
    ranks = rankdata(np.where(usable, values, -np.inf), axis=1) - (usable.shape[1] - number)
    return np.where(usable, ranks - (number + 1) / 2, 0.0)
