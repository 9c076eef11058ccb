"""What the heads should have said of each target, how well a prediction says it, and rules that need no training.

A label is the share of each class among the target's own values; a target without a value of a head counts for nothing
there. A prediction hits where its most probable class is one of the values; its log loss is that against the shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.data import Dataset, Part, Split
from palate.model import IntentConfig
from palate.model.intents import IntentHeads
from palate.tokens import HeadSpec, Tokenizer, Windows, assemble, pack_in_order, present_catalogue
from palate.words import QUERY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTHS = (1, 2, 3, 5, 10, 20, 50, 100)
"""Last targets of a member that a recency rule looks at."""
PRIORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""How many targets the training shares count as much as, where a rule gives probabilities."""
_BATCH = 16_384


class Labels(NamedTuple):
    """Of all ``N`` targets of a log, in the order of its events; ``C`` classes of all heads together."""

    row: Ints
    """Row of the event, ``[N]``."""
    begin: Ints
    """Place of the first target of the same member, ``[N]``."""
    part: NDArray[np.int8]
    """``[N]``"""
    shares: Floats
    """``[N, C]``"""
    sizes: tuple[int, ...]
    """Classes of each head."""
    names: tuple[str, ...]
    """Heads."""

    @classmethod
    def of(cls, specs: Sequence[HeadSpec], tokenizer: Tokenizer, dataset: Dataset, split: Split) -> Labels:
        """The labels of every target, with its own values and not those of its session."""
        tokenizer = tokenizer.with_items(dataset)
        store, catalogue = tokenizer.encode(dataset), present_catalogue(tokenizer, dataset)
        label = IntentHeads(specs, IntentConfig(feed="none", horizon="target"), width=1).labels
        rows = np.flatnonzero(store.target > 0)
        shares = np.zeros((len(rows), sum(spec.classes for spec in specs)))
        windows = Windows(rows, rows, rows + 1)
        for pack in pack_in_order(windows.lengths, _BATCH):
            batch, _ = assemble(
                store, windows, pack, post_columns=tokenizer.post_columns, post_values=tokenizer.post_values
            )
            slots = torch.arange(len(pack.windows))
            shares[pack.windows] = label(batch, catalogue, slots, slots).numpy()
        event = store.event[rows]
        _, first, member = np.unique(store.begin[rows], return_index=True, return_inverse=True)
        names = tuple(spec.name for spec in specs)
        return cls(event, first[member], split.part[event], shares, tuple(spec.classes for spec in specs), names)

    def head(self, name: str) -> tuple[Floats, slice]:
        """The shares of one head, and its columns among all."""
        place = self.names.index(name)
        start = sum(self.sizes[:place])
        columns = slice(start, start + self.sizes[place])
        return self.shares[:, columns], columns

    def places(self, queries: pl.DataFrame) -> Ints:
        """Where the targets of these queries stand. Every query is a target."""
        found = np.searchsorted(self.row, queries[QUERY].to_numpy())
        assert (self.row[found] == queries[QUERY].to_numpy()).all()
        return found

    def before(self, queries: pl.DataFrame) -> Floats:
        """The shares of the target before each of these; all zero where a member has none before."""
        place = self.places(queries)
        return np.where((place > self.begin[place])[:, None], self.shares[place - 1], 0.0)


class Said(NamedTuple):
    """How well something predicted one head; NaN where the target has no label, ``[Q]``."""

    hit: Floats
    loss: Floats


def judge(labels: Floats, top: Ints, log_shares: Floats) -> Said:
    """Judge the ``top`` class [Q] and ``log_shares`` [Q, C] of each target by its labels [Q, C]."""
    labelled = labels.sum(1) > 0
    hit = (np.take_along_axis(labels, top[:, None], 1)[:, 0] > 0).astype(np.float64)
    loss = -np.where(labels > 0, labels * log_shares, 0.0).sum(1)
    return Said(np.where(labelled, hit, np.nan), np.where(labelled, loss, np.nan))


def majority(labels: Labels, name: str, asked: Ints) -> Said:
    """What most training targets have, and their shares of the classes: the same for everybody."""
    shares, _ = labels.head(name)
    learned = shares[labels.part == Part.TRAIN]
    top = np.full(len(asked), _prior(learned > 0).argmax())
    return judge(shares[asked], top, np.broadcast_to(np.log(_prior(learned)), shares[asked].shape))


def recency(labels: Labels, name: str, asked: Ints) -> tuple[Said, dict[str, float]]:
    """What most of the member's last n targets before each had; n = 1 is the value of the last one.

    For hits, n is chosen by those on the validation part. Probabilities are (counts + a · training shares) / (counted +
    a); for them n and a are chosen by the validation part's log loss. Also returns what was chosen.
    """
    shares, _ = labels.head(name)
    learned, tuned = shares[labels.part == Part.TRAIN], np.flatnonzero(labels.part == Part.VALIDATION)
    prior, usual = _prior(learned), _prior(learned > 0)
    had = (shares > 0).astype(np.float64)

    def top(n: int, where: Ints) -> Ints:
        # What training targets had decides where the counts are equal, and where there are none.
        return np.asarray((_last(had, labels.begin, n, where) + 1e-6 * usual).argmax(1))

    def logs(n: int, a: float, where: Ints) -> Floats:
        own = _last(shares, labels.begin, n, where)
        return np.asarray(np.log((own + a * prior) / (own.sum(1, keepdims=True) + a)))

    grid = [(n, a) for n in LENGTHS for a in PRIORS]
    hits = {n: np.nanmean(judge(shares[tuned], top(n, tuned), logs(n, 1.0, tuned)).hit) for n in LENGTHS}
    losses = {(n, a): np.nanmean(judge(shares[tuned], top(n, tuned), logs(n, a, tuned)).loss) for n, a in grid}
    best, (n, a) = max(LENGTHS, key=lambda each: hits[each]), min(grid, key=lambda each: losses[each])
    said = judge(shares[asked], top(best, asked), logs(n, a, asked))
    return said, {"targets": best, "targets for probabilities": n, "weight of the training shares": a}


def _prior(counts: NDArray[Any]) -> Floats:
    """Shares of the classes, none of them zero."""
    total = counts.sum(0) + 1.0
    return np.asarray(total / total.sum())


def _last(values: Floats, begin: Ints, n: int, where: Ints) -> Floats:
    """The sum over the member's last ``n`` targets before each of those at ``where``."""
    until = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0)])
    # Differences of running sums leave traces of rounding, which must not break ties.
    return np.asarray((until[where] - until[np.maximum(begin[where], where - n)]).round(9))
