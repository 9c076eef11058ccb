"""Tables from a folder or from frames of several libraries, as they are, before any check of their content.

A folder holds ``events``, and where they exist ``items`` and ``users``, each as ``.parquet``, ``.csv`` or
``.csv.gz``, and ``schema.yaml``; whatever else lies there is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

import polars as pl

from palate.data.delimited import Malformed, read_csv
from palate.data.forms import cleaned, forms, shaped, survey
from palate.data.report import INFERRED, Fault, Findings
from palate.data.schema import SCHEMA_FILE, Schema
from palate.data.table import ROW, Table, TableName
from palate.errors import ColumnTypeError, DataError, EmptyTableError, MissingTableError, TornFileError

_FORMATS: Final = (".parquet", ".csv", ".csv.gz")


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


@dataclass(frozen=True)
class FoundFiles:
    """The files of a data folder."""

    events: Path
    items: Path | None
    users: Path | None
    schema: Schema | None
    schema_source: str


def find_files(folder: Path | str, schema: Schema | None = None) -> FoundFiles:
    """Look what a data folder holds; ``schema`` takes the place of its schema.yaml.

    Raises a `MissingTableError` without an events table, a `SchemaError` for a schema.yaml that can't be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise MissingTableError(f"{folder}: {what}", hint="give the folder that holds events.parquet or events.csv")
    events = _table_path(folder, "events")
    if events is None:
        found = sorted(path.name for path in folder.iterdir())
        shown = f"; it holds {', '.join(found[:8])}" if found else "; it is empty"
        if {"manifest.json", "seen.parquet"} <= set(found):
            raise MissingTableError(
                f"{folder}: a prepared log, not a data folder",
                hint="palate tokenize and palate pretrain read it; give the folder that it was made from",
            )
        raise MissingTableError(
            f"{folder}: no events table{shown}",
            hint="it must be called events.parquet, events.csv or events.csv.gz; palate data convert makes it from "
            "the files of MovieLens, Amazon Personalize and RecBole",
        )
    schema_file = folder / SCHEMA_FILE
    source = INFERRED
    if schema is not None:
        source = "schema given"
    elif schema_file.exists():
        schema, source = Schema.from_yaml(schema_file), str(schema_file)
    return FoundFiles(events, _table_path(folder, "items"), _table_path(folder, "users"), schema, source)


def read_folder(folder: Path | str, findings: Findings, schema: Schema | None = None) -> Tables:
    """Read a data folder; what can't be read is a named error with the file. Other errors as `find_files`."""
    files = find_files(folder, schema)
    events = _read_table(files.events, "events", findings)
    items, users = read_small_tables(files, findings)
    return Tables(events, items, users, files.schema, files.schema_source, str(folder))


def read_small_tables(files: FoundFiles, findings: Findings) -> tuple[Table | None, Table | None]:
    """Items and users, where they exist."""
    return (
        None if files.items is None else _read_table(files.items, "items", findings),
        None if files.users is None else _read_table(files.users, "users", findings),
    )


def read_frames(
    events: object, items: object, users: object, findings: Findings, schema: Schema | None = None
) -> Tables:
    """Take frames of Polars, pandas or Arrow; anything else is a `ColumnTypeError`."""
    return Tables(
        _from_frame(events, "events", findings),
        None if items is None else _from_frame(items, "items", findings),
        None if users is None else _from_frame(users, "users", findings),
        schema,
        INFERRED if schema is None else "schema given",
        "frames",
    )


def _table_path(folder: Path, name: TableName) -> Path | None:
    paths = [path for suffix in _FORMATS if (path := folder / f"{name}{suffix}").is_file()]
    if len(paths) > 1:
        raise DataError(
            f"{folder}: {' and '.join(path.name for path in paths)} are both there", hint="keep one of the two"
        )
    return paths[0] if paths else None


def _read_table(path: Path, name: TableName, findings: Findings) -> Table:
    if path.suffix == ".parquet":
        return _table(_read_parquet(path), name, str(path), findings)
    frame, malformed = read_csv(path)
    refuse_malformed(path, malformed, frame.height)
    table = _table(frame, name, str(path), findings, written=True)
    findings.add(Fault.MALFORMED_ROW, table, None, malformed.count, malformed.example, "dropped")
    return table


def refuse_malformed(path: Path, malformed: Malformed, rows: int) -> None:
    """Raise a `TornFileError` where more rows don't fit the header than do."""
    if malformed.count > rows:
        raise TornFileError(
            f"{path}: {malformed.count:,} of {malformed.count + rows:,} rows don't fit the header, "
            f"e.g. {malformed.example}",
            hint="check the delimiter and the quoting",
        )


def _read_parquet(path: Path) -> pl.DataFrame:
    with reading_parquet(path):
        return pl.scan_parquet(path).collect(engine="streaming")


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a Parquet file is read into named errors."""
    try:
        yield
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


def _table(frame: pl.DataFrame, name: TableName, source: str, findings: Findings, *, written: bool = False) -> Table:
    refuse_empty(name, source, frame.height)
    frame, missing = cleaned(frame)
    note_missing(PurePath(source).name, frame.columns, missing, findings)
    frame = shaped(frame, forms(frame.schema, survey(frame, written=written)))
    return Table(name, source, with_rows(frame, 0))


def refuse_empty(name: TableName, source: str, rows: int) -> None:
    """Raise an `EmptyTableError` for a table without rows."""
    if not rows:
        raise EmptyTableError(
            f"{source}: the table has no rows",
            hint=None if name == "events" else f"leave {name} out if there is nothing to say",
        )


def note_missing(label: str, columns: Iterable[str], missing: Mapping[str, int], findings: Findings) -> None:
    """Note how many texts of each column stood for a missing value."""
    shown = ", ".join(f"{name} {missing[name]:,}" for name in columns if missing.get(name))
    if shown:
        findings.note(f"{label}: texts such as 'N/A' were read as missing: {shown}")


def with_rows(frame: pl.DataFrame, first: int) -> pl.DataFrame:
    """The frame with the row in the source, from ``first`` on, as its first column."""
    return frame.with_row_index(ROW, offset=first).with_columns(pl.col(ROW).cast(pl.Int64))
