"""Groups of queries that are looked at apart: by history, by how popular the target is, cold members."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.dataset import Dataset
from palate.data.hashing import stable_hash
from palate.data.split import Part, Split, is_target
from palate.words import ITEM_ID

Masks = dict[str, dict[str, npt.NDArray[np.bool_]]]
"""Slice name → group name → bool [n_queries]."""


def training_popularity(dataset: Dataset, split: Split) -> pl.DataFrame:
    """``item_id`` and ``events``: the number of target events in the training part; items with none are absent."""
    training = (split.part == Part.TRAIN) & is_target(dataset)
    return dataset.events.filter(pl.Series(training)).group_by(ITEM_ID).agg(pl.len().cast(pl.Int64).alias("events"))


def popularity_groups(popularity: pl.DataFrame, *, head: float, tail: float) -> pl.DataFrame:
    """``item_id`` and ``group``: head, mid or tail, by share of the training events.

    The most popular items that together hold the share ``head`` of the events are the head, the least popular
    ones that hold ``tail`` are the tail. The item on an edge belongs to the more popular side. Equal counts are in
    the order of the fixed hash.
    """
    ordered = popularity.with_columns(hash=pl.Series(stable_hash(popularity[ITEM_ID]))).sort(
        "events", "hash", descending=[True, False]
    )
    total = int(ordered["events"].sum())
    before = (ordered["events"].cum_sum() - ordered["events"]).to_numpy() / max(total, 1)
    group = np.where(before < head, "head", np.where(before < 1 - tail, "mid", "tail"))
    return ordered.select(ITEM_ID).with_columns(group=pl.Series(group, dtype=pl.String))


def slice_masks(
    targets: pl.DataFrame, popularity: pl.DataFrame, *, history_edges: Sequence[int], head: float, tail: float
) -> Masks:
    """The groups of the slices ``history_length``, ``target_popularity`` and ``member``.

    ``targets`` is a table of `palate.data.split.queries`. Every query is in exactly one group of each slice.
    """
    length = targets["history_length"].to_numpy()
    groups = popularity_groups(popularity, head=head, tail=tail)
    group = targets.select(ITEM_ID).join(groups, on=ITEM_ID, how="left", maintain_order="left")["group"]
    group = group.fill_null("cold")
    return {
        "history_length": {name: (length >= low) & (length < high) for name, low, high in _buckets(history_edges)},
        "target_popularity": {name: (group == name).to_numpy() for name in ("head", "mid", "tail", "cold")},
        "member": {"cold": length == 0, "known": length > 0},
    }


def _buckets(edges: Sequence[int]) -> list[tuple[str, int, float]]:
    """Names and half-open ranges of lengths that begin at each edge."""
    highs = [*map(float, edges[1:]), np.inf]
    return [
        (f"{low}+" if high == np.inf else str(low) if high == low + 1 else f"{low}-{int(high) - 1}", low, high)
        for low, high in zip(edges, highs, strict=True)
    ]
