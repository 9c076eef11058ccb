"""Whether a member knows an item already, as the head ``familiar`` says it."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, has_target_type
from palate.tokens.batch import Familiar
from palate.words import GROUP_ID, ITEM_ID


def familiar(dataset: Dataset, rows: NDArray[np.int64], item: int | str) -> Familiar:
    """What the item would be as a target of the member whose events so far are at these rows of the log."""
    events = dataset.events[rows]
    had = events.filter(pl.Series(has_target_type(events, dataset.schema)))[ITEM_ID]
    if item in had:
        return Familiar.AGAIN
    if dataset.items is None or GROUP_ID not in dataset.items.columns:
        return Familiar.DISCOVER
    groups = dataset.items.select(ITEM_ID, GROUP_ID).drop_nulls()
    own = groups.filter(pl.col(ITEM_ID) == item)[GROUP_ID]
    known = groups.filter(pl.col(ITEM_ID).is_in(had.implode()))[GROUP_ID]
    return Familiar.CONTINUE if own.is_in(known.implode()).any() else Familiar.DISCOVER
