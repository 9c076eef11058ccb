"""What both exporters do: choose the columns that can leave, and replace what a format can't hold, counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from palate.data.dataset import Dataset
from palate.data.infer import FIXED
from palate.data.schema import Column, Kind, Role
from palate.data.table import TableName
from palate.errors import DataError

_LOOSE: Final = r"[\t\n\r]"


@dataclass
class Losses:
    """What an export leaves out or replaces, as notes."""

    notes: list[str] = field(default_factory=list)

    def replaced(self, where: str, before: pl.Series, after: pl.Series, what: str) -> pl.Series:
        """The values after a replacement; those that changed are counted, with the first as an example."""
        changed = (before != after).fill_null(False)
        if changed.any():
            first = before.filter(changed)[0]
            self.notes.append(f"{where}: {what} in {int(changed.sum()):,} values, e.g. {first!r}")
        return after

    def left_out(self, where: str, why: str) -> None:
        """A column that does not leave."""
        self.notes.append(f"{where}: left out: {why}")


def frames(dataset: Dataset) -> dict[TableName, pl.DataFrame]:
    """The tables that there are."""
    tables: dict[TableName, pl.DataFrame | None] = {
        "events": dataset.events,
        "items": dataset.items,
        "users": dataset.users,
    }
    return {name: table for name, table in tables.items() if table is not None}


def leaving(
    dataset: Dataset, table: TableName, frame: pl.DataFrame, losses: Losses, keep: tuple[str, ...] = ()
) -> dict[str, Column | None]:
    """The columns of a table that are exported: with their description, or None for those of a meaning of their own.

    Columns that the schema ignores stay behind, but for those in ``keep``.
    """
    described = dataset.schema.columns(table)
    columns: dict[str, Column | None] = {}
    for name in frame.columns:
        if name in FIXED[table]:
            columns[name] = None
            continue
        column = described[name]
        if column.role == Role.IGNORE and name not in keep:
            losses.left_out(f"{table}.{name}", "the schema ignores it")
        else:
            columns[name] = column
    return columns


def refuse_in_ids(frame: pl.DataFrame, column: str, pattern: str, what: str, hint: str) -> None:
    """Raise a `DataError` where an id, or one of a list of ids, holds what the format uses between values."""
    ids = frame[column]
    if isinstance(ids.dtype, pl.List):
        ids = ids.explode()
    ids = ids.cast(pl.String)
    bad = ids.str.contains(pattern).fill_null(False)
    if bad.any():
        raise DataError(f"column {column}: {int(bad.sum()):,} ids hold {what}, e.g. {ids.filter(bad)[0]!r}", hint=hint)


def without_line_ends(values: pl.Series, where: str, losses: Losses) -> pl.Series:
    """Text with spaces in place of tabs and line ends."""
    return losses.replaced(
        where, values, values.str.replace_all(_LOOSE, " "), "tabs and line ends were replaced by spaces"
    )


def inside_lists(lists: pl.Series, pattern: str, by: str, where: str, what: str, losses: Losses) -> pl.Series:
    """Lists of text with a replacement inside their values, counted by value."""
    values = lists.explode()
    losses.replaced(where, values, values.str.replace_all(pattern, by), what)
    return lists.list.eval(pl.element().str.replace_all(pattern, by))


def is_number(name: str, column: Column | None, values: pl.Series) -> bool:
    """Whether a column leaves as numbers: quantities, and whole ratings and labels, which may be categories here."""
    if column is None:
        return False
    return column.kind == Kind.NUMERIC or (name in ("rating", "label") and values.dtype == pl.Int64)


def is_text(column: Column | None) -> bool:
    """Whether a column holds prose."""
    return column is not None and column.kind == Kind.TEXT
