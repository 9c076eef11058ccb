"""What reading found and did: every repair counted, with file, column and an example; printable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import polars as pl

from palate.data.table import ROW, Table
from palate.errors import EmptyTableError, StrictError

INFERRED: Final = "inferred"
"""Source of a schema that nobody stated."""


class Fault(StrEnum):
    """What can be wrong with rows that reading repairs."""

    MALFORMED_ROW = "malformed row"
    NULL_ID = "null id"
    UNPARSABLE_TIME = "unparsable time"
    FAR_FUTURE_TIME = "far-future time"
    MIXED_TIME_UNITS = "time in another unit"
    UNPARSABLE_POSITION = "unparsable position"
    TIED_POSITION = "tied position"
    NULL_EVENT_TYPE = "null event type"
    WRONG_TYPE = "wrong type"
    NEGATIVE_DURATION = "negative duration"
    DUPLICATE_EVENT = "duplicate event"
    DUPLICATE_EVENT_ID = "duplicate event id"
    DUPLICATE_ROW = "duplicate id"
    UNKNOWN_ITEM = "unknown item"
    UNKNOWN_MEMBER = "unknown member"
    EVENT_BEFORE_LAUNCH = "event before launch"


@dataclass(frozen=True)
class Repair:
    """One kind of fault in one column: how many rows, an example, and what was done."""

    fault: Fault
    file: str
    column: str | None
    rows: int
    example: str
    action: str

    def __str__(self) -> str:
        where = self.file if self.column is None else f"{self.file}, column {self.column}"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{where}: {self.fault} in {rows}, e.g. {self.example}: {self.action}"


@dataclass(frozen=True)
class Report:
    """The outcome of reading a dataset."""

    rows_read: int
    rows_kept: int
    order_rule: str
    time_unit: str | None
    schema_source: str
    repairs: tuple[Repair, ...]
    notes: tuple[str, ...]

    @property
    def repaired_rows(self) -> dict[Fault, int]:
        """Rows of each fault, over all files and columns."""
        counts: dict[Fault, int] = {}
        for repair in self.repairs:
            counts[repair.fault] = counts.get(repair.fault, 0) + repair.rows
        return counts

    def to_dict(self) -> dict[str, object]:
        """The report as plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.rows_kept:,} of {self.rows_read:,} events kept",
            f"schema: {self.schema_source}",
            f"order: {self.order_rule}",
        ]
        if self.time_unit is not None:
            lines.append(f"time: {self.time_unit}")
        lines += [f"repair: {repair}" for repair in self.repairs]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


class Findings:
    """Collects repairs and notes while the tables are read."""

    def __init__(self) -> None:
        self.repairs: list[Repair] = []
        self.notes: list[str] = []

    def add(self, fault: Fault, table: Table, column: str | None, rows: int, example: str, action: str) -> None:
        """Record a repair of ``rows`` rows; none is recorded for zero rows."""
        if rows:
            self.repairs.append(Repair(fault, table.label, column, rows, example, action))

    def note(self, text: str) -> None:
        """Record something worth knowing that changed no data."""
        if text not in self.notes:
            self.notes.append(text)

    def record(
        self, fault: Fault, table: Table, bad: pl.Series, column: str, action: str, also: Iterable[str] = ()
    ) -> int:
        """Record the rows of ``table`` marked by ``bad`` [rows]; the first of them is the example.

        The example shows the source row (from 1), the column's value there and the values of ``also``.
        """
        rows = int(bad.sum())
        if rows:
            first = table.frame.row(int(bad.arg_true()[0]), named=True)
            shown = [f"{name} {_short(first[name])}" for name in (column, *also) if name in first]
            self.add(fault, table, column, rows, f"row {first[ROW] + 1}: {', '.join(shown)}", action)
        return rows

    def drop(self, fault: Fault, table: Table, bad: pl.Series, column: str, also: Iterable[str] = ()) -> Table:
        """The table without the rows marked by ``bad`` [rows], which are recorded."""
        if not self.record(fault, table, bad, column, "dropped", also):
            return table
        return table.having(table.frame.filter(~bad))

    def some_left(self, table: Table) -> Table:
        """The table; an `EmptyTableError` that lists its repairs where no row is left."""
        if not table.frame.height:
            why = "; ".join(str(repair) for repair in self.repairs if repair.file == table.label)
            raise EmptyTableError(f"{table.source}: no row is left; {why or 'the schema drops every event'}")
        return table

    def refuse(self, source: str) -> None:
        """Raise a `StrictError` that lists every repair of ``source``, where there is any."""
        if self.repairs:
            count = "1 repair" if len(self.repairs) == 1 else f"{len(self.repairs)} repairs"
            raise StrictError(
                f"{source}: {count} needed: " + "; ".join(map(str, self.repairs)),
                hint="correct the source, or read it without strict",
            )


def _short(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
