"""What ranking asks of a model or a baseline: a score for every item of its catalogue."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import polars as pl
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """Scores all items for each query; knows nothing of availability, seen items or k."""

    @property
    def catalogue(self) -> pl.Series:
        """External item ids, each once; column v of the scores is ``catalogue[v]``."""
        ...

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """Finite scores, higher is better, from nothing but what lies before each query.

        ``queries`` is a table of `palate.data.split.queries` or ``present_queries``; its ``item_id`` is the
        answer and must not be looked at.
        """
        ...
