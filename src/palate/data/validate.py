"""Checks and repairs of the tables' fixed columns: ids, time, type of event, duplicates, references.

Each function takes a table and returns it repaired; what it repaired is recorded with file, column, row count and
an example. What can't be repaired without inventing data is a named error.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from palate.data.clock import check_moment
from palate.data.fit import nearest
from palate.data.report import Fault, Findings
from palate.data.schema import Schema
from palate.data.table import ROW, Table
from palate.errors import ColumnTypeError, DataError, MissingColumnError
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

UNKNOWN_TYPE: Final = "unknown"


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
    table = typed_ids(table, column)
    return findings.some_left(findings.drop(Fault.NULL_ID, table, table.frame[column].is_null(), column))


def typed_ids(table: Table, column: str) -> Table:
    """An id column as Int64 or String."""
    values = table.frame[column]
    if values.dtype in (pl.Int64, pl.String):
        return table
    if values.dtype == pl.Null:
        return table.with_columns(values.cast(pl.String))
    wrong = values.is_not_null()
    if values.dtype == pl.Float64:
        wrong &= values != values.floor()
    example = table.frame.filter(wrong).row(0, named=True)
    raise ColumnTypeError(
        f"{table.source}, column {column}: {int(wrong.sum()):,} ids are neither whole numbers nor text "
        f"(type {values.dtype}), e.g. row {example[ROW] + 1}: {example[column]}",
        hint="ids are integers or text",
    )


def align_ids(column: str, first: Table, second: Table, findings: Findings) -> tuple[Table, Table]:
    """The same id column of two tables with one type: text, where one of them has text."""
    types = first.frame.schema[column], second.frame.schema[column]
    if types[0] == types[1]:
        return first, second
    findings.note(f"{column} is text in one of {first.label} and {second.label}; it is read as text in both")
    text = pl.col(column).cast(pl.String)
    return first.with_columns(text), second.with_columns(text)


def check_event_type(events: Table, schema: Schema, findings: Findings) -> Table:
    """``event_type`` as text, missing ones as "unknown"; types that the schema drops are dropped."""
    if EVENT_TYPE not in events.frame.columns:
        return events
    values = events.frame[EVENT_TYPE]
    if not (values.dtype.is_integer() or values.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise ColumnTypeError(
            f"{events.label}, column {EVENT_TYPE}: type {values.dtype} is no name, e.g. {values[0]}",
            hint="give text or integers",
        )
    findings.record(
        Fault.NULL_EVENT_TYPE, events, values.is_null(), EVENT_TYPE, f'read as "{UNKNOWN_TYPE}"', (USER_ID, ITEM_ID)
    )
    events = events.with_columns(values.cast(pl.String).fill_null(UNKNOWN_TYPE))
    if schema.dropped_event_types:
        present = set(events.frame[EVENT_TYPE].unique())
        for name in schema.dropped_event_types:
            if name not in present:
                findings.note(f"{events.label}: no event has the type {name!r} that the schema drops")
        kept = events.frame.filter(~pl.col(EVENT_TYPE).is_in(list(schema.dropped_event_types)))
        if kept.height < events.frame.height:
            findings.note(
                f"{events.label}: {events.frame.height - kept.height:,} events of types that the schema drops "
                f"({', '.join(schema.dropped_event_types)})"
            )
        events = findings.some_left(events.having(kept))
    return events


def check_optional_columns(table: Table, findings: Findings) -> Table:
    """The other fixed columns in their types; values of another type become null, and are recorded."""
    given = table.frame.schema
    if table.name == "items":
        for name in (LAUNCH_TIME, AVAILABLE_UNTIL):
            if name in given:
                table = check_moment(table, name, findings)
    if table.name != "events":
        return table
    if ORDER in given:
        table = _with_order(table, findings)
    for name in (SESSION_ID, EVENT_ID):
        if name in given:
            table = typed_ids(table, name)
    if IMPRESSIONS in given:
        table = _with_impressions(table, findings)
    return table


def _with_order(events: Table, findings: Findings) -> Table:
    values = events.frame[ORDER]
    if not (values.dtype.is_numeric() or values.dtype in (pl.String, pl.Null)):
        raise ColumnTypeError(
            f"{events.source}, column {ORDER}: type {values.dtype} is no number, e.g. {values[0]}",
            hint="it breaks ties of equal times; rename it if it means something else",
        )
    numbers = values if values.dtype == pl.Int64 else values.cast(pl.Float64, strict=False)
    bad = numbers.is_null() & values.is_not_null()
    findings.record(Fault.WRONG_TYPE, events, bad, ORDER, "read as missing: last among equal times")
    return events.with_columns(numbers.alias(ORDER))


def _with_impressions(events: Table, findings: Findings) -> Table:
    values = events.frame[IMPRESSIONS]
    if values.dtype == pl.String:
        values = values.str.split("|")
    elif values.dtype == pl.Int64:
        values = values.cast(pl.String).str.split("|")
    if not isinstance(values.dtype, pl.List | pl.Array):
        raise ColumnTypeError(
            f"{events.source}, column {IMPRESSIONS}: type {values.dtype} is no list of items, e.g. {values[0]}",
            hint="give lists of item ids, or text such as 12|7|31",
        )
    ids = values.cast(pl.List(events.frame.schema[ITEM_ID]), strict=False)
    bad = ids.list.eval(pl.element().is_null()).list.any().fill_null(False)
    findings.record(Fault.WRONG_TYPE, events, bad, IMPRESSIONS, "the ids that can't be read are left out")
    return events.with_columns(ids.list.drop_nulls().alias(IMPRESSIONS))


def _nearest(name: str, table: Table) -> str:
    return nearest(name, [column for column in table.frame.columns if column != ROW])
