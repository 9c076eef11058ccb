"""Rows that say the same twice, and events of items or members that nobody described."""

from __future__ import annotations

import polars as pl

from palate.data.report import Fault, Findings
from palate.data.schema import Schema
from palate.data.table import ROW, Table
from palate.words import EVENT_ID, ITEM_ID, LAUNCH_TIME, POSITION, TIMESTAMP, USER_ID


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
        findings.record(fault, events, unknown, column, f"kept, {what} ({distinct:,} different; not in {table.label})")
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
