"""States that are kept, for weights that differ in nothing but how they are scored."""

from __future__ import annotations

import polars as pl
from jaxtyping import Float
from torch import Tensor

from palate.data import Dataset
from palate.model import ItemTables
from palate.rank.model_scorer import ModelScorer, States
from palate.words import QUERY


class KeptStates:
    """A `StateScorer` that encodes the same queries once, however often they are asked."""

    def __init__(self, scorer: ModelScorer) -> None:
        """The encoder of ``scorer`` must stay as it is; its output tables need not."""
        self._scorer = scorer
        self._kept: dict[tuple[int, ...], States] = {}

    @property
    def catalogue(self) -> pl.Series:
        """As that of `ModelScorer`."""
        return self._scorer.catalogue

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """As that of `ModelScorer`."""
        tables = self.tables()
        return self.scored(queries, self.states(queries, tables), tables)

    def tables(self) -> ItemTables:
        """With the weights as they are now."""
        return self._scorer.tables()

    def states(self, queries: pl.DataFrame, tables: ItemTables | None) -> States:
        """Those of the first time."""
        asked = tuple(queries[QUERY].to_list())
        if asked not in self._kept:
            self._kept[asked] = self._scorer.states(queries, tables)
        return self._kept[asked]

    def scored(self, queries: pl.DataFrame, states: States, tables: ItemTables) -> Float[Tensor, "Q V"]:
        """As that of `ModelScorer`."""
        return self._scorer.scored(queries, states, tables)

    def block(self, states: States, columns: slice) -> Float[Tensor, "Q N"]:
        """As that of `ModelScorer`."""
        return self._scorer.block(states, columns)

    def of_members(self, part: Dataset) -> ModelScorer:
        """As that of `ModelScorer`: nothing is kept of a part."""
        return self._scorer.of_members(part)
