"""Transitions: what followed the member's last item, in everybody's training events. A Markov chain of the first order.

It knows nothing but order, which counting baselines don't: the next episode, the next album side, the refill.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from palate.baselines.matrix import target_columns
from palate.data.dataset import Dataset
from palate.data.split import Part, Split
from palate.rank.catalogue import known_items
from palate.rank.history import Histories


class Transitions:
    """Scores an item by how often it was the next target after the last one of the member's history.

    Equal counts, and items that never followed, come in the order of training popularity.
    """

    def __init__(
        self,
        dataset: Dataset,
        catalogue: pl.Series,
        followers: sparse.csr_array,
        popularity: Float[Tensor, " V"],
    ) -> None:
        """``followers`` [V, V] float32: row v counts what came after item v. ``popularity``: training targets."""
        self.catalogue = catalogue
        self._histories = Histories(dataset)
        self._columns = target_columns(dataset, catalogue)
        self._followers = followers
        self._popularity = popularity / (popularity.max() + 1)

    @classmethod
    def fit(cls, dataset: Dataset, split: Split) -> Transitions:
        """Count the neighbouring training targets of each member."""
        catalogue = known_items(dataset)
        columns = target_columns(dataset, catalogue)
        keep = (split.part == Part.TRAIN) & (columns >= 0)
        starts = dataset.member_starts
        member = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(columns))))[keep]
        column = columns[keep]
        same = member[1:] == member[:-1]
        V = len(catalogue)
        pairs = (np.ones(int(same.sum()), np.float32), (column[:-1][same], column[1:][same]))
        popularity = np.bincount(column, minlength=V).astype(np.float32)
        return cls(dataset, catalogue, sparse.csr_array(pairs, shape=(V, V)), torch.from_numpy(popularity))

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """Counts after the last target item, and popularity below 1."""
        earlier = self._histories.before(queries)
        columns = self._columns[earlier.row]
        known = columns >= 0
        last = np.full(len(queries), -1)
        last[earlier.query[known]] = columns[known]  # ascending within a query: the last one stays
        scores = self._popularity.repeat(len(queries), 1)
        has = last >= 0
        scores[torch.from_numpy(has)] += torch.from_numpy(self._followers[last[has]].toarray())
        return scores
