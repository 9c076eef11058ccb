"""The simulator's truth as a ranking beside the others: what could be reached by who knows the latent state."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from palate.simulate import FilterOracle, Oracle
from palate.words import EVENT_TYPE, QUERY, TIMESTAMP, USER_ID

LOWEST = -1e9
"""Score of what can't be chosen; scores are finite."""


class OracleScorer:
    """Log choice probabilities as scores.

    The truth is about plays. Where a query lies at another event, such as the trailer that a run opens with, the answer
    is that for the member's next play, which knows of the trailer: an upper reference may know more.
    """

    def __init__(self, oracle: Oracle | FilterOracle, events: pl.DataFrame) -> None:
        self._oracle = oracle
        self._plays = events.select(USER_ID, TIMESTAMP, play=pl.col(EVENT_TYPE) == "play")

    @property
    def catalogue(self) -> pl.Series:
        """All titles of the service."""
        return self._oracle.catalogue

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The truth about plays that took place."""
        return torch.from_numpy(self._oracle.scores(self._at_plays(queries))).float().clamp(min=LOWEST)

    def _at_plays(self, queries: pl.DataFrame) -> pl.DataFrame:
        """The queries, each moved to the member's first play from its row on; its item is in a run that has one."""
        is_play = self._plays["play"].to_numpy()
        rows = np.where(is_play, np.arange(len(is_play)), len(is_play))
        following = np.minimum.accumulate(rows[::-1])[::-1][queries[QUERY].to_numpy()]
        assert (self._plays[USER_ID].gather(following) == queries[USER_ID]).all(), "a target whose run has no play"
        return queries.with_columns(self._plays[TIMESTAMP].gather(following))
