"""The order rule: a model would learn from the order of a file instead of the order of what happened."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from palate.data import Dataset

rows = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1_600_000_000, 1_600_000_004)), min_size=1, max_size=30
)


def log_of(events: list[tuple[int, int, int]]) -> pl.DataFrame:
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.with_columns(pl.int_range(pl.len()).alias("source"))


@settings(max_examples=100, deadline=None)
@given(events=rows, seed=st.integers(0, 2**32 - 1))
def test_mixing_the_members_of_the_source_changes_nothing(events: list[tuple[int, int, int]], seed: int) -> None:
    log = log_of(events)
    # A shuffle that keeps each member's own rows in their order.
    places = np.random.default_rng(seed).permutation(log.height)
    shuffled = log.with_columns(pl.Series("place", places)).with_columns(
        pl.col("place").sort().over("user_id").alias("place")
    )
    shuffled = shuffled.sort("place").drop("place")
    first, second = Dataset.from_frames(log), Dataset.from_frames(shuffled)
    assert_frame_equal(first.events, second.events)
    assert first.schema == second.schema


@settings(max_examples=100, deadline=None)
@given(events=rows)
def test_events_are_sorted_and_ties_follow_the_source(events: list[tuple[int, int, int]]) -> None:
    log = log_of(events)
    expected = sorted(log.iter_rows(), key=lambda row: (row[0], row[2], row[3]))
    events_in_order = Dataset.from_frames(log).events
    assert events_in_order["source"].cast(pl.Int64).to_list() == [row[3] for row in expected]
    assert events_in_order["timestamp"].to_list() == [row[2] * 1000 for row in expected]


def test_order_breaks_ties_before_the_source_does() -> None:
    log = log_of([(1, 10, 1_600_000_000), (1, 20, 1_600_000_000), (1, 30, 1_600_000_000)])
    log = log.with_columns(pl.Series("order", [2, None, 1]))
    dataset = Dataset.from_frames(log)
    assert dataset.events["item_id"].to_list() == [30, 10, 20]
    assert "order" in dataset.report.order_rule


def test_long_order_numbers_keep_every_digit() -> None:
    log = log_of([(1, 10, 1_600_000_000), (1, 20, 1_600_000_000)])
    log = log.with_columns(pl.Series("order", [2**60 + 1, 2**60]))
    assert Dataset.from_frames(log).events["item_id"].to_list() == [20, 10]


def sorted_by_item(n_events: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, 20, n_events),
            "item_id": rng.integers(0, 30, n_events),
            "timestamp": 1_600_000_000 + rng.integers(0, 5, n_events),
        }
    ).sort("item_id", maintain_order=True)


def test_a_source_sorted_by_item_is_recognised_and_its_order_not_followed() -> None:
    log = sorted_by_item()
    dataset = Dataset.from_frames(log)
    assert "hash" in dataset.report.order_rule
    events = dataset.events
    tied = (events["user_id"] == events["user_id"].shift()) & (events["timestamp"] == events["timestamp"].shift())
    rising = tied & (events["item_id"] > events["item_id"].shift())
    assert 0.3 < rising.sum() / tied.sum() < 0.7
    assert_frame_equal(dataset.events, Dataset.from_frames(log.reverse()).events)


def test_a_source_sorted_by_time_or_member_is_followed() -> None:
    for by in (["timestamp"], ["user_id", "item_id"]):
        report = Dataset.from_frames(sorted_by_item().sort(by, maintain_order=True)).report
        assert "order in the source" in report.order_rule
