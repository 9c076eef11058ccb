"""What reading found and did: every repair counted, with file, column and an example; printable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

import polars as pl

from palate.data.table import ROW, Table
from palate.errors import EmptyTableError, StrictError

INFERRED: Final = "inferred"
"""Source of a schema that nobody stated."""

DIFFERENT: Final = "{different}"
"""Stands in the action of a repair for a number that `Findings.tell` says once all is known."""


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


@dataclass
class _Found:
    """A repair as it is counted; ``row`` of the source is the example's."""

    fault: Fault
    file: str
    column: str | None
    action: str
    rows: int = 0
    example: str = ""
    row: int = 0


class Findings:
    """Collects repairs and notes while the tables are read, in the order in which they are looked for.

    What was looked for and not found is remembered with no rows, so that the findings about the pieces of a table
    add up in the same order as those about the whole.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._found: list[_Found] = []

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """What was repaired."""
        return tuple(
            Repair(each.fault, each.file, each.column, each.rows, each.example, each.action)
            for each in self._found
            if each.rows
        )

    def adopt(self, repair: Repair) -> None:
        """Add a repair that was counted elsewhere."""
        self._found.append(_Found(repair.fault, repair.file, repair.column, repair.action, repair.rows, repair.example))

    def rows(self, fault: Fault, column: str | None = None) -> int:
        """Rows of one fault, in one column or in all."""
        return sum(
            each.rows for each in self._found if each.fault == fault and (column is None or each.column == column)
        )

    def add(
        self, fault: Fault, table: Table, column: str | None, rows: int, example: str, action: str, row: int = 0
    ) -> None:
        """Record a repair of ``rows`` rows; ``row`` of the source is the example's."""
        self._found.append(_Found(fault, table.label, column, action, rows, example if rows else "", row))

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
        example, row = "", 0
        if rows:
            first = table.frame.row(int(bad.arg_true()[0]), named=True)
            row = int(first[ROW])
            shown = [f"{name} {_short(first[name])}" for name in (column, *also) if name in first]
            example = f"row {row + 1}: {', '.join(shown)}"
        self.add(fault, table, column, rows, example, action, row)
        return rows

    def drop(self, fault: Fault, table: Table, bad: pl.Series, column: str, also: Iterable[str] = ()) -> Table:
        """The table without the rows marked by ``bad`` [rows], which are recorded."""
        if not self.record(fault, table, bad, column, "dropped", also):
            return table
        return table.having(table.frame.filter(~bad))

    def take(self, pieces: Iterable[Findings], *, first_row: bool) -> None:
        """Add what was found in the pieces of one table, each of which was looked at in the same way.

        The example is the piece's with the smallest source row (``first_row``), or that of the first piece.
        """
        merged: list[_Found] = []
        for piece in pieces:
            merged = merged or [replace(each, rows=0, example="") for each in piece._found]
            assert [_what(each) for each in merged] == [_what(each) for each in piece._found], "the same looks"
            for whole, part in zip(merged, piece._found, strict=True):
                if part.rows and (not whole.rows or (first_row and part.row < whole.row)):
                    whole.example, whole.row = part.example, part.row
                whole.rows += part.rows
        self._found += merged

    def absorb(self, other: Findings) -> None:
        """Add all that was found elsewhere, notes too."""
        self._found += other._found
        for text in other.notes:
            self.note(text)

    def tell(self, fault: Fault, different: int) -> None:
        """Fill in how many different values a fault has."""
        for each in self._found:
            if each.fault == fault:
                each.action = each.action.replace(DIFFERENT, f"{different:,}")

    def to_list(self) -> list[dict[str, object]]:
        """What was found as plain values, for `from_list`; notes are left out."""
        return [asdict(each) for each in self._found]

    @classmethod
    def from_list(cls, content: Iterable[dict[str, Any]]) -> Findings:
        """The findings that `to_list` gave."""
        findings = cls()
        findings._found = [_Found(**{**each, "fault": Fault(each["fault"])}) for each in content]
        return findings

    def some_left(self, table: Table) -> Table:
        """The table; an `EmptyTableError` that lists its repairs where no row is left."""
        self.expect_rows(table, table.frame.height)
        return table

    def expect_rows(self, table: Table, rows: int) -> None:
        """Raise an `EmptyTableError` that lists the repairs of a table where no row of it is left."""
        if not rows:
            why = "; ".join(str(repair) for repair in self.repairs if repair.file == table.label)
            raise EmptyTableError(f"{table.source}: no row is left; {why or 'the schema drops every event'}")

    def refuse(self, source: str) -> None:
        """Raise a `StrictError` that lists every repair of ``source``, where there is any."""
        repairs = self.repairs
        if repairs:
            count = "1 repair" if len(repairs) == 1 else f"{len(repairs)} repairs"
            raise StrictError(
                f"{source}: {count} needed: " + "; ".join(map(str, repairs)),
                hint="correct the source, or read it without strict",
            )


def _what(found: _Found) -> tuple[Fault, str, str | None, str]:
    return found.fault, found.file, found.column, found.action


def _short(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
