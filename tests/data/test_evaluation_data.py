"""The evaluation data are read as their protocols say; otherwise published figures can't be compared with."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from palate.data import Dataset, Kind, Part, inspect, queries, split


def test_movielens_leave_one_out(evaluation_data: Path) -> None:
    dataset = Dataset.from_folder(evaluation_data / "ml-1m", strict=True)
    source = pl.read_parquet(evaluation_data / "ml-1m" / "events.parquet")
    assert dataset.events.height == 999_611
    assert dataset.schema.seen_items == {"*": "exclude"}
    assert dataset.items is not None
    assert dataset.schema.items["genres"].kind == Kind.MULTI_CATEGORICAL
    divided = split(dataset)
    last = source.sort("user_id", "position").group_by("user_id", maintain_order=True).tail(1)
    test = queries(dataset, divided, Part.TEST)
    assert test["item_id"].to_list() == last["item_id"].to_list()
    assert test.height == queries(dataset, divided, Part.VALIDATION).height == 6040
    assert (test["history_length"] == test["position"]).all()


def test_movietweetings_temporal(evaluation_data: Path) -> None:
    dataset = Dataset.from_folder(evaluation_data / "movietweetings", strict=True)
    assert dataset.report.time_unit == "seconds (inferred)"
    figures = inspect(dataset)
    assert figures.split is not None
    assert [part.events for part in figures.split.values()] == [80_000, 10_000, 10_000]
    test = figures.split["test"]
    assert test.new_member_share is not None
    assert test.cold_item_share is not None
    assert test.unreachable_share is not None
    assert round(test.new_member_share, 2) == 0.15
    assert round(test.unreachable_share, 2) == 0.06
    assert round(test.cold_item_share - test.unreachable_share, 2) == 0.13


def test_wikipedia_repeats(evaluation_data: Path) -> None:
    dataset = Dataset.from_folder(evaluation_data / "wikipedia-edits", strict=True)
    assert dataset.schema.seen_items == {"*": "allow"}
    assert not dataset.has_time
    assert inspect(dataset).repeat_share > 0.8
