"""Time features of a row: absolute ones of its moment, and the gap to the event before.

All of them are known at request time. Where the log has positions only there are none.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.words import TIMESTAMP

HOUR, WEEKDAY, MONTH, TREND, GAP = "time:hour", "time:weekday", "time:month", "time:trend", "time:gap"
CLOCK = (HOUR, WEEKDAY, MONTH)
"""Features of the clock and the calendar. What training never had, such as the month behind a log of half a year, is
unknown; the trend stays in its last bucket there."""


def with_absolute(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with hour, weekday and month (UTC) and the days since 1970 of their ``timestamp``."""
    moment = pl.col(TIMESTAMP).cast(pl.Datetime("ms"))
    return rows.with_columns(
        moment.dt.hour().alias(HOUR),
        moment.dt.weekday().alias(WEEKDAY),
        moment.dt.month().alias(MONTH),
        # By multiplication: Polars divides a single row otherwise than many, and both must give the same bits.
        (pl.col(TIMESTAMP) * (1 / 86_400_000)).alias(TREND),
    )


def with_gap(events: pl.DataFrame, first: NDArray[np.bool_]) -> pl.DataFrame:
    """The events with the seconds since the event before; null for the ``first`` [n] of a history."""
    return events.with_columns(pl.when(~pl.Series("first", first)).then(pl.col(TIMESTAMP).diff() / 1000).alias(GAP))
