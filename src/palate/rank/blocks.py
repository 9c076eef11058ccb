"""Ranking a catalogue too large for a matrix of scores: blocks of items are scored, masked and merged in turn."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

import polars as pl
from jaxtyping import Float, Int64
from torch import Tensor

from palate.rank.candidates import Candidates
from palate.rank.model_scorer import States
from palate.rank.scorer import Scorer
from palate.rank.topk import RunningTopK, TopK

BLOCK: Final = 1 << 16
"""Most items that are scored at a time, and the largest catalogue that is scored as a whole."""
SCORES: Final = 1 << 23
"""Most scores of a block, 32 MiB: of many queries together, fewer items are scored at a time."""
LEAST: Final = 1 << 10
"""Items of a block that are scored at a time whatever the queries."""


@runtime_checkable
class BlockScorer(Scorer, Protocol):
    """A scorer that can score some items without the others."""

    def states(self, queries: pl.DataFrame, tables: None) -> States:
        """What the scores of each query follow from; nothing as long as the catalogue is made."""
        ...

    def block(self, states: States, columns: slice) -> Float[Tensor, "Q N"]:
        """The scores of some neighbouring items: these columns of `Scorer.score`."""
        ...


def best_of_blocks(
    scorer: BlockScorer, queries: pl.DataFrame, candidates: Candidates, ties: Int64[Tensor, " V"], k: int
) -> TopK:
    """The ``k`` best candidates of each query, as `palate.rank.topk.top_k` would find them among all scores."""
    states, seen = scorer.states(queries, None), candidates.seen(queries)
    running = RunningTopK(len(queries), k)
    width = min(max(SCORES // max(len(queries), 1), LEAST), BLOCK)
    for start in range(0, len(ties), width):
        columns = slice(start, min(start + width, len(ties)))
        running.add(start, scorer.block(states, columns), candidates.block(queries, seen, columns), ties[columns])
    return running.result()
