"""Splits: a figure means nothing where a model has seen what it is asked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data import (
    Dataset,
    Part,
    Schema,
    SplitRule,
    available_from,
    is_target,
    present_queries,
    queries,
    split,
)
from palate.errors import ConfigError, SchemaError, SplitError, UnknownMemberError

BASE = 1_600_000_000


@st.composite
def datasets(draw: st.DrawFn, *, time: bool = True) -> Dataset:
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(1, 5), st.integers(1, 8), st.integers(0, 40), st.sampled_from(["play", "play", "trailer"])
            ),
            min_size=12,
            max_size=60,
        )
    )
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "at", "event_type"], orient="row")
    frame = (
        frame.rename({"at": "position"}) if not time else frame.with_columns(timestamp=BASE + pl.col("at")).drop("at")
    )
    frame = frame.vstack(frame[:1].with_columns(pl.lit("play").alias("event_type")))
    return Dataset.from_frames(frame, schema=Schema(target_event_types=("play",)))


@settings(max_examples=100, deadline=None)
@given(dataset=datasets(), train=st.floats(0.2, 0.8), validation=st.floats(0.05, 0.15))
def test_temporal_parts_are_divided_by_two_moments(dataset: Dataset, train: float, validation: float) -> None:
    try:
        divided = split(dataset, SplitRule(kind="temporal", train_share=train, validation_share=validation))
    except SplitError:
        return
    times = dataset.events["timestamp"].to_numpy()
    assert divided.cuts is not None
    first, second = divided.cuts
    assert (divided.part == Part.TRAIN).tolist() == (times < first).tolist()
    assert (divided.part == Part.VALIDATION).tolist() == ((times >= first) & (times < second)).tolist()
    assert times[divided.rows(Part.TRAIN)].max() < times[divided.rows(Part.VALIDATION)].min()
    assert times[divided.rows(Part.VALIDATION)].max() < times[divided.rows(Part.TEST)].min()
    # As near to the share as equal times allow.
    assert (times < first).sum() <= round(train * len(times)) < len(times)
    assert_parts_are_in_order(dataset, divided.part)


@settings(max_examples=100, deadline=None)
@given(dataset=st.one_of(datasets(), datasets(time=False)))
def test_leave_one_out_takes_each_members_last_two_targets(dataset: Dataset) -> None:
    try:
        divided = split(dataset, SplitRule(kind="leave_one_out"))
    except SplitError:
        return
    assert_parts_are_in_order(dataset, divided.part)
    frame = dataset.events.with_columns(
        pl.Series("part", divided.part), pl.Series("target", is_target(dataset))
    ).with_row_index("row")
    short = 0
    for _, member in frame.group_by("user_id"):
        targets = member.filter("target")["row"].to_list()
        if len(targets) < 3:
            short += 1
            assert member["part"].unique().to_list() == [Part.TRAIN]
            continue
        expected = [
            Part.TEST if row >= targets[-1] else Part.VALIDATION if row >= targets[-2] else Part.TRAIN
            for row in member["row"]
        ]
        assert member["part"].to_list() == expected
    members = frame["user_id"].n_unique()
    assert divided.members_without_test == short
    for part in (Part.VALIDATION, Part.TEST):
        asked = queries(dataset, divided, part)
        assert asked.height == asked["user_id"].n_unique() == members - short


def assert_parts_are_in_order(dataset: Dataset, part: np.ndarray) -> None:
    """No event in two parts, and none before an earlier part of its member."""
    assert part.dtype == np.int8
    assert len(part) == dataset.events.height
    same = (dataset.events["user_id"] == dataset.events["user_id"].shift()).fill_null(False).to_numpy()
    assert (np.diff(part)[same[1:]] >= 0).all()


@settings(max_examples=50, deadline=None)
@given(dataset=datasets())
def test_queries_are_the_targets_of_each_part_once(dataset: Dataset) -> None:
    try:
        divided = split(dataset)
    except SplitError:
        return
    tables = [queries(dataset, divided, part) for part in Part]
    rows = pl.concat(tables)["query"]
    assert sorted(rows) == np.flatnonzero(is_target(dataset)).tolist()
    for table in tables:
        rows = table["query"].to_list()
        assert dataset.events["item_id"].gather(rows).to_list() == table["item_id"].to_list()
        earlier = [
            sum(1 for member in dataset.events["user_id"][:row] if member == user)
            for row, user in zip(rows, table["user_id"], strict=True)
        ]
        assert table["history_length"].to_list() == earlier


def test_none_trains_on_everything(log: pl.DataFrame) -> None:
    dataset = Dataset.from_frames(log)
    assert (split(dataset, SplitRule(kind="none")).part == Part.TRAIN).all()


def test_a_split_without_events_in_a_part_is_an_error(log: pl.DataFrame) -> None:
    with pytest.raises(SplitError, match="no event for train"):
        split(Dataset.from_frames(log.with_columns(timestamp=pl.lit(BASE))))
    with pytest.raises(SplitError, match="three targets"):
        split(Dataset.from_frames(log[:2]), SplitRule(kind="leave_one_out"))


def test_a_temporal_split_needs_time() -> None:
    frame = pl.DataFrame({"user_id": [1], "item_id": [1], "position": [0]})
    with pytest.raises(ConfigError, match="timestamps"):
        split(Dataset.from_frames(frame), SplitRule(kind="temporal"))
    with pytest.raises(SchemaError, match="positions"):
        Dataset.from_frames(frame, schema=Schema(split=SplitRule(kind="temporal")))


def test_shares_beyond_the_whole_are_refused() -> None:
    with pytest.raises(SchemaError, match="exceed 1"):
        Schema.parse({"split": {"train_share": 0.9, "validation_share": 0.2}}, source="schema.yaml")


def test_present_queries_ask_after_all_that_happened(log: pl.DataFrame) -> None:
    dataset = Dataset.from_frames(log)
    asked = present_queries(dataset)
    assert asked["query"].to_list() == [3, 7, 8]
    assert asked["history_length"].to_list() == [3, 4, 1]
    assert asked["item_id"].null_count() == 3
    assert asked.schema == queries(dataset, split(dataset, SplitRule(kind="none")), Part.TRAIN).schema
    # Whatever has an event exists at that moment.
    assert (available_from(dataset)["available_from"] <= asked["timestamp"].max()).all()


def test_present_queries_of_some_members_and_at_a_moment(log: pl.DataFrame) -> None:
    dataset = Dataset.from_frames(log)
    late = (BASE + 10**9) * 1000
    asked = present_queries(dataset, user_ids=["3", 1], at=late)
    assert asked["user_id"].to_list() == [3, 1]
    assert asked["query"].to_list() == [8, 3]
    assert set(asked["timestamp"]) == {late}
    assert present_queries(dataset, user_ids=pl.Series([2, 1, 2]))["user_id"].to_list() == [2, 1]
    with pytest.raises(UnknownMemberError, match="99"):
        present_queries(dataset, user_ids=[1, 99])
    with pytest.raises(UnknownMemberError, match="integers"):
        present_queries(dataset, user_ids=["anna"])
    with pytest.raises(ConfigError, match="at or after"):
        present_queries(dataset, at=0)


def test_present_queries_with_positions() -> None:
    dataset = Dataset.from_frames(
        pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": [1, 2, 3], "position": [0, 7, 3]})
    )
    assert present_queries(dataset)["position"].to_list() == [8, 4]
    with pytest.raises(ConfigError, match="positions"):
        present_queries(dataset, at=1)
