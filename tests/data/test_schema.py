"""schema.yaml: what a user corrects there must be what is done."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
import yaml

from palate.data import Column, Dataset, Kind, Role, Schema, SplitRule, is_target
from palate.errors import ColumnTypeError, EmptyTableError, SchemaError

FULL = Schema(
    events={"device": Column(role=Role.REQUEST_TIME, kind=Kind.CATEGORICAL)},
    items={
        "cast": Column(role=Role.ITEM_METADATA, kind=Kind.MULTI_CATEGORICAL, separator=","),
        "odd: name #1": Column(role=Role.IGNORE, kind=Kind.TEXT),
    },
    users={"age": Column(role=Role.USER_ATTRIBUTE, kind=Kind.NUMERIC, duration=True)},
    timestamp_unit="ms",
    target_event_types=("play", "no"),
    dropped_event_types=("heartbeat",),
    session_gap_seconds=60,
    seen_items={"play": "allow", "no": "exclude"},
    split=SplitRule(kind="leave_one_out"),
)


@pytest.mark.parametrize("schema", [Schema(), FULL])
def test_it_comes_back_from_its_file(tmp_path: Path, schema: Schema) -> None:
    schema.write(tmp_path / "schema.yaml")
    assert Schema.from_yaml(tmp_path / "schema.yaml") == schema


def test_the_file_explains_every_part() -> None:
    lines = FULL.to_yaml().splitlines()
    for name in Schema.model_fields:
        place = next(i for i, line in enumerate(lines) if line.startswith(f"{name}:"))
        assert lines[place - 1].startswith("# ")
        assert len(lines[place - 1]) > 20


def test_the_inferred_schema_reads_the_data_alike(tmp_path: Path, log: pl.DataFrame) -> None:
    log.write_parquet(tmp_path / "events.parquet")
    first = Dataset.from_folder(tmp_path)
    first.schema.write(tmp_path / "schema.yaml")
    second = Dataset.from_folder(tmp_path)
    assert second.schema == first.schema
    assert second.events.equals(first.events)
    assert second.report.schema_source == str(tmp_path / "schema.yaml")


def test_a_stated_schema_takes_the_place_of_the_file(tmp_path: Path, log: pl.DataFrame) -> None:
    log.write_parquet(tmp_path / "events.parquet")
    (tmp_path / "schema.yaml").write_text("target_event_types: [trailer]\n")
    assert Dataset.from_folder(tmp_path).schema.target_event_types == ("trailer",)
    (tmp_path / "schema.yaml").write_text("version: 99\n")
    stated = Schema(target_event_types=("play",))
    assert Dataset.from_folder(tmp_path, schema=stated).schema.target_event_types == ("play",)


def test_every_event_can_be_stated_as_a_target(log: pl.DataFrame) -> None:
    schema = Dataset.from_frames(log, schema=Schema(target_event_types=None)).schema
    assert schema.target_event_types is None
    assert schema.seen_items == {"*": "allow"}


def test_dropped_types_are_dropped_and_counted(log: pl.DataFrame) -> None:
    dataset = Dataset.from_frames(log, schema=Schema(dropped_event_types=("trailer", "heartbeat")))
    assert dataset.events["event_type"].unique().to_list() == ["play"]
    assert dataset.report.rows_kept == 6
    assert any("2 events" in note and "trailer" in note for note in dataset.report.notes)
    assert any("'heartbeat'" in note for note in dataset.report.notes)


def test_low_values_are_dropped_and_counted(log: pl.DataFrame) -> None:
    dataset = Dataset.from_frames(log, schema=Schema(least_values={"watched": 5}))
    assert dataset.events["watched"].min() == 7.0
    assert any("3 events with watched below 5" in note for note in dataset.report.notes)
    with pytest.raises(EmptyTableError, match="no row is left"):
        Dataset.from_frames(log, schema=Schema(least_values={"watched": 1000}))


@pytest.mark.parametrize("again", [True, False])
def test_one_target_a_run_follows_from_the_log(log: pl.DataFrame, again: bool) -> None:
    if again:
        log = pl.concat([log, log.with_columns(pl.col("timestamp") + 1)])
    dataset = Dataset.from_frames(log)
    assert dataset.schema.one_target_a_run == again
    assert any("one_target_a_run: false" in note for note in dataset.report.notes) == again
    if again:
        assert int(is_target(dataset).sum()) < log.height
        every = Dataset.from_frames(log, schema=Schema(one_target_a_run=False))
        assert not every.schema.one_target_a_run


def test_duplicates_can_be_kept(log: pl.DataFrame) -> None:
    twice = pl.concat([log, log])
    assert Dataset.from_frames(twice).events.height == log.height
    kept = Dataset.from_frames(twice, schema=Schema(duplicate_events="keep"))
    assert kept.events.height == 2 * log.height
    assert kept.report.repairs == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version: 2", "version 2"),
        ("events: {watched: {role: post_action, kind: number}}", "events.watched.kind"),
        ("events: {watched: {role: post_action, kind: text}}", "can't use a text of events"),
        ("events: {watched: {role: post_action, kind: categorical, duration: true}}", "only a numeric column"),
        ("events: {user_id: {role: post_action, kind: categorical}}", "meaning of its own"),
        ("items: {genre: {role: item_metadata, kind: categorical}}", "no table items"),
        ("users: {age: {role: post_action, kind: numeric}}", "users.age: role post_action is not possible"),
        ("target_event_types: []", "nothing to predict"),
        ("{target_event_types: [play], dropped_event_types: [play]}", "'play' is a target and dropped"),
        ("{target_event_types: [play], seen_items: {plya: allow}}", "nearest: play"),
        ("session_gap_seconds: -1", "session_gap_seconds"),
        ("least_values: {wached: 5}", "least_values.wached: no such column of events; nearest: watched"),
        ("least_values: {event_type: 5}", "has no numbers there"),
        ("events: {watched: {role: request_time, kind: numeric, merge: max}}", "would leak"),
        ("[1, 2]", "found list"),
        ("events: {", "not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, log: pl.DataFrame, content: str, message: str) -> None:
    log.write_parquet(tmp_path / "events.parquet")
    (tmp_path / "schema.yaml").write_text(content)
    with pytest.raises(SchemaError, match=message):
        Dataset.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([date(2020, 1, 1)] * 2, Kind.NUMERIC),
        ([[1, 2], [3]], Kind.CATEGORICAL),
        ([{"a": 1}, {"a": 2}], Kind.MULTI_CATEGORICAL),
        ([True, False], Kind.TIMESTAMP),
        (["a", "b"], Kind.VECTOR),
        ([None, None], Kind.VECTOR),
        ([["a"], ["b"]], Kind.VECTOR),
    ],
)
def test_a_kind_that_the_values_cannot_have_is_named(values: list[object], kind: Kind) -> None:
    log = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "position": [0, 1]})
    items = pl.DataFrame({"item_id": [1, 2], "odd": values})
    schema = Schema(items={"odd": Column(role=Role.ITEM_METADATA, kind=kind)})
    with pytest.raises(ColumnTypeError, match="items frame, column odd"):
        Dataset.from_frames(log, items, schema=schema)


def test_targets_without_event_types_are_refused(log: pl.DataFrame) -> None:
    with pytest.raises(SchemaError, match="no column event_type"):
        Dataset.from_frames(log.drop("event_type"), schema=Schema(target_event_types=("play",)))


def test_all_problems_are_listed_at_once(log: pl.DataFrame) -> None:
    column = Column(role=Role.POST_ACTION, kind=Kind.NUMERIC)
    with pytest.raises(SchemaError, match=r"events\.a: .*events\.b: "):
        Dataset.from_frames(log, schema=Schema(events={"a": column, "b": column}))


def test_an_ignored_column_may_be_absent(log: pl.DataFrame) -> None:
    schema = Schema(events={"gone": Column(role=Role.IGNORE, kind=Kind.TEXT)})
    assert Dataset.from_frames(log, schema=schema).events.height == log.height


def test_yaml_is_plain(tmp_path: Path) -> None:
    assert yaml.safe_load(FULL.to_yaml())["target_event_types"] == ["play", "no"]
