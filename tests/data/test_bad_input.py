"""Every bad input of the contract: a user would otherwise train on damaged data without knowing, or lose all of it.

The names of the cases are the rows of the table in docs/data.md.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from palate.data import Dataset, Fault
from palate.errors import (
    ColumnTypeError,
    DataError,
    EmptyTableError,
    MissingColumnError,
    MissingTableError,
    PalateError,
    SchemaError,
    StrictError,
    TornFileError,
)

DOCS = Path(__file__).parents[2] / "docs" / "data.md"
EVENTS = """user_id,item_id,timestamp,event_type,watched
1,10,1700000000,play,10.5
1,20,1700000300,trailer,3
1,30,1700000540,play,60
2,10,1700000060,play,12
2,40,1700000180,play,1
2,20,1700001200,trailer,2
"""
ITEMS = """item_id,genre,launch_time
10,drama,2023-01-01
20,comedy,2023-01-01
30,drama,2023-01-01
40,crime,2023-01-01
"""
ROWS = 6


@dataclass(frozen=True)
class Refused:
    """A named error whose message holds these words."""

    error: type[PalateError]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Repaired:
    """A counted repair."""

    fault: Fault
    column: str | None
    rows: int
    kept: int
    file: str = "events.csv"


def folder(path: Path, *, events: str | bytes = EVENTS, items: str | None = ITEMS, **others: str | bytes) -> None:
    files = {"events.csv": events, "items.csv": items, **{k.replace("__", "."): v for k, v in others.items()}}
    for name, content in files.items():
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (path / name).write_bytes(data)


def append(*lines: str) -> str:
    return EVENTS + "".join(f"{line}\n" for line in lines)


def with_event_ids(*ids: str) -> str:
    header, *lines = EVENTS.splitlines()
    return "\n".join([f"{header},event_id", *(f"{line},{each}" for line, each in zip(lines, ids, strict=True))])


def torn_parquet(path: Path) -> None:
    whole = path / "events.parquet"
    pl.read_csv(EVENTS.encode()).write_parquet(whole)
    whole.write_bytes(whole.read_bytes()[:-100])


def torn_gzip(path: Path) -> None:
    lines = "".join(f"{n % 7},{n % 11},{1_700_000_000 + n * 37},play,{n * 7919 % 101}\n" for n in range(5000))
    packed = gzip.compress((EVENTS + lines).encode())
    (path / "events.csv.gz").write_bytes(packed[: len(packed) // 2])


def wrong_time_type(path: Path) -> None:
    frame = pl.read_csv(EVENTS.encode()).with_columns(pl.col("timestamp") > 0)
    frame.write_parquet(path / "events.parquet")


TOMORROW = int(time.time()) + 86_400 + 3_600
POSITIONS = EVENTS.replace("timestamp", "position")
FOUR_STATED = "events:\n  watched: {role: post_action, kind: numeric}\n"

CASES: dict[str, tuple[Callable[[Path], None], Refused | Repaired]] = {
    "no events table": (
        lambda path: (path / "items.csv").write_text(ITEMS) and None,
        Refused(MissingTableError, ("no events table", "items.csv", "palate data convert")),
    ),
    "two files for one table": (
        lambda path: folder(path, events__csv__gz=gzip.compress(EVENTS.encode())),
        Refused(DataError, ("events.csv and events.csv.gz",)),
    ),
    "missing column": (
        lambda path: folder(path, events=EVENTS.replace("user_id", "userId")),
        Refused(MissingColumnError, ("events.csv", "user_id", "nearest: userId")),
    ),
    "neither timestamp nor position": (
        lambda path: folder(path, events=EVENTS.replace("timestamp", "when")),
        Refused(MissingColumnError, ("timestamp or position", "when")),
    ),
    "both timestamp and position": (
        lambda path: folder(path, events=EVENTS.replace("watched", "position")),
        Refused(DataError, ("timestamp and position", "order")),
    ),
    "column name given twice": (
        lambda path: folder(path, events=EVENTS.replace("watched", "item_id")),
        Refused(DataError, ("events.csv", "twice", "item_id")),
    ),
    "empty table": (
        lambda path: folder(path, events=EVENTS.splitlines()[0] + "\n"),
        Refused(EmptyTableError, ("events.csv", "no rows")),
    ),
    "empty file": (
        lambda path: folder(path, events=""),
        Refused(EmptyTableError, ("events.csv", "empty")),
    ),
    "no row left after repairs": (
        lambda path: folder(path, events="user_id,item_id,timestamp\n,1,1700000000\n,2,1700000000\n"),
        Refused(EmptyTableError, ("events.csv", "null id in 2 rows")),
    ),
    "torn Parquet file": (
        torn_parquet,
        Refused(TornFileError, ("events.parquet", "cut off")),
    ),
    "not Parquet": (
        lambda path: (path / "events.parquet").write_text(EVENTS) and None,
        Refused(TornFileError, ("events.parquet", "not a whole Parquet file")),
    ),
    "torn gzip file": (
        torn_gzip,
        Refused(TornFileError, ("events.csv.gz",)),
    ),
    "not gzip": (
        lambda path: (path / "events.csv.gz").write_text(EVENTS) and None,
        Refused(TornFileError, ("events.csv.gz", "gzip")),
    ),
    "CSV that is not UTF-8": (
        lambda path: folder(path, events=append("3,10,1700000000,caf\xe9,1").encode("latin-1")),
        Refused(DataError, ("events.csv", "not UTF-8", "iconv")),
    ),
    "rows that don't fit the header": (
        lambda path: folder(path, events=append("3,10,1700000000,play,1,extra", "3,10,17")),
        Repaired(Fault.MALFORMED_ROW, None, 2, ROWS),
    ),
    "most rows don't fit the header": (
        lambda path: folder(path, events=EVENTS.replace(",play,", ",").replace(",trailer,", ",")),
        Refused(TornFileError, ("6 of 6 rows", "4 cells instead of 5")),
    ),
    "null user_id or item_id": (
        lambda path: folder(path, events=append(",10,1700000000,play,1", "NULL,10,1700000000,play,1")),
        Repaired(Fault.NULL_ID, "user_id", 2, ROWS),
    ),
    "id that is neither whole number nor text": (
        lambda path: folder(path, events=append("1.5,10,1700000000,play,1")),
        Refused(ColumnTypeError, ("events.csv", "user_id", "1 ids", "row 7: 1.5")),
    ),
    "unparsable or missing time": (
        lambda path: folder(path, events=append("3,10,yesterday,play,1", "3,20,,play,1")),
        Repaired(Fault.UNPARSABLE_TIME, "timestamp", 2, ROWS),
    ),
    "no time can be read": (
        lambda path: folder(path, events="user_id,item_id,timestamp\n1,1,yes\n1,2,no\n"),
        Refused(ColumnTypeError, ("events.csv", "timestamp", "none of 2", "'yes'")),
    ),
    "far-future time": (
        lambda path: folder(path, events=append(f"3,10,{TOMORROW},play,1")),
        Repaired(Fault.FAR_FUTURE_TIME, "timestamp", 1, ROWS),
    ),
    "time in another unit than the column": (
        lambda path: folder(path, events=append("3,10,1700000000000,play,1")),
        Repaired(Fault.MIXED_TIME_UNITS, "timestamp", 1, ROWS + 1),
    ),
    "timestamp of a wrong type": (
        wrong_time_type,
        Refused(ColumnTypeError, ("events.parquet", "timestamp", "Boolean")),
    ),
    "unparsable or missing position": (
        lambda path: folder(path, items=None, events=POSITIONS + "3,10,x,play,1\n3,20,1.5,play,1\n3,20,,play,1\n"),
        Repaired(Fault.UNPARSABLE_POSITION, "position", 3, ROWS),
    ),
    "same position twice for one member": (
        lambda path: folder(path, items=None, events=POSITIONS + "1,30,1700000000,play,1\n"),
        Repaired(Fault.TIED_POSITION, "position", 1, ROWS + 1),
    ),
    "missing event_type": (
        lambda path: folder(path, events=append("3,10,1700000000,,1")),
        Repaired(Fault.NULL_EVENT_TYPE, "event_type", 1, ROWS + 1),
    ),
    "negative duration": (
        lambda path: folder(path, events=append("3,10,1700000000,play,-5")),
        Repaired(Fault.NEGATIVE_DURATION, "watched", 1, ROWS + 1),
    ),
    "wrong type in single cells": (
        lambda path: folder(path, events=append("3,10,1700000000,play,broken"), schema__yaml=FOUR_STATED),
        Repaired(Fault.WRONG_TYPE, "watched", 1, ROWS + 1),
    ),
    "wrong type in the whole column": (
        lambda path: folder(path, schema__yaml="items:\n  genre: {role: item_metadata, kind: numeric}\n"),
        Refused(ColumnTypeError, ("items.csv", "genre", "none of 4 values is numeric", "'drama'")),
    ),
    "exact duplicate of an event": (
        lambda path: folder(path, events=append("1,10,1700000000,play,10.5", "1,10,1700000000,play,10.5")),
        Repaired(Fault.DUPLICATE_EVENT, "user_id", 2, ROWS),
    ),
    "event_id given twice": (
        lambda path: folder(path, events=with_event_ids("a", "b", "c", "d", "a", "")),
        Repaired(Fault.DUPLICATE_EVENT_ID, "event_id", 1, ROWS - 1),
    ),
    "event of an item that the items table lacks": (
        lambda path: folder(path, events=append("3,77,1700000000,play,1", "3,77,1700000060,play,1")),
        Repaired(Fault.UNKNOWN_ITEM, "item_id", 2, ROWS + 2),
    ),
    "event of a member that the users table lacks": (
        lambda path: folder(path, users__csv="user_id,country\n1,at\n"),
        Repaired(Fault.UNKNOWN_MEMBER, "user_id", 3, ROWS),
    ),
    "item_id or user_id twice in its table": (
        lambda path: folder(path, items=ITEMS + "40,noir,2023-01-01\n"),
        Repaired(Fault.DUPLICATE_ROW, "item_id", 1, ROWS, "items.csv"),
    ),
    "event before its item's launch": (
        lambda path: folder(path, items=ITEMS.replace("40,crime,2023-01-01", "40,crime,2024-06-01")),
        Repaired(Fault.EVENT_BEFORE_LAUNCH, "timestamp", 1, ROWS),
    ),
    "schema.yaml of an unknown version": (
        lambda path: folder(path, schema__yaml="version: 7\n"),
        Refused(SchemaError, ("schema.yaml", "version 7", "reads version 1")),
    ),
    "schema.yaml that is no YAML, or has unknown settings": (
        lambda path: folder(path, schema__yaml="target_events: [play]\n"),
        Refused(SchemaError, ("schema.yaml", "target_events")),
    ),
    "schema names a column that is not there": (
        lambda path: folder(path, schema__yaml="items:\n  genres: {role: item_metadata, kind: categorical}\n"),
        Refused(SchemaError, ("items.genres", "nearest: genre")),
    ),
    "schema gives a column an impossible role": (
        lambda path: folder(path, schema__yaml="events:\n  watched: {role: item_metadata, kind: numeric}\n"),
        Refused(SchemaError, ("events.watched", "item_metadata is not possible")),
    ),
    "schema names a target that no event has": (
        lambda path: folder(path, schema__yaml="target_event_types: [plays]\n"),
        Refused(SchemaError, ("'plays'", "nearest: play")),
    ),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Refused | Repaired]:
    make, expected = CASES[request.param]
    make(tmp_path)
    return tmp_path, expected


def test_bad_input_is_refused_or_repaired_and_counted(case: tuple[Path, Refused | Repaired]) -> None:
    path, expected = case
    if isinstance(expected, Refused):
        with pytest.raises(expected.error) as raised:
            Dataset.from_folder(path)
        assert type(raised.value) is expected.error
        for word in expected.words:
            assert word in str(raised.value)
        assert "\n" not in str(raised.value)
        return
    dataset = Dataset.from_folder(path)
    [repair] = dataset.report.repairs
    assert (repair.fault, repair.column, repair.rows) == (expected.fault, expected.column, expected.rows)
    assert repair.file == expected.file
    assert repair.example
    assert repair.action
    assert dataset.events.height == expected.kept == dataset.report.rows_kept
    assert str(repair) in str(dataset.report)


def test_strict_turns_repairs_into_an_error(case: tuple[Path, Refused | Repaired]) -> None:
    path, expected = case
    error = StrictError if isinstance(expected, Repaired) else expected.error
    with pytest.raises(error) as raised:
        Dataset.from_folder(path, strict=True)
    if isinstance(expected, Repaired):
        assert expected.fault in str(raised.value)


def test_strict_lists_every_repair(tmp_path: Path) -> None:
    folder(tmp_path, events=append(",10,1700000000,play,1", "3,10,never,play,1", "3,10,1700000000,play,-1"))
    with pytest.raises(StrictError, match="3 repairs") as raised:
        Dataset.from_folder(tmp_path, strict=True)
    assert "\n" not in str(raised.value)
    for fault in (Fault.NULL_ID, Fault.UNPARSABLE_TIME, Fault.NEGATIVE_DURATION):
        assert fault in str(raised.value)


def test_clean_data_pass_strict(tmp_path: Path) -> None:
    folder(tmp_path)
    assert Dataset.from_folder(tmp_path, strict=True).events.height == ROWS


def test_the_documented_table_has_exactly_these_rows() -> None:
    lines = DOCS.read_text(encoding="utf-8").split("## Bad input")[1].split("\n## ")[0].splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:]
    assert rows == list(CASES)
