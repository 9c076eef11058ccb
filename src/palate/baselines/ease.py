"""EASE: a linear auto-encoder over items, in closed form, for catalogues of some thousand items.

Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. The item × item weights are dense.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from jaxtyping import Float
from pydantic import Field
from scipy.linalg import lapack
from torch import Tensor

from palate.baselines.matrix import HistoryMatrix, members_of_items, training_matrix
from palate.baselines.select import best_on_validation
from palate.config import Config
from palate.data.dataset import Dataset
from palate.data.split import Split
from palate.rank.catalogue import known_items


class EaseConfig(Config):
    """The strength of regularisation."""

    l2: tuple[float, ...] = Field(default=(100.0, 300.0, 1000.0), min_length=1)
    """λ of equation 2; of several, the one with the highest validation NDCG@10 is taken."""
    validation_targets: int = Field(default=2000, ge=1)
    """Validation targets to choose by, at most."""


class Ease:
    """Scores an item by the summed weights from the items of the member's whole history.

    Members without a history in the training catalogue get the most popular items in training.
    """

    def __init__(
        self,
        catalogue: pl.Series,
        histories: HistoryMatrix,
        weights: npt.NDArray[np.float32],
        columns: npt.NDArray[np.int64],
        popularity: Float[Tensor, " V"],
        l2: float,
    ) -> None:
        """``weights`` [N, N] is B of the paper over the N catalogue ``columns`` that have training events."""
        self.catalogue = catalogue
        self._popularity = popularity
        self.l2 = l2
        self._histories = histories
        self._weights = weights
        self._columns = columns

    @classmethod
    def fit(cls, dataset: Dataset, split: Split, config: EaseConfig | None = None) -> Ease:
        """Solve for the item weights; needs about `memory_bytes` of the number of items with training events."""
        config = config or EaseConfig()
        catalogue = known_items(dataset)
        X = training_matrix(dataset, split, catalogue)
        popularity = members_of_items(X)
        columns = np.flatnonzero(popularity.numpy())  # the others have all weights zero
        X = X[:, columns]
        gram = (X.T @ X).toarray()
        histories = HistoryMatrix(dataset, catalogue)
        return best_on_validation(
            config.l2,
            lambda l2: cls(catalogue, histories, item_weights(gram, l2), columns, popularity, l2),
            dataset,
            split,
            catalogue=catalogue,
            at_most=config.validation_targets,
        )

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """History times weights; 0 for items without training events."""
        history = self._histories.before(queries)[:, self._columns]
        scores = torch.zeros(len(queries), len(self.catalogue))
        scores[:, torch.from_numpy(self._columns)] = torch.from_numpy(history @ self._weights)
        scores[torch.from_numpy(history.sum(axis=1) == 0)] = self._popularity
        return scores


def item_weights(gram: npt.NDArray[np.float32], l2: float) -> npt.NDArray[np.float32]:
    """B = I − P·diag(1/P_jj) with P = (XᵀX + λI)⁻¹ (equation 8), from XᵀX [N, N]; its diagonal is 0."""
    P = np.asfortranarray(gram, dtype=np.float64)
    P[np.diag_indices_from(P)] += l2
    P, failed = lapack.dpotrf(P, lower=1, overwrite_a=1)
    assert failed == 0, "XᵀX + λI is positive definite for λ > 0"
    P, failed = lapack.dpotri(P, lower=1, overwrite_c=1)
    assert failed == 0, "a Cholesky factor can be inverted"
    P = np.tril(P) + np.tril(P, -1).T
    weights = (P / -np.diag(P)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return np.ascontiguousarray(weights)


def memory_bytes(items: int) -> int:
    """The most that fitting holds at once: three float64 and four float32 matrices of items × items."""
    return 40 * items * items
