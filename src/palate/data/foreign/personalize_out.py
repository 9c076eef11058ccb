"""Writing Amazon Personalize: a CSV file and an Avro schema for each table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from palate.data.dataset import Dataset
from palate.data.foreign.avro import Field, is_field_name, record_json
from palate.data.foreign.columns_out import Losses, frames, inside_lists, is_number, is_text, leaving, refuse_in_ids
from palate.data.foreign.datasets import KNOWN
from palate.data.schema import Column, Kind
from palate.data.table import TableName
from palate.errors import DataError, MissingColumnError
from palate.words import (
    AVAILABLE_UNTIL,
    EVENT_ID,
    EVENT_TYPE,
    EVENT_VALUE,
    IMPRESSIONS,
    ITEM_ID,
    LAUNCH_TIME,
    ORDER,
    SESSION_ID,
    TIMESTAMP,
    USER_ID,
)

_FILES: Final[dict[TableName, tuple[str, str]]] = {
    "events": ("interactions", "Interactions"),
    "items": ("items", "Items"),
    "users": ("users", "Users"),
}
_IDS: Final = (USER_ID, ITEM_ID, SESSION_ID, EVENT_ID)
_MOMENTS: Final = (TIMESTAMP, LAUNCH_TIME, AVAILABLE_UNTIL)
_MOST_METADATA: Final[dict[TableName, int]] = {"events": 5, "items": 100, "users": 25}
"""Columns besides the reserved ones that Personalize takes."""


def write_personalize(dataset: Dataset, folder: Path, _name: str) -> list[str]:
    """Write the files into ``folder``; returns a note for each loss.

    Raises `MissingColumnError` for events without a time, `DataError` for column names that Avro can't have and for
    impressions with a bar in an id.
    """
    if TIMESTAMP not in dataset.events.columns:
        raise MissingColumnError(
            "events: Personalize needs times, and there are only positions", hint="no time is invented; use RecBole"
        )
    losses = Losses()
    for table, frame in frames(dataset).items():
        columns = leaving(dataset, table, frame, losses, keep=("recommendation_id",))
        if table == "users" and len(columns) == 1:
            losses.left_out("users", "Personalize wants at least one attribute beside the id")
            continue
        _write(table, frame, columns, folder, losses)
    return losses.notes


def _write(
    table: TableName, frame: pl.DataFrame, columns: dict[str, Column | None], folder: Path, losses: Losses
) -> None:
    reserved = {target: source for source, target in KNOWN[table].items()}
    fields: list[Field] = []
    values: list[pl.Series] = []
    for name, column in columns.items():
        if name == ORDER and table == "events":
            losses.left_out("events.order", "rows stand in its order instead")
            continue
        if (is_text(column) and table != "items") or (column is not None and column.kind == Kind.VECTOR):
            assert column is not None
            losses.left_out(f"{table}.{name}", f"Personalize has no {column.kind} there")
            continue
        called = reserved.get(name, name.upper())
        if not is_field_name(called):
            raise DataError(
                f"{table}.{name}: not a name that a Personalize schema can have",
                hint="use letters, digits and underscores, or give it the role ignore in schema.yaml",
            )
        if called in [field.name for field in fields]:
            raise DataError(f"{table}: two columns would be called {called}", hint="rename one of them")
        series = _values(table, frame, name, column, losses).alias(called)
        values.append(series)
        fields.append(_field(series, name, column))
    extra = [field.name for field in fields if field.name not in reserved.values()]
    if len(extra) > _MOST_METADATA[table]:
        losses.notes.append(
            f"{table}: {len(extra)} columns of your own; Personalize takes {_MOST_METADATA[table]}: {', '.join(extra)}"
        )
    file, record = _FILES[table]
    pl.DataFrame(values).write_csv(folder / f"{file}.csv")
    (folder / f"{file}-schema.json").write_text(record_json(record, fields), encoding="utf-8")


def _values(table: TableName, frame: pl.DataFrame, name: str, column: Column | None, losses: Losses) -> pl.Series:
    values, where = frame[name], f"{table}.{name}"
    if name in _MOMENTS or (column is not None and column.kind == Kind.TIMESTAMP):
        seconds = values.cast(pl.Int64) // 1000
        cut = int((seconds * 1000 != values.cast(pl.Int64)).sum())
        if cut:
            losses.notes.append(f"{where}: milliseconds were cut off in {cut:,} values, since Personalize has seconds")
        return seconds
    if name == IMPRESSIONS and table == "events":
        refuse_in_ids(frame, name, r"\|", "a bar", "Personalize separates impressions by bars; rename the items")
        return values.cast(pl.List(pl.String)).list.join("|")
    if name in _IDS or name == EVENT_TYPE:
        return values.cast(pl.String)
    assert column is not None
    if is_number(name, column, values) or is_text(column):
        return values.cast(pl.String if is_text(column) else pl.Float64)
    what = "bars were replaced by slashes, since bars separate categories"
    if column.kind == Kind.MULTI_CATEGORICAL:
        return inside_lists(values, r"\|", "/", where, what, losses).list.join("|")
    text = values.cast(pl.String)
    return losses.replaced(where, text, text.str.replace_all("|", "/", literal=True), what)


def _field(values: pl.Series, name: str, column: Column | None) -> Field:
    nullable = values.null_count() > 0
    if values.dtype == pl.Int64:
        return Field(values.name, "long", nullable=nullable)
    if name == EVENT_VALUE:
        return Field(values.name, "float", nullable=nullable)
    if values.dtype == pl.Float64:
        return Field(values.name, "double", nullable=nullable)
    plain = name in (USER_ID, ITEM_ID, EVENT_TYPE, IMPRESSIONS, "recommendation_id")
    textual = is_text(column)
    return Field(values.name, "string", nullable=nullable, categorical=not plain and not textual, textual=textual)
