"""Which baselines a dataset gets: those that it has the time and the memory for."""

from __future__ import annotations

import numpy as np

from palate.baselines.ease import Ease, memory_bytes
from palate.baselines.knn import ItemKnn
from palate.baselines.matrix import target_columns
from palate.baselines.popular import Popular, PopularConfig
from palate.baselines.recent import RecentPopular, RecentPopularConfig
from palate.baselines.transitions import Transitions
from palate.data.dataset import Dataset
from palate.data.split import Part, Split
from palate.rank.catalogue import known_items
from palate.rank.scorer import Scorer

EASE_MEMORY = 2 << 30
"""Bytes that EASE may take while it is fitted: some 7,300 items with training events."""


def choose(dataset: Dataset, split: Split, *, memory: int = EASE_MEMORY) -> Ease | ItemKnn:
    """The personal baseline, fitted: EASE where its estimated memory fits in ``memory`` bytes, else item-kNN."""
    columns = target_columns(dataset, known_items(dataset))[split.part == Part.TRAIN]
    trained = len(np.unique(columns[columns >= 0]))
    if memory_bytes(trained) <= memory:
        return Ease.fit(dataset, split)
    return ItemKnn.fit(dataset, split)


def standard(dataset: Dataset, split: Split) -> dict[str, Scorer]:
    """The baselines to show beside a model, fitted, by the name they have in tables.

    ``popular``, ``transitions``, and ``ease`` or ``item_knn`` by size. With time also ``recent_popular``, and both
    popularity baselines rolling on to each query's moment.
    """
    personal = choose(dataset, split)
    name = "ease" if isinstance(personal, Ease) else "item_knn"
    found: dict[str, Scorer] = {"popular": Popular.fit(dataset, split)}
    if dataset.has_time:
        found |= {
            "recent_popular": RecentPopular.fit(dataset, split),
            "popular_rolling": Popular.fit(dataset, split, PopularConfig(rolling=True)),
            "recent_popular_rolling": RecentPopular.fit(dataset, split, RecentPopularConfig(rolling=True)),
        }
    return found | {"transitions": Transitions.fit(dataset, split), name: personal}
