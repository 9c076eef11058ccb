"""Rows that say the same twice, and events of items or members that nobody described."""

from __future__ import annotations

import polars as pl

from palate.data.report import DIFFERENT, Fault, Findings
from palate.data.schema import Schema
from palate.data.table import ROW, Table
from palate.words import EVENT_ID, ITEM_ID, LAUNCH_TIME, POSITION, TIMESTAMP, USER_ID


def drop_repeated_ids(table: Table, column: str, findings: Findings) -> Table:
    """One row an id: the last one, since later lines of a catalogue are newer."""
    repeated = ~table.frame[column].is_last_distinct()
    findings.record(Fault.DUPLICATE_ROW, table, repeated, column, "the last row of each id is kept")
    return table.having(table.frame.filter(~repeated)) if repeated.any() else table


def drop_exact_duplicates(events: Table, schema: Schema, findings: Findings) -> Table:
    """Sorted events of some or all members without those that equal an earlier one in everything."""
    if schema.duplicate_events == "keep":
        return events
    moment = TIMESTAMP if TIMESTAMP in events.frame.columns else POSITION
    repeated = _exact_duplicates(events.frame, moment)
    return findings.drop(Fault.DUPLICATE_EVENT, events, repeated, USER_ID, (ITEM_ID, moment))


def repeated_event_ids(ids: pl.Series) -> pl.Series:
    """Whether an earlier event, of those sorted, has the same id, ``[events]`` Boolean."""
    return ~ids.is_first_distinct() & ids.is_not_null()


def drop_repeated_event_ids(events: Table, repeated: pl.Series, findings: Findings) -> Table:
    """Sorted events of some or all members without those marked by ``repeated`` [events]."""
    return findings.drop(Fault.DUPLICATE_EVENT_ID, events, repeated, EVENT_ID, (USER_ID, ITEM_ID))


def record_tied_positions(events: Table, findings: Findings) -> None:
    """Record sorted events of some or all members that have the position of the member's event before."""
    frame = events.frame
    if POSITION in frame.columns:
        tied = (frame[USER_ID] == frame[USER_ID].shift()) & (frame[POSITION] == frame[POSITION].shift())
        findings.record(
            Fault.TIED_POSITION,
            events,
            tied.fill_null(False),
            POSITION,
            "kept, in the order of the source",
            (USER_ID, ITEM_ID),
        )


def record_unknown(events: Table, table: Table, findings: Findings) -> pl.Series:
    """Record events of items or members that their table doesn't know; the result are these ids, once each.

    The action that is recorded leaves their number open, for `Findings.tell`.
    """
    column, fault = (ITEM_ID, Fault.UNKNOWN_ITEM) if table.name == "items" else (USER_ID, Fault.UNKNOWN_MEMBER)
    unknown = ~events.frame[column].is_in(table.frame[column].implode())
    what = "without metadata" if table.name == "items" else "without attributes"
    findings.record(fault, events, unknown, column, f"kept, {what} ({DIFFERENT} different; not in {table.label})")
    return events.frame[column].filter(unknown).unique()


def record_early(events: Table, items: Table, findings: Findings) -> None:
    """Record events before the launch of their item."""
    if LAUNCH_TIME in items.frame.columns and TIMESTAMP in events.frame.columns:
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
