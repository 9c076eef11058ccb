"""What to do about the faults that reading repaired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent
from palate.data.report import Fault, Repair
from palate.data.table import TableName
from palate.words import LAUNCH_TIME

ADVICE: Final[dict[Fault, tuple[str, str]]] = {
    Fault.MALFORMED_ROW: (
        "malformed_rows",
        "Quote cells that hold the separator, or write Parquet, which has no such fault.",
    ),
    Fault.NULL_ID: ("null_ids", "Find out which clients log without an id; those events are lost to every member."),
    Fault.UNPARSABLE_TIME: ("unparsable_times", "Write times as ISO 8601 text with a zone, or as milliseconds."),
    Fault.FAR_FUTURE_TIME: (
        "far_future_times",
        "Use the clock of the server, not of the device; if all are affected, state timestamp_unit in schema.yaml.",
    ),
    Fault.MIXED_TIME_UNITS: (
        "mixed_time_units",
        "Two writers use different units: convert one of them, then state timestamp_unit in schema.yaml.",
    ),
    Fault.UNPARSABLE_POSITION: ("unparsable_positions", "Number each member's events with whole numbers."),
    Fault.TIED_POSITION: (
        "tied_positions",
        "Number each member's events without repetition; ties follow the file's order.",
    ),
    Fault.NULL_EVENT_TYPE: (
        "null_event_types",
        'Name the type of every event; those read as "unknown" are input only unless schema.yaml lists it as a target.',
    ),
    Fault.WRONG_TYPE: ("wrong_types", "Correct the cells, or state another kind for the column in schema.yaml."),
    Fault.NEGATIVE_DURATION: (
        "negative_durations",
        "Compute durations by one clock (monotonic, on the device); if negative values mean something, write "
        "`duration: false` for the column in schema.yaml.",
    ),
    Fault.DUPLICATE_EVENT: (
        "duplicate_events",
        "Give every event an event_id when it is made, so that a second delivery is recognised; if equal rows are real "
        "events, write `duplicate_events: keep` in schema.yaml.",
    ),
    Fault.DUPLICATE_EVENT_ID: (
        "duplicate_event_ids",
        "A delivery sends events twice, or ids are reused: check that rows with one id are equal; the first is kept.",
    ),
    Fault.DUPLICATE_ROW: ("duplicate_rows", "Export one row an id; the last is kept, as later rows are newer."),
    Fault.UNKNOWN_ITEM: (
        "items_without_row",
        "Export the whole catalogue, retired items too, or check that both tables write ids alike.",
    ),
    Fault.UNKNOWN_MEMBER: (
        "members_without_row",
        "Export all members of the period, or check that both tables write ids alike.",
    ),
    Fault.EVENT_BEFORE_LAUNCH: (
        "events_before_launch",
        f"Check the zone of {LAUNCH_TIME} (UTC) and whether it is a first or a regional launch; these targets can't be "
        "hit, since the item is no candidate yet.",
    ),
}
"""Code and next step of each fault."""

_MANY_UNKNOWN: Final = 0.5
"""Share of the events of unknown items or members above which the tables don't belong together."""


def check_repairs(evidence: Evidence) -> Iterator[Finding]:
    """One finding a repair; it is a warning where it touched many rows."""
    config = evidence.config
    for repair in evidence.dataset.report.repairs:
        code, advice = ADVICE[repair.fault]
        table = _table(repair)
        share = min(1.0, repair.rows / max(1, _rows(evidence, table)))
        severity = Severity.WARNING if share > config.max_repaired else Severity.INFO
        if repair.fault in (Fault.UNKNOWN_ITEM, Fault.UNKNOWN_MEMBER) and share > _MANY_UNKNOWN:
            severity = Severity.ERROR
        where = repair.file if repair.column is None else f"{repair.file}, column {repair.column}"
        yield Finding(
            code=code,
            severity=severity,
            what=f"{where}: {repair.fault} in {count(repair.rows, 'row')} ({percent(share)}); {repair.action}.",
            table=table,
            column=repair.column,
            example=repair.example,
            advice=advice,
            measure="share of rows",
            figure=share,
            bound="at most",
            threshold=config.max_repaired,
        )


def _table(repair: Repair) -> TableName:
    """The table of a repair, whose source is a file such as items.csv or a frame such as "items frame"."""
    return "items" if repair.file.startswith("items") else "users" if repair.file.startswith("users") else "events"


def _rows(evidence: Evidence, table: TableName) -> int:
    if table == "events":
        return evidence.dataset.report.rows_read
    frame = evidence.frame(table)
    return 0 if frame is None else frame.height
