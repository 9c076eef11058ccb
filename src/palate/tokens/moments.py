"""Time features of a row: absolute ones of its moment, and the gap to the event before.

All of them are known at request time. Where the log has positions only there are none.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from palate.tokens.batch import Side
from palate.tokens.fields import CategoricalField, Field, NumericField
from palate.tokens.vocabulary import Vocabulary

HOUR, WEEKDAY, MONTH, TREND, GAP = "time:hour", "time:weekday", "time:month", "time:trend", "time:gap"


def absolute_columns(timestamp: pl.Series) -> pl.DataFrame:
    """Hour, weekday and month (UTC) and the days since 1970, of milliseconds since 1970."""
    moment = pl.col("t").cast(pl.Datetime("ms"))
    return (
        timestamp.alias("t")
        .to_frame()
        .select(
            moment.dt.hour().alias(HOUR),
            moment.dt.weekday().alias(WEEKDAY),
            moment.dt.month().alias(MONTH),
            (pl.col("t") / 86_400_000).alias(TREND),
        )
    )


def gap_column(milliseconds: pl.Series) -> pl.Series:
    """Seconds since the event before; null for a first event."""
    return (milliseconds / 1000).alias(GAP)


def fit_time_fields(columns: pl.DataFrame, *, buckets: int) -> Iterator[Field]:
    """One field a time feature. After the last training moment the trend stays in its last bucket."""
    for name, first, last in ((HOUR, 0, 23), (WEEKDAY, 1, 7), (MONTH, 1, 12)):
        counts = columns[name].value_counts(name="count").rename({name: "value"})
        table = pl.DataFrame({"value": pl.Series(range(first, last + 1), dtype=pl.Int8)})
        table = table.join(counts, on="value", how="left", maintain_order="left").with_columns(
            pl.col("count").fill_null(0).cast(pl.UInt32)
        )
        yield CategoricalField(name=name, side=Side.REQUEST_TIME, vocabulary=Vocabulary(table=table))
    for name in (TREND, GAP):
        yield NumericField.fit(columns[name], name=name, side=Side.REQUEST_TIME, buckets=buckets)
