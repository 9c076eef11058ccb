"""The simulator's truth as a ranking beside the others: what could be reached by who knows the latent state."""

from __future__ import annotations

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from palate.simulate import FilterOracle, Oracle

LOWEST = -1e9
"""Score of what can't be chosen; scores are finite."""


class OracleScorer:
    """Log choice probabilities as scores."""

    def __init__(self, oracle: Oracle | FilterOracle) -> None:
        self._oracle = oracle

    @property
    def catalogue(self) -> pl.Series:
        """All titles of the service."""
        return self._oracle.catalogue

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The truth about plays that took place."""
        return torch.from_numpy(self._oracle.scores(queries)).float().clamp(min=LOWEST)
