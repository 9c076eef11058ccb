"""Checks and repairs of what orders events and bounds items: timestamp, position, moments of items."""

from __future__ import annotations

from typing import Final

import polars as pl

from palate.data.report import Fault, Findings
from palate.data.schema import Schema
from palate.data.table import Table
from palate.data.times import MomentFacts, Reading, is_moment_type, read_moments, reading, to_milliseconds
from palate.errors import ColumnTypeError
from palate.words import ITEM_ID, POSITION, TIMESTAMP, USER_ID

DAY: Final = 86_400_000
"""Milliseconds."""
_TIME_HINT: Final = "give numbers (seconds or milliseconds), dates or ISO 8601 text"


def time_reading(dtype: pl.DataType, facts: MomentFacts, schema: Schema) -> Reading:
    """How ``timestamp`` is read, given what was found in all of it."""
    return reading(dtype, facts, schema.timestamp_unit, rescue=True)


def check_time(events: Table, how: Reading, now: int, findings: Findings) -> Table:
    """``timestamp`` as Int64 milliseconds; rows without a credible one are dropped.

    ``events`` may be a piece of the table: ``how`` was decided for the whole.
    """
    moments = read_moments(events.frame[TIMESTAMP], how)
    unread = moments.values.is_null()
    future = (moments.values > now + DAY).fill_null(False)
    also = (USER_ID, ITEM_ID)
    findings.record(
        Fault.MIXED_TIME_UNITS,
        events,
        moments.rescaled & ~future,
        TIMESTAMP,
        "read in the unit of their own magnitude; state timestamp_unit in the schema to read all alike",
        also,
    )
    findings.record(Fault.UNPARSABLE_TIME, events, unread, TIMESTAMP, "dropped", also)
    findings.record(Fault.FAR_FUTURE_TIME, events, future, TIMESTAMP, "dropped", also)
    kept = events.with_columns(moments.values.alias(TIMESTAMP))
    bad = unread | future
    return kept.having(kept.frame.filter(~bad)) if bad.any() else kept


def refuse_unread(sample: Table, rows: int, findings: Findings) -> None:
    """Raise a `ColumnTypeError` where none of ``rows`` events has a time that can be read; ``sample`` has the first."""
    if findings.rows(Fault.UNPARSABLE_TIME, TIMESTAMP) == rows:
        raise ColumnTypeError(
            f"{sample.source}, column {TIMESTAMP}: none of {rows:,} values is a time, "
            f"e.g. {sample.frame[TIMESTAMP][0]!r}",
            hint=_TIME_HINT,
        )


def check_position(events: Table, findings: Findings) -> Table:
    """``position`` as Int64; rows without one are dropped. ``events`` may be a piece of the table."""
    whole = _whole_numbers(events.frame[POSITION])
    events = findings.drop(Fault.UNPARSABLE_POSITION, events, whole.is_null(), POSITION, (USER_ID, ITEM_ID))
    return events.with_columns(whole.drop_nulls().alias(POSITION))


def check_clock_type(sample: Table) -> None:
    """Raise a `ColumnTypeError` where the type of ``timestamp`` or ``position`` can say no order."""
    frame = sample.frame
    if TIMESTAMP in frame.columns and not is_moment_type(frame.schema[TIMESTAMP]):
        raise ColumnTypeError(
            f"{sample.source}, column {TIMESTAMP}: type {frame.schema[TIMESTAMP]} is no time, "
            f"e.g. {frame[TIMESTAMP][0]}",
            hint=_TIME_HINT,
        )
    if POSITION in frame.columns and not (frame.schema[POSITION].is_numeric() or frame.schema[POSITION] == pl.String):
        raise ColumnTypeError(
            f"{sample.source}, column {POSITION}: type {frame.schema[POSITION]} is no whole number, "
            f"e.g. {frame[POSITION][0]}"
        )


def check_moment(table: Table, column: str, findings: Findings) -> Table:
    """A column of moments as Int64 milliseconds; what can't be read becomes null, and is recorded."""
    values = table.frame[column]
    if values.dtype == pl.Null:
        return table.with_columns(values.cast(pl.Int64))
    if not is_moment_type(values.dtype):
        raise ColumnTypeError(f"{table.source}, column {column}: type {values.dtype} is no time, e.g. {values[0]}")
    moments = to_milliseconds(values)
    bad = moments.values.is_null() & values.is_not_null()
    findings.record(Fault.UNPARSABLE_TIME, table, bad, column, "read as missing")
    return table.with_columns(moments.values.alias(column))


def _whole_numbers(values: pl.Series) -> pl.Series:
    if values.dtype.is_integer():
        return values.cast(pl.Int64)
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.set(~(numbers == numbers.floor()).fill_null(False), None).cast(pl.Int64, strict=False)
