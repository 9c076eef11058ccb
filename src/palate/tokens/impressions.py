"""Impressions: the items that were shown when one of them was chosen, in order of position.

A row is a choice only where the target is known to be among what was shown; all other rows are empty.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.tokens.vocabulary import Vocabulary
from palate.words import FIRST_KNOWN, PADDING

NOT_CHOSEN = -1
"""Position of the target where a row is no choice."""


def longest_impressions(column: pl.Series) -> int:
    """Number of items in the longest list of ``column`` [n]; 0 without any."""
    if column.dtype == pl.Null:
        return 0
    longest = column.list.len().max()
    return longest if isinstance(longest, int) else 0


def encode_impressions(
    column: pl.Series, target: NDArray[np.int32], vocabulary: Vocabulary, width: int
) -> NDArray[np.int32]:
    """Indices of the shown items, ``[n, width]``: column p holds the item in place p, counted from 0.

    ``column`` [n] are lists of external ids as a dataset has them, ``target`` [n] item indices, 0 where a row asks for
    nothing. What lies beyond ``width`` is cut off. `PADDING` stands behind the end of a list, and inside it for an item
    that the vocabulary lacks and for one that stands further in front already, so that all others keep their place. A
    row whose target is not among the first ``width`` items is all padding.
    """
    n = len(column)
    shown = np.full((n, width), PADDING, dtype=np.int32)
    if column.dtype == pl.Null or not width:
        return shown
    lists = column.list.head(width)
    lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = vocabulary.encode(lists.filter(pl.Series(lengths > 0)).explode())
    rows = np.repeat(np.arange(n), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    again = ~pl.Series(rows * vocabulary.size + flat).is_first_distinct().to_numpy()
    shown[rows, places] = np.where((flat >= FIRST_KNOWN) & ~again, flat, PADDING)
    shown[chosen_positions(shown, target) == NOT_CHOSEN] = PADDING
    return shown


def chosen_positions(shown: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.int64]:
    """The place of each row's target among the items ``shown`` [n, P], from 0, ``[n]``; else `NOT_CHOSEN`."""
    if not shown.shape[1]:
        return np.full(len(shown), NOT_CHOSEN)
    found = (shown == target[:, None]) & (target[:, None] >= FIRST_KNOWN)
    return np.where(found.any(axis=1), found.argmax(axis=1), NOT_CHOSEN)
