"""Availability: a figure is inflated or spoilt where items are offered before they exist."""

from __future__ import annotations

import polars as pl

from palate.data import Dataset, available_from

SECONDS = [1_700_000_000, 1_700_000_100, 1_700_000_200]


def table(dataset: Dataset) -> dict[int, tuple[int | None, int | None]]:
    return {item: (start, end) for item, start, end in available_from(dataset).iter_rows()}


def test_launch_counts_and_otherwise_the_first_event() -> None:
    events = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [10, 20, 20], "timestamp": SECONDS})
    items = pl.DataFrame(
        {
            "item_id": [10, 30, 40],
            "launch_time": [1_600_000_000, 1_650_000_000, None],
            "available_until": [None, 1_660_000_000, None],
        }
    )
    assert table(Dataset.from_frames(events, items)) == {
        10: (1_600_000_000_000, None),
        20: (SECONDS[1] * 1000 + 1, None),
        30: (1_650_000_000_000, 1_660_000_000_000),
    }


def test_without_an_items_table_the_first_event_counts() -> None:
    events = pl.DataFrame({"user_id": [1, 2], "item_id": [10, 10], "timestamp": SECONDS[:2][::-1]})
    assert table(Dataset.from_frames(events)) == {10: (SECONDS[0] * 1000 + 1, None)}


def test_without_time_every_item_is_always_there() -> None:
    events = pl.DataFrame({"user_id": [1, 2], "item_id": [10, 20], "position": [0, 0]})
    items = pl.DataFrame({"item_id": [30, 10], "launch_time": ["2020-01-01", "2020-01-01"]})
    assert table(Dataset.from_frames(events, items)) == {10: (None, None), 20: (None, None), 30: (None, None)}
    assert table(Dataset.from_frames(events)) == {10: (None, None), 20: (None, None)}
