"""What the tests of the rank room share."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from palate.data.dataset import Dataset
from palate.data.schema import Schema


def frames(seed: int, *, members: int = 12, items: int = 15, events: int = 160) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A random log with times (two kinds of events, some times equal) and items, some announced, some ending."""
    random = np.random.default_rng(seed)
    log = pl.DataFrame(
        {
            "user_id": random.integers(1, members, events),
            "item_id": random.integers(100, 100 + items, events),
            "timestamp": 1_700_000_000 + random.integers(0, 400, events) * 3600,
            "event_type": random.choice(["play", "trailer", "buy"], events),
        }
    )
    launch = [1_700_000_000 + 3600 * int(hour) if hour > 0 else None for hour in random.integers(-100, 300, items + 3)]
    until = [1_700_000_000 + 3600 * int(hour) if hour > 200 else None for hour in random.integers(0, 500, items + 3)]
    table = pl.DataFrame(
        {"item_id": np.arange(100, 103 + items), "launch_time": launch, "available_until": until},
        schema_overrides={"launch_time": pl.Int64, "available_until": pl.Int64},
    )
    return log, table


@pytest.fixture
def dataset() -> Dataset:
    """With time, availability, and two target types of which only ``buy`` makes an item seen."""
    log, items = frames(0)
    schema = Schema(target_event_types=("play", "buy"), seen_items={"play": "allow", "buy": "exclude"})
    return Dataset.from_frames(log, items, schema=schema)


@pytest.fixture
def without_time() -> Dataset:
    """Positions instead of times; every earlier item is excluded."""
    log, _ = frames(1)
    log = log.select("user_id", "item_id").unique(maintain_order=True)
    log = log.with_columns(position=pl.int_range(pl.len()).over("user_id"))
    return Dataset.from_frames(log, schema=Schema(seen_items={"*": "exclude"}))
