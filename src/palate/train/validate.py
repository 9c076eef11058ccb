"""NDCG on the validation part, through the same ranking as everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.data import Dataset, Part, Split, queries
from palate.errors import SplitError
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.candidates import Candidates
from palate.rank.kept_states import KeptStates
from palate.rank.model_scorer import ModelScorer
from palate.rank.recommend import Progress, recommend
from palate.train.config import ValidationConfig
from palate.train.processes import ALONE, Processes
from palate.words import ITEM_ID, TIMESTAMP

TRIED: Final = 512
"""Targets in a row that are ranked to see how long all will take, and what memory."""
PLACES: Final = 3
"""How often."""


class Validator:
    """Ranks the whole catalogue for validation targets; reused after every epoch."""

    def __init__(
        self,
        scorer: ModelScorer,
        dataset: Dataset,
        split: Split,
        config: ValidationConfig,
        *,
        seed: int,
        processes: Processes = ALONE,
        infers: bool = False,
    ) -> None:
        """With several ``processes`` each ranks a share of the targets. If it ``infers``, items without an id will be
        inferred behind the training."""
        asked = queries(dataset, split, Part.VALIDATION)
        if not len(asked):
            raise SplitError("the validation part has no target event", hint="change the split, or use --split none")
        if len(asked) > config.targets:
            chosen = np.random.default_rng([seed, 1]).choice(len(asked), config.targets, replace=False)
            asked = asked[np.sort(chosen)]
        self._processes = processes
        self.queries = asked
        """The targets that are ranked, of all processes."""
        self._own = asked[processes.share(len(asked))]
        self._scorer = scorer
        self._dataset = dataset
        self._k = config.k
        self._candidates = Candidates(dataset, scorer.catalogue)
        trained = torch.arange(len(scorer.catalogue)) < scorer.described.trained
        self._trained = self._candidates.among(trained)
        known = scorer.catalogue[: scorer.described.trained]
        self._infers = infers and bool(asked[ITEM_ID].is_in(known.implode()).any())

    def ndcg(self, progress: Progress | None = None) -> float:
        """Mean NDCG@k over the validation targets, with the model's weights as they are now.

        As long as items without an id are still to be inferred they are not ranked: what descent has made of them so
        far would push others aside, and is not what will be said of them. Where no target is of another item, they are.
        """
        values = np.concatenate(self._processes.gather(self._ranked(self._own, progress)))
        return float(values.mean())

    @property
    def targets(self) -> int:
        """That a validation ranks, in this process."""
        return len(self._own)

    def late_ndcg(self) -> Callable[[], float]:
        """What measures the later half, as long as events have time: what is furthest from the training.

        Asked again it takes the states of the first time: the weights may differ in how states are scored alone.
        """
        own = self._own
        if TIMESTAMP in own.columns:
            own = own.filter(pl.col(TIMESTAMP) >= self.queries[TIMESTAMP].median())
        scorer = KeptStates(self._scorer)
        return lambda: float(np.concatenate(self._processes.gather(self._ranked(own, None, scorer))).mean())

    def seconds(self) -> float:
        """About how long `ndcg` takes: some of the targets are ranked, and timed."""
        ranked, started = 0, time.perf_counter()
        for place in range(PLACES):
            middle = len(self._own) * (2 * place + 1) // (2 * PLACES)
            begin = max(middle - TRIED // 2, len(self._own) * place // PLACES)
            some = self._own[begin : min(begin + TRIED, len(self._own) * (place + 1) // PLACES)]
            self._ranked(some, None)
            ranked += len(some)
        seconds = (time.perf_counter() - started) * len(self._own) / max(ranked, 1)
        return self._processes.sum(seconds)[0] / self._processes.world

    def _ranked(
        self, asked: pl.DataFrame, progress: Progress | None, scorer: KeptStates | None = None
    ) -> NDArray[np.float64]:
        """NDCG@k of each of these targets."""
        who = scorer or self._scorer
        inferred = self._scorer.model.tower.inferred
        awaited = self._infers and inferred is not None and not inferred.fitted
        candidates = self._trained if awaited else self._candidates
        table = recommend(who, self._dataset, asked, k=self._k, candidates=candidates, progress=progress)
        found: NDArray[np.float64] = accuracy(ranks(table, asked), (self._k,))[f"ndcg@{self._k}"]
        return found
