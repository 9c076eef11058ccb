"""Checks and repairs of the tables' fixed columns: ids, time, type of event, duplicates, references.

Each function takes a table and returns it repaired; what it repaired is recorded with file, column, row count and
an example. What can't be repaired without inventing data is a named error. Where a decision needs the whole table, one
function gathers the facts (of any piece; they add up), another decides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import polars as pl

from palate.data import clock
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


@dataclass(frozen=True)
class IdFacts:
    """Ids that are neither whole numbers nor text; the facts of pieces, in their order, add up."""

    wrong: int = 0
    example: str = ""

    def __add__(self, other: IdFacts) -> IdFacts:
        return IdFacts(self.wrong + other.wrong, self.example or other.example)


def check_ids(table: Table, column: str, findings: Findings) -> Table:
    """Ids of a whole table as Int64 or String, rows without one dropped; other types are a `ColumnTypeError`."""
    table = typed_ids(table, column)
    return findings.some_left(drop_null_ids(table, column, findings))


def drop_null_ids(table: Table, column: str, findings: Findings) -> Table:
    """The table, or a piece of it, without the rows that have no id."""
    return findings.drop(Fault.NULL_ID, table, table.frame[column].is_null(), column)


def typed_ids(table: Table, column: str) -> Table:
    """An id column of a whole table as Int64 or String."""
    refuse_ids(table.source, column, table.frame.schema[column], id_facts(table, column))
    return cast_ids(table, column)


def id_facts(table: Table, column: str) -> IdFacts:
    """What is wrong with the ids of a table, or of a piece of it."""
    values = table.frame[column]
    if is_id_type(values.dtype):
        return IdFacts()
    wrong = values.is_not_null()
    if values.dtype == pl.Float64:
        wrong &= ~(values.is_finite() & (values == values.floor()) & (values.abs() < 2**53)).fill_null(False)
    if not wrong.any():
        return IdFacts()
    first = table.frame.row(int(wrong.arg_true()[0]), named=True)
    return IdFacts(int(wrong.sum()), f"row {first[ROW] + 1}: {first[column]}")


def refuse_ids(source: str, column: str, dtype: pl.DataType, facts: IdFacts) -> None:
    """Raise a `ColumnTypeError` where ids are neither whole numbers nor text."""
    if facts.wrong:
        raise ColumnTypeError(
            f"{source}, column {column}: {facts.wrong:,} ids are neither whole numbers nor text "
            f"(type {dtype}), e.g. {facts.example}",
            hint="ids are integers or text",
        )


def cast_ids(table: Table, column: str) -> Table:
    """Ids in which nothing is wrong as Int64 or String."""
    dtype = table.frame.schema[column]
    if dtype in (pl.Int64, pl.String):
        return table
    return table.with_columns(pl.col(column).cast(pl.Int64 if dtype == pl.Float64 else pl.String))


def is_id_type(dtype: pl.DataType) -> bool:
    """Whether values of this type are ids as they are."""
    return dtype in (pl.Int64, pl.String, pl.Null)


def id_type(column: str, first: Table, second: Table, findings: Findings) -> pl.DataType:
    """The type of the same id column of two tables: text, where one of them has text."""
    types = first.frame.schema[column], second.frame.schema[column]
    if types[0] == types[1]:
        return types[0]
    findings.note(f"{column} is text in one of {first.label} and {second.label}; it is read as text in both")
    return pl.String()


def check_event_type(events: Table, schema: Schema, findings: Findings) -> tuple[Table, Counter[str]]:
    """``event_type`` as text, missing ones as "unknown"; types that the schema drops are dropped.

    ``events`` may be a piece of the table. Beside it comes how many events of each dropped type there were.
    """
    if EVENT_TYPE not in events.frame.columns:
        return events, Counter()
    values = events.frame[EVENT_TYPE]
    findings.record(
        Fault.NULL_EVENT_TYPE, events, values.is_null(), EVENT_TYPE, f'read as "{UNKNOWN_TYPE}"', (USER_ID, ITEM_ID)
    )
    events = events.with_columns(values.cast(pl.String).fill_null(UNKNOWN_TYPE))
    if not schema.dropped_event_types:
        return events, Counter()
    dropped = pl.col(EVENT_TYPE).is_in(list(schema.dropped_event_types))
    counts = events.frame.filter(dropped)[EVENT_TYPE].value_counts()
    return events.having(events.frame.filter(~dropped)), Counter(dict(counts.iter_rows()))


def note_dropped_types(label: str, schema: Schema, dropped: Counter[str], findings: Findings) -> None:
    """Note the events of types that the schema drops, and such types that no event has."""
    for name in schema.dropped_event_types:
        if name not in dropped:
            findings.note(f"{label}: no event has the type {name!r} that the schema drops")
    if dropped:
        names = ", ".join(schema.dropped_event_types)
        findings.note(f"{label}: {dropped.total():,} events of types that the schema drops ({names})")


def check_types(sample: Table) -> None:
    """Raise a `ColumnTypeError` for a fixed column of events whose type can't be what it is for.

    ``sample`` are some rows of the events, the first one among them, which is the example.
    """
    clock.check_clock_type(sample)
    frame = sample.frame
    if EVENT_TYPE in frame.columns:
        dtype = frame.schema[EVENT_TYPE]
        if not (dtype.is_integer() or dtype in (pl.String, pl.Boolean, pl.Null)):
            raise ColumnTypeError(
                f"{sample.label}, column {EVENT_TYPE}: type {dtype} is no name, e.g. {frame[EVENT_TYPE][0]}",
                hint="give text or integers",
            )
    if ORDER in frame.columns:
        dtype = frame.schema[ORDER]
        if not (dtype.is_numeric() or dtype in (pl.String, pl.Null)):
            raise ColumnTypeError(
                f"{sample.source}, column {ORDER}: type {dtype} is no number, e.g. {frame[ORDER][0]}",
                hint="it breaks ties of equal times; rename it if it means something else",
            )
    if IMPRESSIONS in frame.columns:
        dtype = frame.schema[IMPRESSIONS]
        if not (dtype in (pl.String, pl.Int64) or isinstance(dtype, pl.List | pl.Array)):
            raise ColumnTypeError(
                f"{sample.source}, column {IMPRESSIONS}: type {dtype} is no list of items, "
                f"e.g. {frame[IMPRESSIONS][0]}",
                hint="give lists of item ids, or text such as 12|7|31",
            )


OTHER_IDS: Final = (SESSION_ID, EVENT_ID)


def drop_low_values(events: Table, schema: Schema) -> tuple[Table, Counter[str]]:
    """The events without those whose numbers are below the schema's least values, and how many each column cost.

    ``events`` may be a piece of the table, and are converted.
    """
    counts: Counter[str] = Counter()
    for name, least in schema.least_values.items():
        low = (events.frame[name] < least).fill_null(False)
        counts[name] = int(low.sum())
        if counts[name]:
            events = events.having(events.frame.filter(~low))
    return events, counts


def note_low_values(label: str, schema: Schema, dropped: Counter[str], findings: Findings) -> None:
    """Note how many events were left out for a number that is too low."""
    for name, least in schema.least_values.items():
        findings.note(f"{label}: {dropped[name]:,} events with {name} below {least:g}, which the schema leaves out")


def check_optional_columns(table: Table, findings: Findings) -> Table:
    """The other fixed columns in their types; values of another type become null, and are recorded.

    `check_types` was passed, and so was `refuse_ids` for the ids of sessions and events. Events may be a piece.
    """
    given = table.frame.schema
    if table.name == "items":
        for name in (LAUNCH_TIME, AVAILABLE_UNTIL):
            if name in given:
                table = clock.check_moment(table, name, findings)
    if table.name != "events":
        return table
    if ORDER in given:
        table = _with_order(table, findings)
    for name in OTHER_IDS:
        if name in given:
            table = cast_ids(table, name)
    if IMPRESSIONS in given:
        table = _with_impressions(table, findings)
    return table


def _with_order(events: Table, findings: Findings) -> Table:
    values = events.frame[ORDER]
    numbers = values if values.dtype == pl.Int64 else values.cast(pl.Float64, strict=False)
    bad = numbers.is_null() & values.is_not_null()
    findings.record(Fault.WRONG_TYPE, events, bad, ORDER, "read as missing: last among equal times")
    return events.with_columns(numbers.alias(ORDER))


def _with_impressions(events: Table, findings: Findings) -> Table:
    values = events.frame[IMPRESSIONS]
    if values.dtype == pl.Int64:
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = values.str.split("|")
    ids = values.cast(pl.List(events.frame.schema[ITEM_ID]), strict=False)
    bad = ids.list.eval(pl.element().is_null()).list.any().fill_null(False)
    findings.record(Fault.WRONG_TYPE, events, bad, IMPRESSIONS, "the ids that can't be read are left out")
    return events.with_columns(ids.list.drop_nulls().alias(IMPRESSIONS))


def _nearest(name: str, table: Table) -> str:
    return nearest(name, [column for column in table.frame.columns if column != ROW])
