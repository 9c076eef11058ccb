"""Inspection: the first thing a user sees of their data, and what a script reads."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from palate.cli.data import data_app
from palate.data import Dataset, Schema, SplitRule, inspect
from palate.errors import SchemaError, StrictError

ITEMS = pl.DataFrame({"item_id": [10, 20, 30, 40, 50], "genre": ["drama", None, "crime", "drama", "drama"]})


def test_the_figures(log: pl.DataFrame) -> None:
    figures = inspect(Dataset.from_frames(log, ITEMS))
    assert (figures.events, figures.members, figures.items) == (8, 3, 4)
    assert (figures.described_items, figures.items_without_events) == (5, 1)
    assert figures.described_members is None
    assert figures.density == 7 / 12
    assert figures.repeat_share == 1 / 8
    assert figures.history_length["min"] == 1
    assert figures.history_length["p50"] == 3
    assert figures.history_length["max"] == 4
    assert figures.first_time == "2023-11-14T22:13:20Z"
    assert [(each.name, each.events, each.target) for each in figures.event_types] == [
        ("play", 6, True),
        ("trailer", 2, False),
    ]
    assert figures.missing == {"items.genre": 1 / 5}
    assert figures.cuts is not None


def test_cold_shares_of_the_split() -> None:
    log = pl.DataFrame(
        {
            "user_id": [1] * 8 + [1, 2],
            "item_id": [1, 2, 3, 4, 5, 6, 7, 8, 1, 9],
            "timestamp": 1_600_000_000 + pl.arange(10, eager=True),
        }
    )
    rule = SplitRule(kind="temporal", train_share=0.7, validation_share=0.1)
    figures = inspect(Dataset.from_frames(log, schema=Schema(split=rule)))
    assert figures.split is not None
    test = figures.split["test"]
    assert (test.events, test.targets, test.members) == (2, 2, 2)
    assert (test.new_member_share, test.cold_item_share, test.unreachable_share) == (0.5, 0.5, 0.5)


def test_a_split_that_fails_is_a_note() -> None:
    log = pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [1_600_000_000]})
    figures = inspect(Dataset.from_frames(log))
    assert figures.split is None
    assert figures.split_note is not None


@pytest.fixture
def folder(tmp_path: Path, log: pl.DataFrame) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    log.vstack(log[:1]).write_csv(folder / "events.csv")
    ITEMS.write_parquet(folder / "items.parquet")
    return folder


def test_json_is_one_object_on_stdout(folder: Path) -> None:
    result = CliRunner().invoke(data_app, ["inspect", str(folder), "--json"])
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content["events"] == 8
    assert content["report"]["repairs"][0] == {
        "fault": "duplicate event",
        "file": "events.csv",
        "column": "user_id",
        "rows": 1,
        "example": "row 9: user_id 1, item_id 10, timestamp 1700000000000",
        "action": "dropped",
    }
    assert content["schema"]["events"]["watched"]["duration"] is True
    assert set(content["split"]) == {"train", "validation", "test"}


def test_it_can_be_read_and_leads_on(folder: Path) -> None:
    result = CliRunner().invoke(data_app, ["inspect", str(folder)], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for word in ("members", "trailer", "input only", "genre", "20.0%", "duplicate event in 1 row", "--write-schema"):
        assert word in result.stdout


def test_strict_stops(folder: Path) -> None:
    result = CliRunner().invoke(data_app, ["inspect", str(folder), "--strict"])
    assert isinstance(result.exception, StrictError)
    assert "duplicate event" in str(result.exception)


def test_the_schema_is_written_once(folder: Path) -> None:
    command = ["inspect", str(folder), "--write-schema", str(folder / "schema.yaml")]
    assert CliRunner().invoke(data_app, command).exit_code == 0
    assert Schema.from_yaml(folder / "schema.yaml") == Dataset.from_folder(folder).schema
    assert isinstance(CliRunner().invoke(data_app, command).exception, SchemaError)


def test_simulate_makes_data_that_need_no_repair(tmp_path: Path) -> None:
    out = tmp_path / "service"
    command = ["simulate", str(out), "--members", "30", "--items", "40", "--days", "20", "--seed", "3", "--json"]
    result = CliRunner().invoke(data_app, command)
    assert result.exit_code == 0, result.exception
    content = json.loads(result.stdout)
    dataset = Dataset.from_folder(out, strict=True)
    assert dataset.events.height == content["events"]
    assert content["settings"]["seed"] == 3
