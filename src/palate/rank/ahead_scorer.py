"""The next n targets instead of the next one: the mean of the probabilities that an item is each of them."""

from __future__ import annotations

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from palate.data import Dataset
from palate.errors import ConfigError
from palate.model import ItemTables
from palate.rank.candidates import Candidates
from palate.rank.model_scorer import ModelScorer, States, evaluating


class AheadScorer:
    """Scores items by the share of the next ``n`` targets that they are expected to be.

    Of each of these targets the model has a state of its own, and so a probability of every item that is available
    at the moment of the query; the score is their mean. It sums to 1 over the available items.
    """

    def __init__(self, scorer: ModelScorer, n: int, candidates: Candidates | None = None) -> None:
        """Raises `ConfigError` where the model has not been trained to look so far."""
        ahead = scorer.model.ahead
        trained = 1 if ahead is None else ahead.n
        if not 1 <= n <= trained:
            raise ConfigError(
                f"a horizon of {n}: this run looks {trained} target{'s' if trained > 1 else ''} ahead",
                hint=f"train with model: {{next: {{n: {n}}}}}" if n > trained else "give a number of at least 1",
            )
        self._scorer = scorer
        self.horizon = n
        self._candidates = candidates or Candidates(scorer.dataset, scorer.catalogue)

    @property
    def catalogue(self) -> pl.Series:
        """As that of `ModelScorer`."""
        return self._scorer.catalogue

    def of_members(self, part: Dataset) -> AheadScorer:
        """As that of `ModelScorer`."""
        return AheadScorer(self._scorer.of_members(part), self.horizon, self._candidates)

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """Mean probabilities; 0 for what is not available."""
        tables = self.tables()
        return self.scored(queries, self.states(queries, tables), tables)

    def tables(self) -> ItemTables:
        """As that of `ModelScorer`."""
        return self._scorer.tables()

    def states(self, queries: pl.DataFrame, tables: ItemTables) -> States:
        """As that of `ModelScorer`."""
        return self._scorer.states(queries, tables)

    def scored(self, queries: pl.DataFrame, states: States, tables: ItemTables) -> Float[Tensor, "Q V"]:
        """The scores of the queries that have these states."""
        scorer, model = self._scorer, self._scorer.model
        away = ~self._candidates.available(queries)
        with evaluating(model):
            joined = scorer.joined(states.state)
            total = torch.zeros(away.shape)
            for offset in range(self.horizon):
                then = joined
                if offset:
                    assert model.ahead is not None
                    then = model.ahead(joined, torch.full((len(queries),), offset))
                logits = model.scores(then, scorer.described, tables, states.moment).float()
                total += logits.masked_fill(away, torch.finfo().min).softmax(-1)
            return (total / self.horizon).masked_fill(away, 0.0)
