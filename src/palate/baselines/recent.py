"""Recent popular: the items with the most events in the last days, the same for everybody."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from palate.baselines.counts import DAY_MS, RollingCounts
from palate.baselines.popular import need_time
from palate.config import Config
from palate.data.dataset import Dataset
from palate.data.split import Part, Split
from palate.rank.catalogue import known_items
from palate.words import TIMESTAMP


class RecentPopularConfig(Config):
    """Which events are counted."""

    days: float = Field(default=7, gt=0)
    """Length of the window, in days."""
    rolling: bool = False
    """The window ends at each query's moment; otherwise where training ends."""


class RecentPopular:
    """Scores an item by its number of target events within a window of time."""

    def __init__(self, catalogue: pl.Series, counts: RollingCounts, window_ms: int, end: int | None) -> None:
        """The window of ``window_ms`` ends before the moment ``end``, or before each query's where that is None."""
        self.catalogue = catalogue
        self._counts = counts
        self._window = window_ms
        self._frozen = None if end is None else self._at(np.array([end], dtype=np.int64))

    @classmethod
    def fit(cls, dataset: Dataset, split: Split, config: RecentPopularConfig | None = None) -> RecentPopular:
        """Count target events; `ConfigError` for data without time.

        Frozen, the window ends at the training cut of a temporal split. Other splits have no moment for all:
        there only training events are counted, and the window ends with the last of them.
        """
        config = config or RecentPopularConfig()
        need_time(dataset, "recent popularity")
        catalogue = known_items(dataset)
        window = round(config.days * DAY_MS)
        if config.rolling:
            return cls(catalogue, RollingCounts.of(dataset, catalogue), window, None)
        training = split.part == Part.TRAIN
        last: int = dataset.events[TIMESTAMP].to_numpy()[training].max()
        end = split.cuts[0] if split.cuts is not None else int(last) + 1
        return cls(catalogue, RollingCounts.of(dataset, catalogue, training), window, end)

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The counts in the window, for each query."""
        if self._frozen is not None:
            return self._frozen.expand(len(queries), -1)
        return self._at(queries[TIMESTAMP].to_numpy())

    def _at(self, moments: np.ndarray) -> Float[Tensor, "Q V"]:
        return torch.from_numpy(self._counts.before(moments) - self._counts.before(moments - self._window))
