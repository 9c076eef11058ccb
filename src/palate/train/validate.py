"""NDCG on the validation part, through the same ranking as everywhere."""

from __future__ import annotations

import numpy as np

from palate.data import Dataset, Part, Split, queries
from palate.errors import SplitError
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.candidates import Candidates
from palate.rank.model_scorer import ModelScorer
from palate.rank.recommend import Progress, recommend
from palate.train.config import ValidationConfig


class Validator:
    """Ranks the whole catalogue for validation targets; reused after every epoch."""

    def __init__(
        self, scorer: ModelScorer, dataset: Dataset, split: Split, config: ValidationConfig, *, seed: int
    ) -> None:
        asked = queries(dataset, split, Part.VALIDATION)
        if not len(asked):
            raise SplitError("the validation part has no target event", hint="change the split, or use --split none")
        if len(asked) > config.targets:
            chosen = np.random.default_rng([seed, 1]).choice(len(asked), config.targets, replace=False)
            asked = asked[np.sort(chosen)]
        self._queries = asked
        self._scorer = scorer
        self._dataset = dataset
        self._k = config.k
        self._candidates = Candidates(dataset, scorer.catalogue)

    def ndcg(self, progress: Progress | None = None) -> float:
        """Mean NDCG@k over the validation targets, with the model's weights as they are now."""
        table = recommend(
            self._scorer, self._dataset, self._queries, k=self._k, candidates=self._candidates, progress=progress
        )
        values = accuracy(ranks(table, self._queries), (self._k,))
        return float(values[f"ndcg@{self._k}"].mean())
