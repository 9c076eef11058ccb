"""Scorers that come by their scores in two steps: a state for each query, then the product with the catalogue.

A state is small and a row of scores is not, so the states of many queries are made together, and their scores a few
rows at a time.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import polars as pl
from jaxtyping import Float
from torch import Tensor

from palate.data import Dataset
from palate.model import ItemTables
from palate.rank.model_scorer import States
from palate.rank.scorer import Scorer


@runtime_checkable
class StateScorer(Scorer, Protocol):
    """A `Scorer` whose ``score`` is ``scored(queries, states(queries, tables()), tables())``."""

    def tables(self) -> ItemTables:
        """What is the same for all queries, with the weights as they are now."""
        ...

    def states(self, queries: pl.DataFrame, tables: ItemTables) -> States:
        """The states of all queries."""
        ...

    def scored(self, queries: pl.DataFrame, states: States, tables: ItemTables) -> Float[Tensor, "Q V"]:
        """The scores of the queries that have these states."""
        ...

    def of_members(self, part: Dataset) -> StateScorer:
        """The same scorer for some members of its log, whole; what is known of the items stays that of the log."""
        ...
