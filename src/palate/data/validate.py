"""Checks and repairs of the tables' fixed columns: ids, time, type of event, duplicates, references.

Each function takes a table and returns it repaired; what it repaired is recorded with file, column, row count and
an example. What can't be repaired without inventing data is a named error.
"""

from __future__ import annotations

import difflib
from typing import Final

import polars as pl

from palate.data.report import Fault, Findings
from palate.data.schema import Schema
from palate.data.table import ROW, Table
from palate.data.times import is_moment_type, to_milliseconds
from palate.errors import ColumnTypeError, DataError, EmptyTableError, MissingColumnError
from palate.words import (
    AVAILABLE_UNTIL,
    EVENT_ID,
    EVENT_TYPE,
    IMPRESSIONS,
    ITEM_ID,
    LAUNCH_TIME,
    ORDER,
    POSITION,
    SESSION_ID,
    TIMESTAMP,
    USER_ID,
)

DAY: Final = 86_400_000
"""Milliseconds."""
UNKNOWN_TYPE: Final = "unknown"
_LARGEST_EXACT_FLOAT: Final = 2**53


def check_columns(table: Table) -> None:
    """Raise `MissingColumnError` without the ids or an order, `DataError` with two orders."""
    needed = {"events": (USER_ID, ITEM_ID), "items": (ITEM_ID,), "users": (USER_ID,)}[table.name]
    for name in needed:
        if name not in table.frame.columns:
            raise MissingColumnError(f"{table.source}: no column {name}; {_nearest(name, table)}")
    if table.name != "events":
        return
    orders = [name for name in (TIMESTAMP, POSITION) if name in table.frame.columns]
    if not orders:
        raise MissingColumnError(
            f"{table.source}: no column {TIMESTAMP} or {POSITION}; {_nearest(TIMESTAMP, table)}",
            hint=f"{TIMESTAMP} says when; where no time exists, {POSITION} numbers each member's events",
        )
    if len(orders) == 2:
        raise DataError(
            f"{table.source}: columns {TIMESTAMP} and {POSITION} are both there",
            hint=f"keep one; a tie-breaker of equal times is called {ORDER}",
        )


def check_ids(table: Table, column: str, findings: Findings) -> Table:
    """Ids as Int64 or String, rows without one dropped; other types are a `ColumnTypeError`."""
    return _some_left(findings.drop(Fault.NULL_ID, typed_ids(table, column), table.frame[column].is_null(), column))


def typed_ids(table: Table, column: str) -> Table:
    """An id column as Int64 or String."""
    values = table.frame[column]
    if values.dtype in (pl.Int64, pl.String):
        return table
    if values.dtype == pl.Float64:
        whole = ((values == values.floor()) & (values.abs() < _LARGEST_EXACT_FLOAT)).fill_null(True)
        if whole.all():
            return table.with_columns(values.cast(pl.Int64))
        example = table.frame.filter(~whole).row(0, named=True)
        raise ColumnTypeError(
            f"{table.source}, column {column}: {int((~whole).sum()):,} ids are no whole numbers, "
            f"e.g. row {example[ROW] + 1}: {example[column]}",
            hint="ids are integers or text",
        )
    if values.dtype == pl.Null:
        return table.with_columns(values.cast(pl.String))
    raise ColumnTypeError(
        f"{table.source}, column {column}: {len(values):,} ids of type {values.dtype}, e.g. {values[0]}",
        hint="ids are integers or text",
    )


def align_ids(column: str, first: Table, second: Table, findings: Findings) -> tuple[Table, Table]:
    """The same id column of two tables with one type: text, where one of them has text."""
    types = first.frame.schema[column], second.frame.schema[column]
    if types[0] == types[1]:
        return first, second
    findings.note(f"{column} is text in one of {first.source} and {second.source}; it is read as text in both")
    text = pl.col(column).cast(pl.String)
    return first.with_columns(text), second.with_columns(text)


def check_time(events: Table, schema: Schema, now: int, findings: Findings) -> tuple[Table, str]:
    """``timestamp`` as Int64 milliseconds, and how it was read; rows without a credible one are dropped."""
    values = events.frame[TIMESTAMP]
    if not is_moment_type(values.dtype):
        raise ColumnTypeError(
            f"{events.source}, column {TIMESTAMP}: type {values.dtype} is no time, e.g. {values[0]}",
            hint="give numbers (seconds or milliseconds), dates or ISO 8601 text",
        )
    moments = to_milliseconds(values, schema.timestamp_unit, rescue=True)
    also = (USER_ID, ITEM_ID)
    findings.record(
        Fault.MIXED_TIME_UNITS,
        events,
        moments.rescaled,
        TIMESTAMP,
        "read in the unit of their own magnitude; state timestamp_unit in the schema to read all alike",
        also,
    )
    unread = moments.values.is_null()
    future = (moments.values > now + DAY).fill_null(False)
    findings.record(Fault.UNPARSABLE_TIME, events, unread, TIMESTAMP, "dropped", also)
    findings.record(Fault.FAR_FUTURE_TIME, events, future, TIMESTAMP, "dropped", also)
    kept = events.with_columns(moments.values.alias(TIMESTAMP))
    bad = unread | future
    if bad.any():
        if bad.all() and unread.all():
            raise ColumnTypeError(
                f"{events.source}, column {TIMESTAMP}: none of {len(values):,} values is a time, e.g. {values[0]!r}",
                hint="give numbers (seconds or milliseconds), dates or ISO 8601 text",
            )
        kept = kept.having(kept.frame.filter(~bad))
    return _some_left(kept), moments.read_as


def check_position(events: Table, findings: Findings) -> Table:
    """``position`` as Int64; rows without one are dropped, equal ones of a member are recorded."""
    values = events.frame[POSITION]
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        raise ColumnTypeError(
            f"{events.source}, column {POSITION}: type {values.dtype} is no whole number, e.g. {values[0]}"
        )
    whole = _whole_numbers(values)
    events = findings.drop(Fault.UNPARSABLE_POSITION, events, whole.is_null(), POSITION, (USER_ID, ITEM_ID))
    return _some_left(events.with_columns(whole.drop_nulls().alias(POSITION)))


def check_event_type(events: Table, schema: Schema, findings: Findings) -> Table:
    """``event_type`` as text, missing ones as "unknown"; types that the schema drops are dropped."""
    if EVENT_TYPE not in events.frame.columns:
        return events
    values = events.frame[EVENT_TYPE]
    if not (values.dtype.is_integer() or values.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise ColumnTypeError(
            f"{events.source}, column {EVENT_TYPE}: type {values.dtype} is no name, e.g. {values[0]}",
            hint="give text or integers",
        )
    findings.record(
        Fault.NULL_EVENT_TYPE, events, values.is_null(), EVENT_TYPE, f'read as "{UNKNOWN_TYPE}"', (USER_ID, ITEM_ID)
    )
    events = events.with_columns(values.cast(pl.String).fill_null(UNKNOWN_TYPE))
    if schema.dropped_event_types:
        kept = events.frame.filter(~pl.col(EVENT_TYPE).is_in(list(schema.dropped_event_types)))
        if kept.height < events.frame.height:
            findings.note(
                f"{events.source}: {events.frame.height - kept.height:,} events of types that the schema drops "
                f"({', '.join(schema.dropped_event_types)})"
            )
        events = _some_left(events.having(kept))
    return events


def check_optional_columns(table: Table, findings: Findings) -> Table:
    """The other fixed columns in their types; values of another type become null, and are recorded."""
    if ORDER in table.frame.columns and table.name == "events":
        values = table.frame[ORDER]
        table = _converted(
            table, ORDER, values.cast(pl.Float64, strict=False) if values.dtype != pl.Int64 else values, findings
        )
    if SESSION_ID in table.frame.columns and table.name == "events":
        table = typed_ids(table, SESSION_ID)
    if IMPRESSIONS in table.frame.columns and table.name == "events":
        values = table.frame[IMPRESSIONS]
        ids = pl.List(table.frame.schema[ITEM_ID])
        split = values.str.split("|") if values.dtype == pl.String else values
        table = _converted(table, IMPRESSIONS, split.cast(ids, strict=False), findings)
    if table.name == "items":
        for name in (LAUNCH_TIME, AVAILABLE_UNTIL):
            if name in table.frame.columns:
                table = check_moment(table, name, findings)
    return table


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


def drop_repeated_ids(table: Table, column: str, findings: Findings) -> Table:
    """One row an id: the last one, since later lines of a catalogue are newer."""
    repeated = ~table.frame[column].is_last_distinct()
    findings.record(Fault.DUPLICATE_ROW, table, repeated, column, "the last row of each id is kept")
    return table.having(table.frame.filter(~repeated)) if repeated.any() else table


def drop_repeated_events(events: Table, schema: Schema, findings: Findings) -> Table:
    """Sorted events without exact duplicates and repeated event ids; the first of each stays."""
    moment = TIMESTAMP if TIMESTAMP in events.frame.columns else POSITION
    if schema.duplicate_events == "drop":
        repeated = _exact_duplicates(events.frame, moment)
        events = findings.drop(Fault.DUPLICATE_EVENT, events, repeated, USER_ID, (ITEM_ID, moment))
    if EVENT_ID in events.frame.columns:
        ids = events.frame[EVENT_ID]
        repeated = ~ids.is_first_distinct() & ids.is_not_null()
        events = findings.drop(Fault.DUPLICATE_EVENT_ID, events, repeated, EVENT_ID, (USER_ID, ITEM_ID))
    if moment == POSITION:
        frame = events.frame
        tied = ((frame[USER_ID] == frame[USER_ID].shift()) & (frame[POSITION] == frame[POSITION].shift())).fill_null(
            False
        )
        findings.record(
            Fault.TIED_POSITION, events, tied, POSITION, "kept, in the order of the source", (USER_ID, ITEM_ID)
        )
    return events


def check_references(events: Table, items: Table | None, users: Table | None, findings: Findings) -> None:
    """Record events of items or members that their tables don't know, and events before a launch."""
    for table, column, fault in ((items, ITEM_ID, Fault.UNKNOWN_ITEM), (users, USER_ID, Fault.UNKNOWN_MEMBER)):
        if table is None:
            continue
        unknown = ~events.frame[column].is_in(table.frame[column].implode())
        what = "without metadata" if table.name == "items" else "without attributes"
        distinct = events.frame[column].filter(unknown).n_unique() if unknown.any() else 0
        findings.record(fault, events, unknown, column, f"kept, {what} ({distinct:,} different; not in {table.source})")
    if items is not None and LAUNCH_TIME in items.frame.columns and TIMESTAMP in events.frame.columns:
        launch = events.frame.select(ITEM_ID).join(
            items.frame.select(ITEM_ID, LAUNCH_TIME), on=ITEM_ID, how="left", maintain_order="left"
        )[LAUNCH_TIME]
        early = (events.frame[TIMESTAMP] < launch).fill_null(False)
        findings.record(
            Fault.EVENT_BEFORE_LAUNCH,
            events,
            early,
            TIMESTAMP,
            "kept; the item is available from its launch",
            (ITEM_ID,),
        )


def _exact_duplicates(frame: pl.DataFrame, moment: str) -> pl.Series:
    """Rows that equal an earlier one in every column; only neighbours in time are compared, so it is cheap."""
    same = ((frame[USER_ID] == frame[USER_ID].shift()) & (frame[moment] == frame[moment].shift())).fill_null(False)
    near = same | same.shift(-1, fill_value=False)
    if not near.any():
        return same
    rows = near.arg_true()
    content = frame[rows].select(pl.exclude(ROW))
    repeated = ~content.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    return pl.Series(pl.repeat(False, frame.height, eager=True)).scatter(rows, repeated)


def _converted(table: Table, column: str, values: pl.Series, findings: Findings) -> Table:
    bad = values.is_null() & table.frame[column].is_not_null()
    findings.record(Fault.WRONG_TYPE, table, bad, column, "read as missing")
    return table.with_columns(values.alias(column))


def _whole_numbers(values: pl.Series) -> pl.Series:
    if values.dtype.is_integer():
        return values.cast(pl.Int64)
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.set(~(numbers == numbers.floor()).fill_null(False), None).cast(pl.Int64, strict=False)


def _some_left(table: Table) -> Table:
    if not table.frame.height:
        raise EmptyTableError(f"{table.source}: no row is left after the repairs", hint="see the report for why")
    return table


def _nearest(name: str, table: Table) -> str:
    columns = [column for column in table.frame.columns if column != ROW]
    close = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    found = f"it has {', '.join(columns[:12])}"
    return f"{found}; is it {close[0]}? then rename it" if close else found
