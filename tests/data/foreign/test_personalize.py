"""Amazon Personalize: if these fail, who leaves it loses event types, impressions or texts on the way."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.data.foreign import samples
from tests.data.foreign.samples import field, record

from palate.data import Dataset, Kind, Role
from palate.data.foreign import ConvertConfig, convert
from palate.errors import (
    ColumnTypeError,
    DataError,
    EmptyTableError,
    MissingColumnError,
    MissingTableError,
    PalateError,
    SchemaError,
    TornFileError,
)


def test_everything_survives(tmp_path: Path) -> None:
    found = convert(samples.personalize(tmp_path / "source"), tmp_path / "out")
    assert found.counts == {"events": 3, "members": 2, "items": 2, "described_items": 3, "described_members": 2}
    assert found.event_types == {"watch": 2, "click": 1}
    events = pl.read_parquet(tmp_path / "out" / "events.parquet")
    assert events.to_dicts()[0] == {
        "user_id": "u1",
        "item_id": "007",
        "timestamp": 1700000000,
        "event_type": "watch",
        "event_value": 12.5,
        "impressions": ["007", "b", "c"],
        "recommendation_id": "r-1",
        "device": "tv",
    }
    assert events["device"].to_list() == ["tv", "phone, old", None]
    dataset = Dataset.from_folder(tmp_path / "out", strict=True)
    assert dataset.schema.items["genres"].kind == Kind.MULTI_CATEGORICAL
    assert dataset.schema.items["description"].kind == Kind.TEXT
    assert dataset.schema.items["price"].kind == Kind.NUMERIC
    assert dataset.schema.events["device"].role == Role.POST_ACTION
    assert dataset.schema.events["recommendation_id"].role == Role.IGNORE
    assert dataset.items is not None
    assert dataset.items["genres"].to_list() == [["drama", "crime"], ["comedy"], None]
    assert dataset.items["launch_time"].to_list() == [1_600_000_000_000, 1_600_000_100_000, None]
    assert dataset.items["description"][0] == 'A "quiet" film,\nin two lines'
    assert dataset.items["is_kids"].to_list() == ["false", "true", None]
    assert any(note.startswith("device: taken as known only after the choice") for note in found.notes)


def test_without_schemas_names_and_values_say_what_columns_are(tmp_path: Path) -> None:
    source = samples.personalize(tmp_path / "source")
    for path in source.glob("*.json"):
        path.unlink()
    found = convert(source, tmp_path / "out")
    for name in ("interactions", "items", "users"):
        assert f"{name}.csv: no Avro schema was given; types were found in names and values" in found.notes
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "says nothing about its columns" in readme
    assert "| --- |" not in readme, "no table without rows"
    dataset = Dataset.from_folder(tmp_path / "out", strict=True)
    assert dataset.events["item_id"].to_list() == ["007", "b", "b"]
    assert dataset.items is not None
    assert dataset.schema.items["price"].kind == Kind.NUMERIC
    assert dataset.schema.items["genres"].kind == Kind.MULTI_CATEGORICAL
    assert dataset.events["impressions"][0].to_list() == ["007", "b", "c"]


def test_schemas_may_lie_elsewhere(tmp_path: Path) -> None:
    source = samples.personalize(tmp_path / "source")
    convert(source, tmp_path / "beside")
    elsewhere = tmp_path / "schemas"
    elsewhere.mkdir()
    for name in ("interactions", "items", "users"):
        (source / f"{name}-schema.json").rename(elsewhere / f"{name}.avsc")
    config = ConvertConfig(
        interactions_schema=elsewhere / "interactions.avsc",
        items_schema=elsewhere / "items.avsc",
        users_schema=elsewhere / "users.avsc",
    )
    convert(source, tmp_path / "stated", config)
    for name in ("events.parquet", "items.parquet", "users.parquet", "schema.yaml"):
        assert (tmp_path / "beside" / name).read_bytes() == (tmp_path / "stated" / name).read_bytes()


def test_context_with_several_values_and_names_that_mean_something_here(tmp_path: Path) -> None:
    fields = (field("USER_ID"), field("ITEM_ID"), field("TIMESTAMP", "long"))
    schema = record(
        "Item_interactions",
        *fields,
        field("SHELF", ["null", "string"], categorical=True),
        field("POSITION", "int"),
        field("WATCHED_SECONDS", "float"),
        field("NOTE", ["string", "null"], textual=True),
    )
    rows = (
        "USER_ID,ITEM_ID,TIMESTAMP,SHELF,POSITION,WATCHED_SECONDS,NOTE,EXTRA\n"
        "1,2,1700000000,new|hot,3,10,so nice,x\n1,3,1700000001,|top,1,20,,y\n"
    )
    source = samples.write(tmp_path / "source", log__csv=rows, schema__json=schema)
    found = convert(source, tmp_path / "out")
    dataset = Dataset.from_folder(tmp_path / "out", strict=True)
    assert dataset.events["shelf"].to_list() == [["new", "hot"], ["top"]]
    assert dataset.events["source_position"].to_list() == [3, 1]
    assert dataset.schema.events["watched_seconds"].duration
    assert dataset.schema.events["note"].role == Role.IGNORE
    assert "log.csv: column POSITION is called source_position: position has a meaning of its own" in found.notes
    assert "log.csv: not read, since schema.json lacks them: EXTRA" in found.notes


def test_milliseconds_are_noticed(tmp_path: Path) -> None:
    rows = "USER_ID,ITEM_ID,TIMESTAMP\n1,2,1700000000123\n1,3,1700000000999\n"
    found = convert(samples.write(tmp_path / "source", log__csv=rows), tmp_path / "out")
    assert any("log.csv: 2 values of TIMESTAMP are too large for the seconds" in note for note in found.notes)
    assert Dataset.from_folder(tmp_path / "out").events["timestamp"].to_list() == [1700000000123, 1700000000999]


HEADER = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION,RECOMMENDATION_ID,DEVICE\n"
GOOD = "u1,007,1700000000,watch,12.5,,,tv\n"
BAD: dict[str, tuple[dict[str, str | bytes], type[PalateError], tuple[str, ...]]] = {
    "a schema without USER_ID": (
        {"interactions-schema__json": record("Interactions", field("ITEM_ID"), field("TIMESTAMP", "long"))},
        SchemaError,
        ("interactions-schema.json: the schema of interactions lacks USER_ID; it has ITEM_ID, TIMESTAMP", "requires"),
    ),
    "a reserved field of another type": (
        {"users-schema__json": record("Users", field("USER_ID", "long"), field("AGE", "int"))},
        SchemaError,
        ("users-schema.json, field USER_ID: the type is long", "requires string"),
    ),
    "a type that Avro has but Personalize has not": (
        {"items-schema__json": record("Items", field("ITEM_ID"), field("X", {"type": "map", "values": "int"}))},
        SchemaError,
        ("items-schema.json, field X: the type", "can't be read", "one of string, int, long"),
    ),
    "a schema that is no JSON": (
        {"items-schema__json": "{'type': 'record'"},
        SchemaError,
        ("items-schema.json: not valid JSON", "correct it"),
    ),
    "a schema without fields": (
        {"items-schema__json": '{"type": "record", "name": "Items", "fields": []}'},
        SchemaError,
        ("items-schema.json: a record without fields",),
    ),
    "a field twice": (
        {"items-schema__json": record("Items", field("ITEM_ID"), field("A"), field("A"))},
        SchemaError,
        ("items-schema.json: fields given twice: A",),
    ),
    "two schemas": (
        {"copy__json": samples.ITEMS},
        DataError,
        ("copy.json and items-schema.json are both schemas of items", "--items-schema"),
    ),
    "two files of one dataset": (
        {"more__csv": "ITEM_ID,COLOUR\n1,red\n"},
        DataError,
        ("items.csv and more.csv both look like items",),
    ),
    "a column that the schema has and the file lacks": (
        {"interactions__csv": "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\nu1,007,1700000000,watch\n"},
        MissingColumnError,
        ("interactions.csv: no column EVENT_VALUE or IMPRESSION", "which interactions-schema.json has"),
    ),
    "a time that is no whole number": (
        {"interactions__csv": HEADER + GOOD + "u1,b,1700000060.0,click,,,,\nu1,b,now,click,,,,\n"},
        ColumnTypeError,
        ("interactions.csv: column TIMESTAMP: 2 values are not a whole number, e.g. row 2: '1700000060.0'", "decimals"),
    ),
    "a value that is no number": (
        {"items__csv": "ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE,IS_KIDS,DESCRIPTION\n007,,,cheap,,\n"},
        ColumnTypeError,
        ("items.csv: column PRICE: 1 values are not a number, e.g. row 1: 'cheap'",),
    ),
    "a truth value that is none": (
        {"items__csv": "ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE,IS_KIDS,DESCRIPTION\n007,,,,perhaps,\n"},
        ColumnTypeError,
        ("items.csv: column IS_KIDS: 1 values are not true or false, e.g. row 1: 'perhaps'",),
    ),
    "nothing where something is required": (
        {"interactions__csv": HEADER + GOOD + ",b,1700000060,click,,,,\n"},
        ColumnTypeError,
        ("interactions.csv: column USER_ID: 1 values are not there, e.g. row 2: null", "allow null"),
    ),
    "rows with other cells": (
        {"interactions__csv": HEADER + "u1,007\nu1,b\n" + GOOD},
        TornFileError,
        ("interactions.csv: 2 rows don't have the 8 cells USER_ID, ITEM_ID", "2 cells instead of 8: 'u1,007'"),
    ),
    "another encoding": (
        {"interactions__csv": (HEADER + "ü,007,1700000000,watch,12.5,,,tv\n").encode("latin-1")},
        DataError,
        ("interactions.csv: not UTF-8 text, e.g. line 2",),
    ),
    "a header alone": ({"users__csv": "USER_ID,AGE,PLAN\n"}, EmptyTableError, ("users.csv: the file has no rows",)),
    "a column twice": (
        {"users__csv": "USER_ID,AGE,AGE,PLAN\nu1,1,2,x\n"},
        DataError,
        ("users.csv: column names given twice: AGE",),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(tmp_path: Path, case: str) -> None:
    changed, error, words = BAD[case]
    source = samples.personalize(tmp_path / "source", **changed)
    with pytest.raises(error) as found:
        convert(source, tmp_path / "out")
    assert all(word in str(found.value) for word in words), str(found.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (
            "USER_ID,ITEM_ID\n1,2\n",
            MissingColumnError,
            "log.csv: interactions without TIMESTAMP; there are USER_ID, ITEM_ID",
        ),
        ("ITEM_ID,TIMESTAMP\n1,2\n", MissingTableError, "no interactions of Amazon Personalize; it holds log.csv"),
        (
            "USER_ID,ITEM_ID,TIMESTAMP,Mood,MOOD\n1,2,3,a,b\n",
            DataError,
            "log.csv: the columns Mood and MOOD would both be called mood",
        ),
    ],
)
def test_bad_files_without_a_schema_are_named(tmp_path: Path, rows: str, error: type[PalateError], said: str) -> None:
    with pytest.raises(error, match=said):
        convert(samples.write(tmp_path / "source", log__csv=rows), tmp_path / "out")


def test_an_interactions_file_without_members_says_so(tmp_path: Path) -> None:
    source = samples.write(tmp_path / "source", interactions__csv="ITEM_ID,TIMESTAMP\n1,2\n")
    with pytest.raises(MissingColumnError, match=r"interactions.csv: interactions without USER_ID"):
        convert(source, tmp_path / "out")


def test_an_item_listed_twice_keeps_its_last_row(tmp_path: Path) -> None:
    rows = "ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE,IS_KIDS,DESCRIPTION\n007,,,1,,\nb,,,2,,\n007,,,3,,\n"
    found = convert(samples.personalize(tmp_path / "source", items__csv=rows), tmp_path / "out")
    assert found.repairs == (
        "items.csv, column item_id: duplicate id in 1 row, e.g. row 1: 007: the last row of each id is kept",
    )
    assert pl.read_parquet(tmp_path / "out" / "items.parquet")["price"].to_list() == [2, 3]


def test_a_stated_schema_that_is_missing_is_named(tmp_path: Path) -> None:
    source = samples.personalize(tmp_path / "source")
    with pytest.raises(SchemaError, match=r"nowhere.json: no such file"):
        convert(source, tmp_path / "out", ConvertConfig(items_schema=tmp_path / "nowhere.json"))
    (tmp_path / "list.json").write_text(json.dumps([1, 2]))
    with pytest.raises(SchemaError, match=r"list.json: no Avro record"):
        convert(source, tmp_path / "out", ConvertConfig(items_schema=tmp_path / "list.json"))
