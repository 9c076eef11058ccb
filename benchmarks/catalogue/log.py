"""A log of any number of items whose sequences can be learned, made in seconds.

Items stand in clusters of 50, whose popularity follows Zipf's law, as does that of the items in one. A member is in a
cluster for some events: half of them go on with the next item of the cluster, the others pick one of it. Every item has
an event: the first events of members go through the catalogue once.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from palate.data import Column, Dataset, Kind, Role, Schema, SplitRule

CLUSTER = 50
LENGTH = 20
"""Events of a member, beside those that go through the catalogue."""
DAYS = 365
LAST_TWO = SplitRule(kind="leave_one_out")
_START = 1_700_000_000_000
_DAY = 86_400_000


def log(items: int, events: int, *, seed: int = 0, length: int = LENGTH, rule: SplitRule = LAST_TWO) -> Dataset:
    """``items`` items and at least so many events, ``length`` of each member in clusters; ids are numbers."""
    rng = np.random.default_rng(seed)
    members = max((events - items) // length, items // 20, 1)
    cover = -(-items // members)
    clusters = max(items // CLUSTER, 1)
    reach = np.cumsum(1 / np.arange(1, clusters + 1))
    within = np.cumsum(1 / np.arange(1, CLUSTER + 1))
    size = items // clusters
    item = np.empty((members, cover + length), np.int64)
    item[:, :cover] = np.resize(rng.permutation(items), members * cover).reshape(members, cover)
    cluster = np.searchsorted(reach, rng.random(members) * reach[-1])
    place = np.searchsorted(within, rng.random(members) * within[-1]) % size
    for step in range(length):
        goes, moves = rng.random(members) < 0.5, rng.random(members) < 0.15
        other = np.searchsorted(within, rng.random(members) * within[-1]) % size
        place = np.where(goes, (place + 1) % size, other)
        cluster = np.where(moves, np.searchsorted(reach, rng.random(members) * reach[-1]), cluster)
        item[:, cover + step] = cluster * size + place
    # Members come over the year; between two events there are hours.
    start = rng.integers(0, (DAYS - 30) * _DAY, members)
    gaps = rng.exponential(_DAY / 2, item.shape).astype(np.int64)
    table = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(members), item.shape[1]),
            "item_id": item.reshape(-1),
            "timestamp": (_START + start[:, None] + gaps.cumsum(1)).reshape(-1),
        }
    )
    schema = Schema(
        items={"cluster": Column(role=Role.ITEM_METADATA, kind=Kind.CATEGORICAL)},
        seen_items={"*": "allow"},
        split=rule,
    )
    described = pl.DataFrame({"item_id": np.arange(items), "cluster": (np.arange(items) // size).astype(str)})
    return Dataset.from_frames(table, described, schema=schema)
