"""RecBole's atomic files: if these fail, published data sets can't be tried."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.data.foreign import samples

from palate.data import Dataset, Kind, Role
from palate.data.foreign import ConvertConfig, convert
from palate.errors import (
    ColumnTypeError,
    ConfigError,
    DataError,
    EmptyTableError,
    MissingColumnError,
    PalateError,
    TornFileError,
)


def test_every_type_is_read(tmp_path: Path) -> None:
    found = convert(samples.recbole(tmp_path / "source"), tmp_path / "out")
    assert "not read: tiny.kg (knowledge graphs and links)" in found.notes
    dataset = Dataset.from_folder(tmp_path / "out", strict=True)
    assert dataset.events["item_id"].to_list() == ["007", '"b', '"b']
    assert pl.read_parquet(tmp_path / "out" / "events.parquet").schema["timestamp"] == pl.Int64
    assert dataset.events["rating"].to_list() == [4.0, 3.5, None]
    assert dataset.schema.events["rating"].role == Role.POST_ACTION
    assert dataset.items is not None
    assert dataset.users is not None
    assert dataset.schema.items["movie_title"].kind == Kind.TEXT
    assert dataset.items["class"].to_list() == [["drama", "crime"], ["comedy"]]
    assert dataset.items["embedding"][1].to_list() == [1.0, -2.5]
    assert dataset.users["plan"].to_list() == ["basic plan", None]


def test_sessions_and_other_names(tmp_path: Path) -> None:
    rows = "session_id:token\titem_id:token\ttimestamp:float\ns1\ta\t1700000000.25\ns1\tb\t1700000001\n"
    convert(samples.write(tmp_path / "sessions", log__inter=rows), tmp_path / "out")
    events = Dataset.from_folder(tmp_path / "out").events
    assert events["user_id"].to_list() == ["s1", "s1"]
    assert events["timestamp"].to_list() == [1_700_000_000_250, 1_700_000_001_000]
    rows = "buyer:token\tasin:token\twhen:float\tlabel:float\n1\ta\t1700000000\t1\n"
    things = "asin:token\tcolours:token_seq\na\tred green\n"
    source = samples.write(tmp_path / "other", log__inter=rows, log__item=things)
    config = ConvertConfig(user_column="buyer", item_column="asin", time_column="when")
    convert(source, tmp_path / "named", config)
    dataset = Dataset.from_folder(tmp_path / "named", strict=True)
    assert dataset.events.columns[:3] == ["user_id", "item_id", "timestamp"]
    assert dataset.schema.events["label"].role == Role.POST_ACTION


def test_positions_stand_in_for_times(tmp_path: Path) -> None:
    rows = "user_id:token\titem_id:token\tposition:float\n1\ta\t0\n1\tb\t1\n"
    convert(samples.write(tmp_path / "source", log__inter=rows), tmp_path / "out")
    assert not Dataset.from_folder(tmp_path / "out", strict=True).has_time


def test_vectors_of_different_lengths_are_kept_but_not_used(tmp_path: Path) -> None:
    rows = 'item_id:token\tv:float_seq\n007\t1 2\n"b\t1\n'
    convert(samples.recbole(tmp_path / "source", tiny__item=rows), tmp_path / "out")
    dataset = Dataset.from_folder(tmp_path / "out", strict=True)
    assert dataset.schema.items["v"].role == Role.IGNORE


START = "user_id:token\titem_id:token\ttimestamp:float\n"
BAD: dict[str, tuple[dict[str, str | bytes], type[PalateError], tuple[str, ...]]] = {
    "a header without types": (
        {"tiny__inter": "user_id\titem_id\ttimestamp\n1\t2\t3\n"},
        ColumnTypeError,
        ("tiny.inter: the header's column 'user_id' has no type", "write NAME:TYPE", "token_seq"),
    ),
    "a type that is none": (
        {"tiny__item": "item_id:token\tyear:int\n1\t1999\n"},
        ColumnTypeError,
        ("tiny.item: the header's column 'year:int' has no type",),
    ),
    "a column twice": (
        {"tiny__item": "item_id:token\tyear:float\tyear:token\n1\t2\t3\n"},
        DataError,
        ("tiny.item: column names given twice: year",),
    ),
    "no member": (
        {"tiny__inter": "who:token\titem_id:token\ttimestamp:float\n1\t2\t3\n"},
        MissingColumnError,
        ("tiny.inter: no column user_id; there are who, item_id, timestamp", "--user-column"),
    ),
    "no time": (
        {"tiny__inter": "user_id:token\titem_id:token\n1\t2\n"},
        MissingColumnError,
        ("tiny.inter: no column timestamp; there are user_id, item_id", "--time-column", "position"),
    ),
    "a time that is a token": (
        {"tiny__inter": "user_id:token\titem_id:token\ttimestamp:token\n1\t2\t3\n"},
        ColumnTypeError,
        ("tiny.inter, column timestamp: the type is token, not float",),
    ),
    "items without their id": (
        {"tiny__item": "movie:token\n1\n"},
        MissingColumnError,
        ("tiny.item: no column item_id; there are movie", "--item-column"),
    ),
    "a number that is none": (
        {"tiny__inter": START + "1\t2\t3\n1\t2\tx\n"},
        ColumnTypeError,
        ("tiny.inter: column timestamp: 1 values are not a number, e.g. row 2: 'x'",),
    ),
    "a number in a list that is none": (
        {"tiny__item": "item_id:token\tv:float_seq\n007\t1 2\nb\t1 x\n"},
        ColumnTypeError,
        ("tiny.item: column v: 1 values are not a number", "'1 x'"),
    ),
    "rows with other cells": (
        {"tiny__inter": START + "1\t2\n1\t3\n1\t2\t3\n"},
        TornFileError,
        ("tiny.inter: 2 rows don't have the 3 cells user_id, item_id, timestamp", "2 cells instead of 3"),
    ),
    "another encoding": (
        {"tiny__user": "user_id:token\tplan:token\nü\tbasic\n".encode("latin-1")},
        DataError,
        ("tiny.user: not UTF-8 text, e.g. line 2",),
    ),
    "a header alone": ({"tiny__inter": START}, EmptyTableError, ("tiny.inter: the file has no rows",)),
    "several logs": (
        {"tiny__train__inter": START + "1\t2\t3\n"},
        DataError,
        ("several .inter files: tiny.inter, tiny.train.inter",),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(tmp_path: Path, case: str) -> None:
    changed, error, words = BAD[case]
    source = samples.recbole(tmp_path / "source", **changed)
    with pytest.raises(error) as found:
        convert(source, tmp_path / "out")
    assert all(word in str(found.value) for word in words), str(found.value)
    assert not (tmp_path / "out").exists()


def test_a_member_listed_twice_keeps_the_last_row(tmp_path: Path) -> None:
    rows = "user_id:token\tage:float\tplan:token\nu1\t1\tx\nü2\t2\ty\nu1\t3\tz\n"
    found = convert(samples.recbole(tmp_path / "source", tiny__user=rows), tmp_path / "out")
    assert found.repairs == (
        "tiny.user, column user_id: duplicate id in 1 row, e.g. row 1: u1: the last row of each id is kept",
    )


def test_no_log_is_an_unclear_format(tmp_path: Path) -> None:
    source = samples.write(tmp_path / "source", a__item="item_id:token\n1\n")
    with pytest.raises(ConfigError, match=r"no format was recognised; it holds a.item"):
        convert(source, tmp_path / "out")
