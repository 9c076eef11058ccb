"""From when to when each item can be recommended: nothing is offered before it exists."""

from __future__ import annotations

from typing import Final

import polars as pl

from palate.data.dataset import Dataset
from palate.words import AVAILABLE_UNTIL, ITEM_ID, LAUNCH_TIME, TIMESTAMP

AVAILABLE_FROM: Final = "available_from"


def available_from(dataset: Dataset) -> pl.DataFrame:
    """``item_id``, ``available_from`` and ``available_until`` (Int64 ms), ascending by item.

    An item is available at moment t when ``available_from <= t`` and t is not after ``available_until`` (null: no
    end). It starts at its launch, or one millisecond after its first event where no launch is given: an item
    that nobody announced exists only once somebody has found it. Items with neither are left out. Data without
    time have no clock: every item of the events and of the items table is there, with both columns null.
    """
    seen = dataset.events.group_by(ITEM_ID).agg(
        (pl.col(TIMESTAMP).min() + 1).alias(AVAILABLE_FROM)
        if dataset.has_time
        else pl.lit(None, dtype=pl.Int64).alias(AVAILABLE_FROM)
    )
    launch = pl.lit(None, dtype=pl.Int64).alias(LAUNCH_TIME)
    until = pl.lit(None, dtype=pl.Int64).alias(AVAILABLE_UNTIL)
    if dataset.items is None:
        return seen.with_columns(until).sort(ITEM_ID)
    known = dataset.items.select(
        ITEM_ID,
        LAUNCH_TIME if dataset.has_time and LAUNCH_TIME in dataset.items.columns else launch,
        AVAILABLE_UNTIL if dataset.has_time and AVAILABLE_UNTIL in dataset.items.columns else until,
    )
    table = seen.join(known, on=ITEM_ID, how="full", coalesce=True).select(
        ITEM_ID, pl.coalesce(LAUNCH_TIME, AVAILABLE_FROM).alias(AVAILABLE_FROM), AVAILABLE_UNTIL
    )
    if dataset.has_time:
        table = table.filter(pl.col(AVAILABLE_FROM).is_not_null())
    return table.sort(ITEM_ID)
