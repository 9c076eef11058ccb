"""Whether a list holds what a member goes on to choose: the next n targets, not only the first of them.

next_recall@k = |first k of the list ∩ next n targets| / |next n targets|, over different items: the query's own target
and those of the member behind it in the same part, n of them or as many as there are. It is at most k / n where k < n.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.evaluate.ranks import found_among
from palate.words import ITEM_ID, QUERY, RANK, USER_ID

Floats = npt.NDArray[np.float64]

NEXT_RECALL = "next_recall"


def next_recall(
    recommendations: pl.DataFrame, targets: pl.DataFrame, cutoffs: tuple[int, ...], *, n: int
) -> dict[str, Floats]:
    """Every query's value at each cut-off, keyed ``next_recall@10``; arrays [n_queries].

    ``targets`` is a table of `palate.data.queries`: the targets of one part, a member's in order.
    """
    following = pl.concat(
        [
            targets.select(QUERY, pl.col(ITEM_ID).shift(-offset).over(USER_ID).alias(ITEM_ID)).drop_nulls()
            for offset in range(n)
        ]
    ).unique()
    found = following.join(found_among(recommendations, following), on=[QUERY, ITEM_ID], how="left")
    shares = found.group_by(QUERY).agg(
        (pl.col(RANK) <= k).fill_null(False).mean().alias(f"{NEXT_RECALL}@{k}") for k in cutoffs
    )
    joined = targets.select(QUERY).join(shares, on=QUERY, how="left", maintain_order="left")
    return {name: joined[name].to_numpy() for name in joined.columns if name != QUERY}
