"""What the tests of the data room share."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def evaluation_data() -> Path:
    """The folder of evaluation data, beside the checkout or where PALATE_DATA says."""
    folder = Path(os.environ.get("PALATE_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not (folder / "ml-1m").is_dir():
        pytest.skip(f"no evaluation data in {folder} (set PALATE_DATA)")
    return folder


@pytest.fixture
def log() -> pl.DataFrame:
    """A clean log: three members, four items, times in seconds, two types of events."""
    return pl.DataFrame(
        {
            "user_id": [1, 1, 1, 2, 2, 2, 2, 3],
            "item_id": [10, 20, 30, 10, 10, 40, 20, 30],
            "timestamp": [1_700_000_000 + 60 * step for step in (0, 5, 9, 1, 2, 3, 20, 30)],
            "event_type": ["play", "trailer", "play", "play", "play", "play", "trailer", "play"],
            "watched": [10.5, 3.0, 60.0, 12.0, 7.0, 1.0, 2.0, 90.0],
        }
    )
