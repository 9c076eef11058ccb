"""Checks and repairs of what orders events and bounds items: timestamp, position, moments of items."""

from __future__ import annotations

from typing import Final

import polars as pl

from palate.data.report import Fault, Findings
from palate.data.schema import Schema
from palate.data.table import Table
from palate.data.times import is_moment_type, to_milliseconds
from palate.errors import ColumnTypeError
from palate.words import ITEM_ID, POSITION, TIMESTAMP, USER_ID

DAY: Final = 86_400_000
"""Milliseconds."""
_TIME_HINT: Final = "give numbers (seconds or milliseconds), dates or ISO 8601 text"


def check_time(events: Table, schema: Schema, now: int, findings: Findings) -> tuple[Table, str]:
    """``timestamp`` as Int64 milliseconds, and how it was read; rows without a credible one are dropped."""
    values = events.frame[TIMESTAMP]
    if not is_moment_type(values.dtype):
        raise ColumnTypeError(
            f"{events.source}, column {TIMESTAMP}: type {values.dtype} is no time, e.g. {values[0]}",
            hint=_TIME_HINT,
        )
    moments = to_milliseconds(values, schema.timestamp_unit, rescue=True)
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
    if bad.any():
        if bad.all() and unread.all():
            raise ColumnTypeError(
                f"{events.source}, column {TIMESTAMP}: none of {len(values):,} values is a time, e.g. {values[0]!r}",
                hint=_TIME_HINT,
            )
        kept = kept.having(kept.frame.filter(~bad))
    return findings.some_left(kept), moments.read_as


def check_position(events: Table, findings: Findings) -> Table:
    """``position`` as Int64; rows without one are dropped."""
    values = events.frame[POSITION]
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        raise ColumnTypeError(
            f"{events.source}, column {POSITION}: type {values.dtype} is no whole number, e.g. {values[0]}"
        )
    whole = _whole_numbers(values)
    events = findings.drop(Fault.UNPARSABLE_POSITION, events, whole.is_null(), POSITION, (USER_ID, ITEM_ID))
    return findings.some_left(events.with_columns(whole.drop_nulls().alias(POSITION)))


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
