"""What the tests of the evaluate room share."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from palate.data.dataset import Dataset


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """A random log with times, and items with genres, one of them without events."""
    random = np.random.default_rng(0)
    events = 600
    log = pl.DataFrame(
        {
            "user_id": random.integers(1, 60, events),
            "item_id": np.minimum(random.zipf(1.5, events), 25),
            "timestamp": 1_700_000_000 + np.sort(random.integers(0, 90 * 86_400, events)),
        }
    )
    items = pl.DataFrame({"item_id": range(1, 27), "genres": [f"g{i % 4}|g{i % 3}" for i in range(26)]})
    return Dataset.from_frames(log, items)
