"""Tables from a folder or from frames of several libraries, as they are, before any check of their content.

A folder holds ``events``, and where they exist ``items`` and ``users``, each as ``.parquet``, ``.csv`` or
``.csv.gz``, and ``schema.yaml``; whatever else lies there is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

import polars as pl

from palate.data.delimited import read_csv, typed
from palate.data.report import INFERRED, Fault, Findings
from palate.data.schema import SCHEMA_FILE, Schema
from palate.data.table import ROW, Table, TableName
from palate.errors import ColumnTypeError, DataError, EmptyTableError, MissingTableError, TornFileError

_FORMATS: Final = (".parquet", ".csv", ".csv.gz")
_MISSING: Final = ("", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "\\N")
"""Texts that stand for a missing value."""


@dataclass(frozen=True)
class Tables:
    """The tables of a dataset; every frame has the row in the source as an extra column."""

    events: Table
    items: Table | None
    users: Table | None
    schema: Schema | None
    schema_source: str
    source: str
    """The folder, or "frames"."""


def read_folder(folder: Path | str, findings: Findings, *, with_schema: bool = True) -> Tables:
    """Read a data folder, and its schema unless one is stated; what can't be read is a named error with the file."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise MissingTableError(f"{folder}: {what}", hint="give the folder that holds events.parquet or events.csv")
    events = _read_table(folder, "events", findings)
    if events is None:
        found = sorted(path.name for path in folder.iterdir())
        shown = f"; it holds {', '.join(found[:8])}" if found else "; it is empty"
        raise MissingTableError(
            f"{folder}: no events table{shown}", hint="it must be called events.parquet, events.csv or events.csv.gz"
        )
    schema_file = folder / SCHEMA_FILE
    schema = Schema.from_yaml(schema_file) if with_schema and schema_file.exists() else None
    source = INFERRED if schema is None else str(schema_file)
    return Tables(
        events,
        _read_table(folder, "items", findings),
        _read_table(folder, "users", findings),
        schema,
        source,
        str(folder),
    )


def read_frames(events: object, items: object, users: object, findings: Findings) -> Tables:
    """Take frames of Polars, pandas or Arrow; anything else is a `ColumnTypeError`."""
    return Tables(
        _from_frame(events, "events", findings),
        None if items is None else _from_frame(items, "items", findings),
        None if users is None else _from_frame(users, "users", findings),
        None,
        INFERRED,
        "frames",
    )


def _read_table(folder: Path, name: TableName, findings: Findings) -> Table | None:
    paths = [path for suffix in _FORMATS if (path := folder / f"{name}{suffix}").is_file()]
    if len(paths) > 1:
        raise DataError(
            f"{folder}: {' and '.join(path.name for path in paths)} are both there", hint="keep one of the two"
        )
    if not paths:
        return None
    path = paths[0]
    if path.suffix == ".parquet":
        return _table(_read_parquet(path), name, str(path), findings)
    frame, malformed = read_csv(path)
    if malformed.count > frame.height:
        raise TornFileError(
            f"{path}: {malformed.count:,} of {malformed.count + frame.height:,} rows don't fit the header, "
            f"e.g. {malformed.example}",
            hint="check the delimiter and the quoting",
        )
    table = _table(typed(_without_missing(frame, path.name, findings)), name, str(path), findings)
    findings.add(Fault.MALFORMED_ROW, table, None, malformed.count, malformed.example, "dropped")
    return table


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path).collect(engine="streaming")
    except PermissionError as error:
        raise DataError(f"{path}: this file may not be read") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TornFileError(
            f"{path}: not a whole Parquet file: {reason}", hint="it may have been cut off; copy or write it again"
        ) from error


def _from_frame(frame: object, name: TableName, findings: Findings) -> Table:
    source = f"{name} frame"
    if isinstance(frame, pl.LazyFrame):
        return _table(frame.collect(engine="streaming"), name, source, findings)
    if isinstance(frame, pl.DataFrame):
        return _table(frame, name, source, findings)
    library = type(frame).__module__.partition(".")[0]
    try:
        if library == "pandas":
            converted = pl.from_pandas(frame, nan_to_null=True)  # type: ignore[call-overload]
        elif library == "pyarrow":
            converted = pl.from_arrow(frame)
        else:
            raise ColumnTypeError(
                f"{source}: a {type(frame).__name__} is no frame", hint="give a Polars, pandas or Arrow table"
            )
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ColumnTypeError(f"{source}: values of several types in one column: {reason}") from error
    assert isinstance(converted, pl.DataFrame)
    return _table(converted, name, source, findings)


def _table(frame: pl.DataFrame, name: TableName, source: str, findings: Findings) -> Table:
    if not frame.height:
        raise EmptyTableError(
            f"{source}: the table has no rows",
            hint=None if name == "events" else f"leave {name} out if there is nothing to say",
        )
    frame = _without_missing(_plain_types(frame), PurePath(source).name, findings)
    return Table(name, source, frame.with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64)))


def _plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with few types: Int64, Float64, Boolean, String, dates, lists; what else there is stays."""
    changes: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if dtype == pl.UInt64:
            limit: int | None = frame[name].max()  # type: ignore[assignment]
            changes.append(column.cast(pl.Int64 if limit is None or limit < 2**63 else pl.String))
        elif dtype.is_integer() and dtype != pl.Int64:
            changes.append(column.cast(pl.Int64))
        elif dtype.is_decimal() or dtype == pl.Float32:
            changes.append(column.cast(pl.Float64))
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            changes.append(column.cast(pl.String))
        elif isinstance(dtype, pl.Duration):
            changes.append(column.dt.total_microseconds() / 1e6)
    frame = frame.with_columns(changes)
    floats = [name for name, dtype in frame.schema.items() if dtype == pl.Float64]
    return frame.with_columns(_whole(frame[name].fill_nan(None)) for name in floats)


def _whole(column: pl.Series) -> pl.Series:
    """Whole numbers as integers: a missing value, say, had turned them into floats."""
    if column.null_count() == len(column):
        return column
    whole = (column.is_finite() & (column == column.floor()) & (column.abs() < 2**53)).all()
    return column.cast(pl.Int64) if whole else column


def _without_missing(frame: pl.DataFrame, source: str, findings: Findings) -> pl.DataFrame:
    """Texts that stand for a missing value as null."""
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    if not texts:
        return frame
    counts = frame.select(pl.col(texts).is_in(list(_MISSING)).sum()).row(0, named=True)
    found = {name: count for name, count in counts.items() if count}
    if not found:
        return frame
    shown = ", ".join(f"{name} {count:,}" for name, count in found.items())
    findings.note(f"{source}: texts such as 'N/A' were read as missing: {shown}")
    return frame.with_columns(
        pl.when(pl.col(name).is_in(list(_MISSING))).then(None).otherwise(pl.col(name)).alias(name) for name in found
    )
