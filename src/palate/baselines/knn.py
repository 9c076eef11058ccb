"""Item-kNN: items like those the member chose, by shrunk cosine. Sparse throughout, for catalogues of any size.

Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 2004; shrinkage after Bell and Koren,
"Scalable collaborative filtering with jointly derived neighborhood interpolation weights", ICDM 2007.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from pydantic import Field
from scipy import sparse
from torch import Tensor

from palate.baselines.matrix import HistoryMatrix, members_of_items, training_matrix
from palate.config import Config
from palate.data.dataset import Dataset
from palate.data.split import Split
from palate.rank.catalogue import known_items, tie_break
from palate.rank.topk import top_k

_BLOCK = 1 << 24
"""Similarities held at once: 64 MB."""


class ItemKnnConfig(Config):
    """Which neighbours an item has."""

    neighbours: int = Field(default=50, ge=1)
    """Most similar items kept for each item."""
    shrinkage: float = Field(default=10.0, ge=0)
    """Added to the denominator of the cosine, in members: rare pairs count less."""


class ItemKnn:
    """Scores an item by its summed similarity to the items of the member's whole history.

    Items without a neighbour in it follow, the most popular in training first.
    """

    def __init__(
        self,
        catalogue: pl.Series,
        histories: HistoryMatrix,
        similar: sparse.csr_array,
        popularity: Float[Tensor, " V"],
    ) -> None:
        """``similar`` [V, V] float32: row v holds the neighbours of item v. ``popularity``: training members."""
        self.catalogue = catalogue
        self._fallback = popularity / (popularity.max() + 1) - 1
        self._histories = histories
        self._to_items = sparse.csr_array(similar.T)

    @classmethod
    def fit(cls, dataset: Dataset, split: Split, config: ItemKnnConfig | None = None) -> ItemKnn:
        """Find each item's neighbours in the training events."""
        config = config or ItemKnnConfig()
        catalogue = known_items(dataset)
        X = training_matrix(dataset, split, catalogue)
        similar = neighbours(X, tie_break(catalogue), config)
        return cls(catalogue, HistoryMatrix(dataset, catalogue), similar, members_of_items(X))

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """History times similarities; below 0 for items that have no neighbour in it."""
        similarity = torch.from_numpy((self._histories.before(queries) @ self._to_items).toarray())
        return torch.where(similarity > 0, similarity, self._fallback)


def neighbours(X: sparse.csr_array, ties: torch.Tensor, config: ItemKnnConfig) -> sparse.csr_array:
    """Each item's most similar others, float32 [V, V], from the member × item matrix ``X`` of ones.

    The similarity of items i and j is |i ∩ j| / (√(|i|·|j|) + shrinkage), counted in members.
    """
    V = X.shape[1]
    by_item = sparse.csr_array(X.T)
    sizes = np.asarray(X.sum(axis=0)).ravel()
    rows = max(1, _BLOCK // V)
    parts: list[sparse.csr_array] = []
    for start in range(0, V, rows):
        stop = min(start + rows, V)
        both = (by_item[start:stop] @ X).toarray()
        both[np.arange(stop - start), np.arange(start, stop)] = 0
        norm = np.sqrt(sizes[start:stop, None] * sizes[None, :]) + config.shrinkage
        similar = torch.from_numpy(both / np.maximum(norm, 1))
        kept = top_k(similar, similar > 0, ties, min(config.neighbours, V))
        valid = kept.valid.numpy()
        place = np.nonzero(valid)[0]
        parts.append(
            sparse.csr_array(
                (kept.scores.numpy()[valid], (place, kept.indices.numpy()[valid])), shape=(stop - start, V)
            )
        )
    return sparse.csr_array(sparse.vstack(parts))
