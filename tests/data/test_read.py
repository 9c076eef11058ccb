"""The same log gives the same dataset, whatever it was written with: users change formats, not results."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from palate.data import Dataset
from palate.errors import ColumnTypeError, DataError, EmptyTableError, MissingTableError

ITEMS = pl.DataFrame(
    {
        "item_id": [10, 20, 30, 40],
        "genres": ["drama|crime", "comedy", None, "drama"],
        "launch_time": ["2023-01-01", "2023-01-02", "2023-01-03", "2023-01-04"],
        "price": [1.5, 2.25, None, 4.0],
    }
)
USERS = pl.DataFrame({"user_id": [1, 2, 3], "country": ["at", "de", "at"], "vip": [True, False, True]})


def assert_same(first: Dataset, second: Dataset) -> None:
    for one, other in ((first.events, second.events), (first.items, second.items), (first.users, second.users)):
        if one is None or other is None:
            assert one is other
        else:
            assert_frame_equal(one, other)
    assert first.schema == second.schema
    assert first.report.order_rule == second.report.order_rule


def write(folder: Path, suffix: str, **tables: pl.DataFrame | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        if frame is None:
            continue
        path = folder / f"{name}.{suffix}"
        if suffix == "parquet":
            frame.write_parquet(path)
        elif suffix == "csv":
            frame.write_csv(path)
        else:
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
    return folder


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_every_format_gives_the_same_dataset(tmp_path: Path, log: pl.DataFrame, suffix: str) -> None:
    folder = write(tmp_path, suffix, events=log, items=ITEMS, users=USERS)
    assert_same(Dataset.from_folder(folder), Dataset.from_frames(log, ITEMS, USERS))


@pytest.mark.parametrize("form", ["lazy", "pandas", "arrow", "pandas of Arrow"])
def test_every_kind_of_frame_gives_the_same_dataset(log: pl.DataFrame, form: str) -> None:
    def as_form(frame: pl.DataFrame) -> object:
        if form == "lazy":
            return frame.lazy()
        if form == "arrow":
            return frame.to_arrow()
        return frame.to_pandas(use_pyarrow_extension_array=form == "pandas of Arrow")

    assert_same(
        Dataset.from_frames(as_form(log), as_form(ITEMS), as_form(USERS)), Dataset.from_frames(log, ITEMS, USERS)
    )


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 6),
            st.integers(1, 9),
            st.integers(1_600_000_000, 1_600_000_020),
            st.one_of(st.none(), st.integers(1, 5)),
            st.one_of(st.none(), st.floats(0, 1000, allow_subnormal=False)),
            st.sampled_from(["play", "trailer"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_round_trips_keep_every_value(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]) -> None:
    names = ["user_id", "item_id", "timestamp", "stars", "watched", "event_type"]
    types = [pl.Int64, pl.Int64, pl.Int64, pl.Int64, pl.Float64, pl.String]
    log = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
    log = log.drop([name for name in ("stars", "watched") if log[name].null_count() == log.height])
    expected = Dataset.from_frames(log)
    folder = tmp_path_factory.mktemp("log")
    for suffix in ("parquet", "csv"):
        assert_same(Dataset.from_folder(write(folder / suffix, suffix, events=log)), expected)
    assert_same(Dataset.from_frames(log.to_pandas()), expected)
    assert_same(Dataset.from_frames(log.to_arrow()), expected)


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1))
def test_text_ids_come_back_as_they_went_in(ids: list[str]) -> None:
    missing = {"", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "\\N"}
    ids = [each for each in ids if each not in missing] or ["x"]
    log = pl.DataFrame({"user_id": ids, "item_id": ids, "position": list(range(len(ids)))})
    events = Dataset.from_frames(log).events
    assert sorted(events["user_id"]) == sorted(ids)
    assert events["user_id"].to_list() == events["item_id"].to_list()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_byte_order_mark_and_quoted_newlines(tmp_path: Path, delimiter: str) -> None:
    lines = ["user_id,item_id,timestamp,device", 'a,007,1700000000,"tv\nbig"', "b,8,1700000001,phone"]
    content = "\r\n".join(lines).replace(",", delimiter)
    (tmp_path / "events.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    events = Dataset.from_folder(tmp_path, strict=True).events
    assert events["item_id"].to_list() == ["007", "8"]
    assert events["device"].to_list() == ["tv\nbig", "phone"]


def test_other_files_in_the_folder_are_ignored(tmp_path: Path, log: pl.DataFrame) -> None:
    write(tmp_path, "parquet", events=log)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "truth").mkdir()
    (tmp_path / "items.xlsx").write_bytes(b"\x00")
    assert Dataset.from_folder(tmp_path).items is None


def test_text_ids_in_one_table_make_the_id_text_in_all(log: pl.DataFrame) -> None:
    items = ITEMS.with_columns(pl.col("item_id").cast(pl.String))
    dataset = Dataset.from_frames(log, items)
    assert dataset.events["item_id"].dtype == pl.String
    assert not dataset.report.repairs
    assert any("item_id" in note for note in dataset.report.notes)


def test_missing_values_of_pandas_do_not_turn_ids_into_floats() -> None:
    frame = pd.DataFrame({"user_id": [1, None, 3], "item_id": [4, 5, 6], "position": [0, 0, 0]})
    dataset = Dataset.from_frames(frame)
    assert dataset.events["user_id"].to_list() == [1, 3]
    assert dataset.report.repaired_rows == {"null id": 1}


@pytest.mark.parametrize("frame", [[1, 2], "events.csv", {"user_id": [1]}])
def test_what_is_no_frame_is_named(frame: object) -> None:
    with pytest.raises(ColumnTypeError, match=type(frame).__name__):
        Dataset.from_frames(frame)


def test_mixed_types_in_a_pandas_column_are_named() -> None:
    frame = pd.DataFrame({"user_id": [1, "a", [2]], "item_id": [1, 2, 3], "position": [0, 1, 2]})
    with pytest.raises(ColumnTypeError, match="several types"):
        Dataset.from_frames(frame)


def test_a_file_or_nothing_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,position\n1,1,1\n")
    with pytest.raises(MissingTableError, match="a file, not a folder"):
        Dataset.from_folder(tmp_path / "events.csv")
    with pytest.raises(MissingTableError, match="no such folder"):
        Dataset.from_folder(tmp_path / "nowhere")


def test_an_items_table_without_rows_is_an_error(log: pl.DataFrame) -> None:
    with pytest.raises(EmptyTableError, match="items frame"):
        Dataset.from_frames(log, ITEMS.clear())


def test_a_parquet_file_of_zero_bytes_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").touch()
    with pytest.raises(DataError, match=r"events\.parquet"):
        Dataset.from_folder(tmp_path)
