"""From a scorer to a table of recommendations: score, mask, top-k, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int64
from torch import Tensor

from palate.data.dataset import Dataset
from palate.errors import ConfigError
from palate.rank.blocks import BLOCK, BlockScorer, best_of_blocks
from palate.rank.candidates import Candidates
from palate.rank.catalogue import tie_break
from palate.rank.scorer import Scorer
from palate.rank.state_scorer import StateScorer
from palate.rank.topk import TopK, top_k
from palate.words import ITEM_ID, QUERY, RANK, SCORE

SCORE_BYTES: Final = 32 << 20
"""Scores that are held at a time, where states can be had without them: several such blocks fit into memory, and
they are large enough for the product to run at full speed."""

Progress = Callable[[int, int], None]
"""Called after each block with the queries done and the queries in all."""


def recommend(
    scorer: Scorer,
    dataset: Dataset,
    queries: pl.DataFrame,
    *,
    k: int = 10,
    batch: int = 512,
    candidates: Candidates | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """The ``k`` best allowed items of each query, fewer where fewer are allowed.

    Returns columns ``query`` (Int64), ``rank`` (Int64, from 1), ``item_id``, ``score`` (Float32), sorted by
    query and rank. ``queries`` is a table of `palate.data.split.queries` or ``present_queries``; its column
    ``item_id`` is not shown to the scorer. ``candidates`` may be given where the same are used again; they
    must be over the scorer's catalogue. Raises `ConfigError` when ``k`` or ``batch`` is below 1, or when a query is
    asked twice.
    """
    for name, value in (("k", k), ("batch", batch)):
        if value < 1:
            raise ConfigError(f"{name} is {value}", hint="give a number of at least 1")
    if queries[QUERY].is_duplicated().any():
        raise ConfigError("a query is asked twice", hint="ask for each member once")
    catalogue = scorer.catalogue
    candidates = candidates or Candidates(dataset, catalogue)
    assert candidates.catalogue.equals(catalogue), "candidates over another catalogue than the scorer's"
    ties = tie_break(catalogue)
    k = min(k, max(len(catalogue), 1))  # places behind the last item would cost memory, and hold nothing
    asked = queries.drop(ITEM_ID, strict=False)

    places: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    done = 0
    for block, found in _ranked(scorer, asked, batch, candidates, ties, k):
        valid = found.valid.numpy()
        counts.append(valid.sum(axis=1))
        places.append(found.indices.numpy()[valid].astype(np.int32))
        scores.append(found.scores.numpy()[valid])
        done += len(block)
        if progress is not None:
            progress(done, len(asked))
    return _table(
        asked[QUERY], catalogue, _joined(counts, np.int64), _joined(places, np.int32), _joined(scores, np.float32)
    )


def _ranked(
    scorer: Scorer, asked: pl.DataFrame, batch: int, candidates: Candidates, ties: Int64[Tensor, " V"], k: int
) -> Iterator[tuple[pl.DataFrame, TopK]]:
    """The queries in order with the best of each, some at a time; at most ``batch`` of them are encoded together."""
    if len(ties) > BLOCK and isinstance(scorer, BlockScorer):
        for start in range(0, len(asked), batch):
            block = asked[start : start + batch]
            yield block, best_of_blocks(scorer, block, candidates, ties, k)
        return
    for block, scores in _blocks(scorer, asked, batch):
        yield block, top_k(scores, candidates.mask(block), ties, k)


def _blocks(scorer: Scorer, asked: pl.DataFrame, batch: int) -> Iterator[tuple[pl.DataFrame, Float[Tensor, "Q V"]]]:
    """The queries in order with their scores, some at a time; at most ``batch`` of them are encoded together."""
    if not isinstance(scorer, StateScorer):
        for start in range(0, len(asked), batch):
            block = asked[start : start + batch]
            yield block, scorer.score(block)
        return
    rows = max(SCORE_BYTES // (4 * max(len(scorer.catalogue), 1)), 1)
    tables = scorer.tables()
    for start in range(0, len(asked), batch):
        encoded = asked[start : start + batch]
        states = scorer.states(encoded, tables)
        for first in range(0, len(encoded), rows):
            block = encoded[first : first + rows]
            yield block, scorer.scored(block, states.rows(first, first + rows), tables)


def _joined(parts: list[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype)


def _table(
    query: pl.Series, catalogue: pl.Series, counts: np.ndarray, places: np.ndarray, scores: np.ndarray
) -> pl.DataFrame:
    first = np.cumsum(counts) - counts
    table = pl.DataFrame(
        {
            QUERY: np.repeat(query.to_numpy().astype(np.int64), counts),
            RANK: np.arange(len(places), dtype=np.int64) - np.repeat(first, counts) + 1,
            ITEM_ID: catalogue.gather(places),
            SCORE: scores,
        }
    )
    return table if query.is_sorted() else table.sort(QUERY, RANK)
