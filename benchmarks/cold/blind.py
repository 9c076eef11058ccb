"""Scorers that see no event of a hidden title, and rankings among some of the items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from hide import Hidden
from numpy.typing import NDArray
from torch import Tensor

from palate.data import Dataset
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.candidates import Candidates
from palate.rank.catalogue import codes, known_items
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.words import QUERY

Floats = NDArray[np.float64]


class Blind:
    """Answers questions of the whole log from logs without hidden events; each question in its round."""

    def __init__(self, hidden: Hidden, scorer_of: Callable[[Dataset], Scorer]) -> None:
        """``scorer_of`` gives the scorer of a dataset."""
        self._hidden = hidden
        self._scorer_of = scorer_of
        self._scorers: dict[int, tuple[Scorer, NDArray[np.int64]]] = {}
        known = known_items(hidden.dataset)
        own = self._round(0)[0].catalogue
        self.catalogue = own.filter(own.is_in(known.implode()))

    def score(self, queries: pl.DataFrame) -> Tensor:
        """The scores [Q, V] of each question."""
        rounds = self._hidden.round_of_row[queries[QUERY].to_numpy()]
        assert (rounds >= 0).all(), "a hidden event that is no test target"
        scores = torch.empty(len(queries), len(self.catalogue))
        for number in np.unique(rounds):
            scorer, row = self._round(int(number))
            columns = codes(self.catalogue, scorer.catalogue).copy()
            assert (columns >= 0).all(), "the scorer knows fewer items in this round"
            asked = queries.filter(pl.Series(rounds == number))
            asked = asked.with_columns(pl.Series(QUERY, row[asked[QUERY].to_numpy()]))
            scores[torch.from_numpy(rounds == number)] = scorer.score(asked)[:, torch.from_numpy(columns)]
        return scores

    def _round(self, number: int) -> tuple[Scorer, NDArray[np.int64]]:
        if number not in self._scorers:
            dataset, row = self._hidden.round(number)
            self._scorers[number] = self._scorer_of(dataset), row
        return self._scorers[number]


class Among(Candidates):
    """The candidates of the whole log, of which only some items count."""

    def __init__(self, dataset: Dataset, catalogue: pl.Series, items: pl.Series) -> None:
        super().__init__(dataset, catalogue)
        self._among = torch.from_numpy(catalogue.is_in(items.implode()).to_numpy().copy())

    def mask(self, queries: pl.DataFrame) -> Tensor:
        """True where item v is a candidate and counts."""
        return super().mask(queries) & self._among


def figures(scorer: Blind, hidden: Hidden, targets: pl.DataFrame, among: pl.Series) -> dict[str, Floats]:
    """NDCG@10, HR@10 and MRR (of the whole ranking) of each target [Q], ranked among some items."""
    candidates = Among(hidden.dataset, scorer.catalogue, among)
    whole = len(scorer.catalogue)
    table = recommend(scorer, hidden.dataset, targets, k=min(whole, len(among)), candidates=candidates)
    found = accuracy(ranks(table, targets), (10, whole))
    return {"ndcg@10": found["ndcg@10"], "hr@10": found["hr@10"], "mrr": found[f"mrr@{whole}"]}
