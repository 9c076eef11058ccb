"""The events of a member before a query, for many queries at once: nothing but rows of `Dataset.events`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from palate.data.dataset import Dataset
from palate.words import QUERY, USER_ID


class EarlierRows(NamedTuple):
    """Rows of ``dataset.events`` that precede queries, flat; query i has ``lengths[i]`` of them."""

    query: np.ndarray
    """int64 [N]: which query (its place in the table, from 0), ascending."""
    row: np.ndarray
    """int64 [N]: which row of the events, ascending within a query."""
    lengths: np.ndarray
    """int64 [Q]."""


class Histories:
    """Finds each query's history: the rows of its member from the first one up to the row ``query``."""

    def __init__(self, dataset: Dataset) -> None:
        starts = dataset.member_starts
        self._first_rows = pl.DataFrame(
            {USER_ID: dataset.events[USER_ID][starts], "first": pl.Series(starts, dtype=pl.Int64)}
        )

    def before(self, queries: pl.DataFrame) -> EarlierRows:
        """All earlier events of each query's member; none for a member that the dataset doesn't know."""
        joined = queries.select(USER_ID, QUERY).join(self._first_rows, on=USER_ID, how="left", maintain_order="left")
        end = joined[QUERY].to_numpy()
        start = joined.select(pl.coalesce("first", QUERY)).to_series().to_numpy()
        lengths = end - start
        assert (lengths >= 0).all(), "a query lies before its member's first event"
        query = np.repeat(np.arange(len(end)), lengths)
        offset = np.cumsum(lengths) - lengths
        row = np.arange(int(lengths.sum())) + np.repeat(start - offset, lengths)
        return EarlierRows(query, row, lengths)
