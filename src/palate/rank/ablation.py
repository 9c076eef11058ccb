"""Leaving past events out, one thing at a time: the histories that the model is asked again with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset
from palate.rank.history import EarlierRows
from palate.words import GROUP_ID, ITEM_ID


class Things(NamedTuple):
    """What the last events of a member were with; ``S`` things."""

    ids: list[int | str]
    """External ids of items or groups, ``[S]``."""
    is_group: list[bool]
    """Whether it is a group, ``[S]``: of one of which the member had several items."""
    rows: list[NDArray[np.int64]]
    """Rows of the events with each, ascending, ``[S]``."""


def things(dataset: Dataset, rows: NDArray[np.int64]) -> Things:
    """The events at these rows, by what they were with, in the order of the first ones.

    Items of one group are one thing, where items have groups.
    """
    events = dataset.events[rows].select(ITEM_ID).with_columns(row=pl.Series(rows))
    if dataset.items is not None and GROUP_ID in dataset.items.columns:
        groups = dataset.items.select(ITEM_ID, group=GROUP_ID)
        events = events.join(groups, on=ITEM_ID, how="left", maintain_order="left")
        several = pl.col(ITEM_ID).n_unique().over("group") > 1
        events = events.with_columns(group=pl.when(pl.col("group").is_not_null() & several).then("group"))
    else:
        events = events.with_columns(group=pl.lit(None))
    # Ids of items and groups may be equal, so that both make the key.
    item = pl.when(pl.col("group").is_null()).then(ITEM_ID)
    found = events.group_by(item.alias("item"), "group", maintain_order=True).agg("row")
    grouped = found["group"].is_not_null().to_list()
    ids = [
        group if is_group else item
        for item, group, is_group in zip(found["item"], found["group"], grouped, strict=True)
    ]
    return Things(ids, grouped, [each.to_numpy() for each in found["row"]])


def histories_without(rows: NDArray[np.int64], left_out: list[NDArray[np.int64]]) -> EarlierRows:
    """One history a query: ``rows``, then ``rows`` without each of ``left_out``, then nothing."""
    queries = len(left_out) + 2
    keep = np.ones((queries, len(rows)), np.bool_)
    lengths = [len(each) for each in left_out]
    out = np.repeat(np.arange(len(left_out)), lengths) + 1
    keep[out, np.searchsorted(rows, np.concatenate([*left_out, np.empty(0, np.int64)]).astype(np.int64))] = False
    keep[-1] = False
    query, place = np.nonzero(keep)
    return EarlierRows(query, rows[place], keep.sum(1))
