"""Small logs of every shape."""

import numpy as np
import polars as pl
import pytest

from palate.data import Column, Dataset, Kind, Role, Schema

MINUTE = 60_000
START = 1_700_000_000_000


def service(*, members: int = 12, items: int = 30, seed: int = 0, has_time: bool = True) -> Dataset:
    """A log with a field of every kind on both sides."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, members)
    n = int(lengths.sum())
    events = pl.DataFrame(
        {
            "user_id": np.repeat([f"m{i:02d}" for i in range(members)], lengths),
            "item_id": [f"t{i:02d}" for i in rng.integers(0, items, n)],
            "event_type": rng.choice(["play", "trailer"], n, p=[0.8, 0.2]),
            "event_value": rng.exponential(1000, n).round(1),
            "device": rng.choice(["tv", "phone", None], n).tolist(),
            "tags": [list(rng.choice(["a", "b", "c"], rng.integers(0, 3), replace=False)) for _ in range(n)],
        }
    )
    if has_time:
        order = rng.permutation(n)
        times = START + np.arange(n) * 7 * MINUTE
        events = events.with_columns(pl.Series("timestamp", times[np.argsort(order)]))
    else:
        positions = np.arange(n) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = events.with_columns(pl.Series("position", positions))
    users = pl.DataFrame({"user_id": [f"m{i:02d}" for i in range(members)], "plan": ["free", "paid"] * (members // 2)})
    schema = Schema(
        events={
            "event_value": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC, duration=True),
            "device": Column(role=Role.REQUEST_TIME, kind=Kind.CATEGORICAL),
            "tags": Column(role=Role.POST_ACTION, kind=Kind.MULTI_CATEGORICAL),
        },
        users={"plan": Column(role=Role.USER_ATTRIBUTE, kind=Kind.CATEGORICAL)},
        target_event_types=("play",),
    )
    return Dataset.from_frames(events, users=users, schema=schema)


@pytest.fixture(params=[True, False], ids=["times", "positions"])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return service(has_time=request.param)
