"""Accuracy of each query's ranking, from the rank of its one target.

With one target a query, and r its rank (a miss counts as r = ∞):

- HR@k = 1 if r ≤ k, else 0. It equals recall@k.
- NDCG@k = 1 / log2(1 + r) if r ≤ k, else 0 (Järvelin and Kekäläinen 2002; the ideal ranking has the target first,
  so that the ideal gain is 1).
- MRR@k = 1 / r if r ≤ k, else 0.

The metric of a table is the mean over queries.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.words import RANK

Floats = npt.NDArray[np.float64]

ACCURACY = ("ndcg", "hr", "mrr")
"""The metrics of this file; a figure is named ``metric@k``."""


def accuracy(ranked: pl.DataFrame, cutoffs: tuple[int, ...]) -> dict[str, Floats]:
    """Every query's value of each metric at each cut-off, keyed ``ndcg@10``; arrays [n_queries].

    ``ranked`` is the table of `palate.evaluate.ranks.ranks`.
    """
    rank = ranked[RANK].cast(pl.Float64).fill_null(np.inf).to_numpy()
    gains = {
        "ndcg": 1 / np.log2(1 + rank),
        "hr": np.ones_like(rank),
        "mrr": 1 / rank,
    }
    return {f"{name}@{k}": np.where(rank <= k, gains[name], 0.0) for name in ACCURACY for k in cutoffs}
