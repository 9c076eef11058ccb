"""Writing RecBole's atomic files: NAME.inter, NAME.item and NAME.user, named after their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from palate.data.dataset import Dataset
from palate.data.foreign.columns_out import (
    Losses,
    frames,
    inside_lists,
    is_number,
    leaving,
    refuse_in_ids,
    without_line_ends,
)
from palate.data.schema import Column, Kind
from palate.data.table import TableName
from palate.errors import DataError
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

_SUFFIXES: Final[dict[TableName, str]] = {"events": "inter", "items": "item", "users": "user"}
_IDS: Final = (USER_ID, ITEM_ID, SESSION_ID, EVENT_ID)
_MOMENTS: Final = (TIMESTAMP, LAUNCH_TIME, AVAILABLE_UNTIL)
_HINT: Final = "atomic files can't quote; rename the ids"


def write_recbole(dataset: Dataset, folder: Path, name: str) -> list[str]:
    """Write the files into ``folder``; returns a note for each loss.

    Raises `DataError` for ids with tabs or line ends, or impressions with spaces, which the format can't hold.
    """
    losses = Losses()
    for table, frame in frames(dataset).items():
        columns: list[pl.Series] = []
        for column, described in leaving(dataset, table, frame, losses).items():
            if any(sign in column for sign in "\t\r\n:"):
                raise DataError(f"{table}.{column!r}: not a name that an atomic file can have", hint="rename it")
            values, kind = _values(table, frame, column, described, losses)
            columns.append(values.alias(f"{column}:{kind}"))
        path = folder / f"{name}.{_SUFFIXES[table]}"
        pl.DataFrame(columns).write_csv(path, separator="\t", quote_style="never")
    return losses.notes


def _values(
    table: TableName, frame: pl.DataFrame, name: str, column: Column | None, losses: Losses
) -> tuple[pl.Series, str]:
    """A column and its type."""
    values, where = frame[name], f"{table}.{name}"
    if column is None:
        return _fixed(frame, name, where, losses)
    if column.kind == Kind.TIMESTAMP:
        return values.cast(pl.Float64) / 1000, "float"
    if is_number(name, column, values):
        return values.cast(pl.Float64), "float"
    if column.kind == Kind.VECTOR:
        return values.cast(pl.List(pl.String)).list.join(" "), "float_seq"
    if column.kind == Kind.MULTI_CATEGORICAL:
        what = "spaces inside values were replaced by underscores, since spaces separate values"
        return inside_lists(values, r"[ \t\r\n]", "_", where, what, losses).list.join(" "), "token_seq"
    text = without_line_ends(values.cast(pl.String), where, losses)
    return text, "token_seq" if column.kind == Kind.TEXT else "token"


def _fixed(frame: pl.DataFrame, name: str, where: str, losses: Losses) -> tuple[pl.Series, str]:
    """A column with a meaning of its own."""
    values = frame[name]
    if name in _MOMENTS:
        return values.cast(pl.Float64) / 1000, "float"
    if name in (ORDER, POSITION):
        return values.cast(pl.Float64), "float"
    if name == IMPRESSIONS:
        refuse_in_ids(frame, name, r"[ \t\r\n]", "spaces, tabs or line ends", _HINT)
        return values.cast(pl.List(pl.String)).list.join(" "), "token_seq"
    if name == EVENT_TYPE:
        return without_line_ends(values.cast(pl.String), where, losses), "token"
    assert name in _IDS
    refuse_in_ids(frame, name, r"[\t\r\n]", "tabs or line ends", _HINT)
    return values.cast(pl.String), "token"
