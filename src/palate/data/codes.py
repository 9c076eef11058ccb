"""Ids as integers that sort alike, for what needs arithmetic or many comparisons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.words import ITEM_ID, USER_ID


def codes(ids: pl.Series, *, dense: bool = False) -> npt.NDArray[np.int64]:
    """An integer for each id, in the order of the ids; ``dense``: from 0 without gaps. Ids hold no nulls."""
    if ids.dtype == pl.Int64 and not dense:
        return ids.to_numpy()
    ordered = ids.unique().sort().alias("id").to_frame().with_row_index("code")
    found = ids.alias("id").to_frame().join(ordered, on="id", how="left", maintain_order="left")
    return found["code"].to_numpy().astype(np.int64)


def argsort(*keys: npt.NDArray[np.int64 | np.uint64 | np.float64]) -> npt.NDArray[np.int64] | None:
    """The stable order by several keys, the first of them the strongest; None where they are already sorted."""
    order: npt.NDArray[np.int64] | None = None
    for key in reversed(keys):
        current = key if order is None else key[order]
        if (current[1:] >= current[:-1]).all():
            continue
        step = np.argsort(current, kind="stable")
        order = step if order is None else order[step]
    return order


def repeats(events: pl.DataFrame) -> pl.Series:
    """Whether the member already had the item, for events that come member by member, ``[events]`` Boolean."""
    users, items = events[USER_ID], events[ITEM_ID]
    member = (users != users.shift()).fill_null(True).cum_sum().cast(pl.Int64) - 1
    item = codes(items, dense=True)
    pair = pl.Series("repeats", member.to_numpy() * (int(item.max(initial=0)) + 1) + item)
    return ~pair.is_first_distinct()
