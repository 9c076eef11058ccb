"""Popular: the items with the most events so far, the same for everybody."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from palate.baselines.counts import RollingCounts
from palate.baselines.matrix import target_columns
from palate.config import Config
from palate.data.dataset import Dataset
from palate.data.split import Part, Split
from palate.errors import ConfigError
from palate.rank.catalogue import known_items
from palate.words import TIMESTAMP


class PopularConfig(Config):
    """Up to when events are counted."""

    rolling: bool = False
    """Count all events before each query's moment; otherwise the training events alone."""


class Popular:
    """Scores an item by its number of target events."""

    def __init__(self, catalogue: pl.Series, counts: Float[Tensor, " V"] | RollingCounts) -> None:
        """``counts`` is fixed, or known at every moment."""
        self.catalogue = catalogue
        self._counts = counts

    @classmethod
    def fit(cls, dataset: Dataset, split: Split, config: PopularConfig | None = None) -> Popular:
        """Count target events; `ConfigError` for ``rolling`` in data without time."""
        config = config or PopularConfig()
        catalogue = known_items(dataset)
        if config.rolling:
            need_time(dataset, "rolling popularity")
            return cls(catalogue, RollingCounts.of(dataset, catalogue))
        columns = target_columns(dataset, catalogue)[split.part == Part.TRAIN]
        counts = np.bincount(columns[columns >= 0], minlength=len(catalogue))
        return cls(catalogue, torch.from_numpy(counts.astype(np.float32)))

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The counts, for each query."""
        if isinstance(self._counts, RollingCounts):
            return torch.from_numpy(self._counts.before(queries[TIMESTAMP].to_numpy()))
        return self._counts.expand(len(queries), -1)


def need_time(dataset: Dataset, what: str) -> None:
    """Raise `ConfigError` when the data have no clock."""
    if not dataset.has_time:
        raise ConfigError(f"{what} needs timestamps, and the data have positions", hint="use popular, not rolling")
