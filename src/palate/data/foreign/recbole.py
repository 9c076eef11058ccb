"""RecBole's atomic files: tab-separated tables whose header says the type of each column, as in ``rating:float``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from palate.data.foreign.cells import Cells
from palate.data.foreign.config import ConvertConfig
from palate.data.foreign.contents import Contents, contract_names, described, last_of_each
from palate.data.foreign.text import Progress, TextFile, batches, header, read_all
from palate.data.infer import USEFUL_ROLE, is_duration_name
from palate.data.report import Findings
from palate.data.schema import Column, Kind, Role, Schema
from palate.data.table import TableName
from palate.errors import ColumnTypeError, DataError, MissingColumnError, MissingTableError
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

TYPES: Final = ("token", "token_seq", "float", "float_seq")
TEXT_NAME: Final = re.compile(r"(^|_)(title|name|description|text|plot|overview|summary|synopsis|review)(_|$)", re.I)
"""Names of token_seq columns that hold words in an order, and not a set of categories."""

_SUFFIXES: Final[dict[TableName, str]] = {"events": ".inter", "items": ".item", "users": ".user"}
_SAME: Final = {
    name: name for name in (EVENT_TYPE, EVENT_ID, SESSION_ID, ORDER, IMPRESSIONS, LAUNCH_TIME, AVAILABLE_UNTIL)
}
_NEEDED_TYPE: Final = {
    USER_ID: "token",
    ITEM_ID: "token",
    TIMESTAMP: "float",
    POSITION: "float",
    ORDER: "float",
    EVENT_TYPE: "token",
    EVENT_ID: "token",
    SESSION_ID: "token",
    IMPRESSIONS: "token_seq",
    LAUNCH_TIME: "float",
    AVAILABLE_UNTIL: "float",
}
"""Types of the columns that mean something of their own."""


@dataclass(frozen=True)
class _AtomicFile:
    """A file and its typed header."""

    table: TableName
    file: TextFile
    types: dict[str, str]
    """Type of each column, by the name in the file."""
    names: dict[str, str]
    """Contract name of each column, by the name in the file."""


def read_recbole(
    folder: Path, names: tuple[str, ...], config: ConvertConfig, findings: Findings, progress: Progress | None
) -> Contents:
    """The contents of the atomic files in ``folder``; problems are errors that name file and column."""
    inter = _file(folder, names, "events")
    if inter is None:
        raise MissingTableError(
            f"{folder}: no .inter file of RecBole; it holds {', '.join(names[:8])}", hint="the log is called NAME.inter"
        )
    others = [name for name in names if name.endswith((".kg", ".link", ".net"))]
    if others:
        findings.note(f"not read: {', '.join(others)} (knowledge graphs and links)")
    user = _user_column(inter, config)
    item = config.item_column or ITEM_ID
    events = _events(_named(inter, _event_names(inter, user, item, config), findings), findings, progress)
    tables: dict[TableName, pl.DataFrame | None] = {"items": None, "users": None}
    stated: dict[TableName, dict[str, Column]] = {}
    ids: dict[TableName, tuple[str, str]] = {"items": (ITEM_ID, item), "users": (USER_ID, user)}
    for table, (id_name, column) in ids.items():
        file = _file(folder, names, table)
        if file is None:
            continue
        if column not in file.types:
            raise MissingColumnError(
                f"{file.file.path}: no column {column}; there are {', '.join(file.types)}",
                hint=f"the column that {inter.file.path.name} has must be there too; "
                f"--{'item' if table == 'items' else 'user'}-column says how it is called",
            )
        file = _named(file, {column: id_name}, findings)
        frame = last_of_each(_table(file, findings), id_name, file.file.path, findings)
        stated[file.table] = _columns(file, frame)
        tables[file.table] = frame
    stated["events"] = _columns(events.file, None)
    return Contents(
        "RecBole atomic files", events.read(), tables["items"], tables["users"], lambda: Schema.model_validate(stated)
    )


@dataclass(frozen=True)
class _Events:
    file: _AtomicFile
    whole: bool
    """Whether all times are whole numbers."""
    findings: Findings
    progress: Progress | None

    def read(self) -> Iterator[pl.DataFrame]:
        cells = Cells(self.file.file.path)
        for text in batches(self.file.file, self.findings, self.progress):
            frame = _typed(text, self.file, cells)
            if self.whole:
                frame = frame.with_columns(pl.col(_order_column(self.file)).cast(pl.Int64))
            cells.advance(text.height)
            yield frame
        cells.check()


def _events(file: _AtomicFile, findings: Findings, progress: Progress | None) -> _Events:
    """A first pass over the times says whether they are whole."""
    column = next(name for name, target in file.names.items() if target == _order_column(file))
    whole = True
    for text in batches(file.file, Findings(), only=(column,)):
        values = text[column].str.strip_chars().cast(pl.Float64, strict=False)
        whole = whole and bool(((values == values.floor()) & (values.abs() < 2**53)).fill_null(True).all())
    return _Events(file, whole, findings, progress)


def _order_column(file: _AtomicFile) -> str:
    return TIMESTAMP if TIMESTAMP in file.names.values() else POSITION


def _file(folder: Path, names: tuple[str, ...], table: TableName) -> _AtomicFile | None:
    suffix = _SUFFIXES[table]
    found = [name for name in names if name.endswith(suffix)]
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"{folder}: several {suffix} files: {', '.join(found)}", hint="keep one of them")
    path = folder / found[0]
    types: dict[str, str] = {}
    for column in header(path, "\t"):
        name, colon, kind = column.rpartition(":")
        if not colon or kind not in TYPES:
            raise ColumnTypeError(
                f"{path}: the header's column {column!r} has no type",
                hint=f"write NAME:TYPE, the type one of {', '.join(TYPES)}; columns are separated by tabs",
            )
        if name in types:
            raise DataError(f"{path}: column names given twice: {name}", hint="rename one of each")
        types[name] = kind
    return _AtomicFile(table, TextFile(path, tuple(types), delimiter="\t"), types, {})


def _user_column(inter: _AtomicFile, config: ConvertConfig) -> str:
    if config.user_column is not None:
        return config.user_column
    return SESSION_ID if USER_ID not in inter.types and SESSION_ID in inter.types else USER_ID


def _event_names(inter: _AtomicFile, user: str, item: str, config: ConvertConfig) -> dict[str, str]:
    """Contract names of the columns that have one; a `MissingColumnError` says which option names another."""
    time = config.time_column
    order = TIMESTAMP
    if time is None:
        order = TIMESTAMP if TIMESTAMP in inter.types or POSITION not in inter.types else POSITION
        time = order
    known = {user: USER_ID, item: ITEM_ID, time: order}
    for name, option in ((user, "user"), (item, "item"), (time, "time")):
        if name not in inter.types:
            raise MissingColumnError(
                f"{inter.file.path}: no column {name}; there are {', '.join(inter.types)}",
                hint=f"--{option}-column says how it is called"
                + ("; without times, a column position must number each member's events" if option == "time" else ""),
            )
    return known


def _named(file: _AtomicFile, known: dict[str, str], findings: Findings) -> _AtomicFile:
    """The file with contract names; a column whose type is not what its meaning needs is a `ColumnTypeError`."""
    where = file.file.path.name
    names = contract_names(file.table, list(file.types), {**_SAME, **known}, where, findings)
    for name, target in names.items():
        needed = _NEEDED_TYPE.get(target) if target not in described(file.table, [target]) else None
        if needed is not None and file.types[name] != needed:
            raise ColumnTypeError(
                f"{file.file.path}, column {name}: the type is {file.types[name]}, not {needed}",
                hint=f"it is read as {target}; correct the header, or rename the column",
            )
    return replace(file, names=names)


def _table(file: _AtomicFile, findings: Findings) -> pl.DataFrame:
    cells = Cells(file.file.path)
    frame = _typed(read_all(file.file, findings), file, cells)
    cells.check()
    return frame


def _typed(text: pl.DataFrame, file: _AtomicFile, cells: Cells) -> pl.DataFrame:
    return pl.DataFrame([_values(text[name], kind, cells).alias(file.names[name]) for name, kind in file.types.items()])


def _values(text: pl.Series, kind: str, cells: Cells) -> pl.Series:
    if kind == "float":
        return cells.numbers(text)
    if kind == "token" or (kind == "token_seq" and TEXT_NAME.search(text.name)):
        return text
    part = pl.element()
    lists = text.str.split(" ").list.eval(part.filter(part != ""))
    lists = lists.set(lists.list.len() == 0, None)
    if kind == "token_seq":
        return lists
    numbers = lists.cast(pl.List(pl.Float64), strict=False)
    unread = numbers.list.eval(pl.element().is_null()).list.any().fill_null(False)
    if unread.any():
        cells.numbers(text.filter(unread))
    return numbers


def _columns(file: _AtomicFile, frame: pl.DataFrame | None) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name, kind in file.types.items():
        target = file.names[name]
        if target not in described(file.table, [target]):
            continue
        columns[target] = _column(file.table, name, kind, None if frame is None else frame[target])
    return columns


def _column(table: TableName, name: str, kind: str, values: pl.Series | None) -> Column:
    role = USEFUL_ROLE[table]
    if kind == "float":
        return Column(role=role, kind=Kind.NUMERIC, duration=is_duration_name(name))
    if kind == "float_seq":
        vectors = values is not None and values.list.len().drop_nulls().n_unique() == 1
        return Column(role=role if vectors else Role.IGNORE, kind=Kind.VECTOR)
    if kind == "token_seq" and TEXT_NAME.search(name):
        return Column(role=Role.IGNORE if table == "events" else role, kind=Kind.TEXT)
    return Column(role=role, kind=Kind.MULTI_CATEGORICAL if kind == "token_seq" else Kind.CATEGORICAL)
