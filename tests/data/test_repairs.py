"""Repairs: each fault is counted exactly, and whatever has none comes through untouched."""

from __future__ import annotations

import time
from dataclasses import dataclass

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from palate.data import Column, Dataset, Fault, Kind, Role, Schema

SCHEMA = Schema(events={"watched": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC, duration=True)})
NOW = int(time.time())


@dataclass(frozen=True)
class Injected:
    """Rows with one fault each, and what they must be counted as."""

    nulls: int
    unparsable: int
    future: int
    negative: int
    broken: int
    duplicates: int
    unknown: int


counts = st.integers(0, 3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(0, 10**6)),
        min_size=4,
        max_size=20,
        unique_by=(lambda row: row[2],),
    ),
    injected=st.builds(Injected, counts, counts, counts, counts, counts, counts, counts),
    seed=st.integers(0, 100),
)
def test_faults_are_counted_exactly_and_the_rest_is_kept(
    rows: list[tuple[int, int, int]], injected: Injected, seed: int
) -> None:
    clean = [(str(user), str(item), str(1_500_000_000 + at), "1.5") for user, item, at in rows]
    bad: list[tuple[str | None, str, str, str]] = []
    bad += [(None, "1", str(1_600_000_000 + n), "1") for n in range(injected.nulls)]
    bad += [("1", "1", f"day {n}", "1") for n in range(injected.unparsable)]
    bad += [("1", "1", str(NOW + 10**6 + n), "1") for n in range(injected.future)]
    kept = [("1", "1", str(1_610_000_000 + n), "-2") for n in range(injected.negative)]
    kept += [("1", "1", str(1_620_000_000 + n), "x") for n in range(injected.broken)]
    kept += [("1", "77", str(1_630_000_000 + n), "1.5") for n in range(injected.unknown)]
    everything = clean + bad + kept + [clean[0]] * injected.duplicates
    log = pl.DataFrame(everything, schema=["user_id", "item_id", "timestamp", "watched"], orient="row")
    items = pl.DataFrame({"item_id": [str(item) for item in range(1, 10)]})
    dataset = Dataset.from_frames(log.sample(fraction=1, shuffle=True, seed=seed), items, schema=SCHEMA)

    expected = {
        Fault.NULL_ID: injected.nulls,
        Fault.UNPARSABLE_TIME: injected.unparsable,
        Fault.FAR_FUTURE_TIME: injected.future,
        Fault.NEGATIVE_DURATION: injected.negative,
        Fault.WRONG_TYPE: injected.broken,
        Fault.DUPLICATE_EVENT: injected.duplicates,
        Fault.UNKNOWN_ITEM: injected.unknown,
    }
    assert dataset.report.repaired_rows == {fault: count for fault, count in expected.items() if count}
    assert dataset.report.rows_read == len(everything)
    assert dataset.events.height == dataset.report.rows_kept == len(clean) + len(kept)
    assert dataset.events["watched"].null_count() == injected.negative + injected.broken

    untouched = Dataset.from_frames(pl.DataFrame(clean, schema=log.schema, orient="row"), items, schema=SCHEMA).events
    moments = dataset.events.filter(pl.col("timestamp") < 1_600_000_000_000)
    assert_frame_equal(moments, untouched)


def test_what_is_kept_does_not_depend_on_the_order_of_the_source() -> None:
    log = pl.DataFrame({"user_id": [2, 1], "item_id": [1, 1], "timestamp": [1_600_000_000] * 2, "event_id": ["a", "a"]})
    first, second = Dataset.from_frames(log), Dataset.from_frames(log.reverse())
    assert first.events.equals(second.events)


def test_the_example_names_the_row_of_the_source() -> None:
    log = pl.DataFrame(
        {"user_id": [1, 1, 1], "item_id": [1, 2, None], "timestamp": ["2024-01-02", "2024-01-01", "2024-01-01"]}
    )
    [repair] = Dataset.from_frames(log).report.repairs
    assert repair.example.startswith("row 3: ")


def test_vectors_of_another_width_are_repaired() -> None:
    log = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 3], "position": [0, 1, 0]})
    items = pl.DataFrame({"item_id": [1, 2, 3], "vector": [[1.0, 2.0], [1.0], [3.0, float("nan")]]})
    dataset = Dataset.from_frames(log, items)
    assert dataset.report.repaired_rows == {Fault.WRONG_TYPE: 2}
    assert dataset.items is not None
    assert dataset.items["vector"].to_list() == [[1.0, 2.0], None, None]


def test_impressions_become_lists_of_items() -> None:
    log = pl.DataFrame(
        {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "position": [0, 1, 2], "impressions": ["1|2", "3|x", None]}
    )
    dataset = Dataset.from_frames(log)
    assert dataset.events["impressions"].to_list() == [[1, 2], [3], None]
    assert dataset.report.repaired_rows == {Fault.WRONG_TYPE: 1}


def test_launches_that_cannot_be_read_are_missing_and_later_ones_are_believed() -> None:
    log = pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [1_600_000_000]})
    items = pl.DataFrame({"item_id": [1, 2], "launch_time": ["soon", "2999-01-01"]})
    dataset = Dataset.from_frames(log, items)
    assert dataset.report.repaired_rows == {Fault.UNPARSABLE_TIME: 1}
    assert dataset.items is not None
    assert dataset.items["launch_time"].null_count() == 1
