"""What the tests of the baselines share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from palate.data.dataset import Dataset
from palate.data.rule import SplitRule
from palate.data.schema import Schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def evaluation_data() -> Path:
    """The folder of evaluation data, beside the checkout or where PALATE_DATA says."""
    folder = Path(os.environ.get("PALATE_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not (folder / "ml-1m").is_dir():
        pytest.skip(f"no evaluation data in {folder} (set PALATE_DATA)")
    return folder


def log() -> pl.DataFrame:
    """Members of two tastes (even items, odd items), heavy-tailed, with times and an input-only type."""
    random = np.random.default_rng(0)
    events = 1500
    user = random.integers(1, 80, events)
    return pl.DataFrame(
        {
            "user_id": user,
            "item_id": 2 * np.minimum(random.zipf(1.4, events), 30) + user % 2,
            "timestamp": 1_700_000_000 + np.sort(random.integers(0, 60 * 86_400, events)),
            "event_type": random.choice(["play", "trailer"], events, p=[0.8, 0.2]),
        }
    )


SCHEMA = Schema(target_event_types=("play",), seen_items={"play": "exclude"})


@pytest.fixture(scope="session")
def timed() -> Dataset:
    """With times and a temporal split; an item that nobody has touched."""
    return Dataset.from_frames(log(), pl.DataFrame({"item_id": [2, 3, 500]}), schema=SCHEMA)


@pytest.fixture(scope="session")
def ordered() -> Dataset:
    """With positions alone and leave-one-out."""
    events = log().drop("timestamp").unique(["user_id", "item_id"], keep="first", maintain_order=True)
    events = events.with_columns(position=pl.int_range(pl.len()).over("user_id"))
    schema = SCHEMA.model_copy(update={"split": SplitRule(kind="leave_one_out")})
    return Dataset.from_frames(events, schema=schema)
