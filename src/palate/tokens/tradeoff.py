"""What merging gains and loses, for several sizes of the action vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, Part, Role, Schema, Split
from palate.errors import ConfigError
from palate.tokens.collapse import Tokens
from palate.tokens.config import TokenizerConfig
from palate.tokens.tokenizer import Tokenizer, first_of_members
from palate.words import EVENT_TYPE, ITEM_ID, TIMESTAMP

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Sizes that are looked at where none are stated, as far as there are merges."""


@dataclass(frozen=True)
class TradeOff:
    """One size of the vocabulary, on the training part."""

    vocabulary_size: int
    """Actions: event types and merges."""
    tokens_per_event: float
    kept: dict[str, float]
    """Share of each column's values that can be read from the tokens; a sum counts as kept, since the total is."""
    history_tokens: dict[str, float]
    """Tokens of a member: mean, median, 90th percentile, most."""
    names: tuple[str, ...]
    """The actions that are new since the size before."""


@dataclass(frozen=True)
class TradeOffs:
    """The rows of the trade, from no merging to the largest vocabulary, and what they are compared with."""

    rows: tuple[TradeOff, ...]
    last_of_run: TradeOff
    """One token a run that keeps the last event's outcome."""
    runs: int
    """Runs of the training events."""
    events: int
    """Training events."""

    def enough(self, share: float = 0.95) -> TradeOff:
        """The smallest vocabulary that has ``share`` of the reduction which one token a run would give."""
        possible = self.rows[0].tokens_per_event - self.last_of_run.tokens_per_event
        limit = self.rows[0].tokens_per_event - share * possible
        return next((row for row in self.rows if row.tokens_per_event <= limit), self.rows[-1])


def trade_offs(
    parts: Callable[[], Iterable[tuple[Dataset, Split]]],
    config: TokenizerConfig | None = None,
    sizes: Sequence[int] | None = None,
) -> TradeOffs:
    """Learn merges on the training part of a log in parts and say what each size of the vocabulary gives.

    The schema is taken as if it had one target a run. Raises `ConfigError` for a size below the number of event types.
    """
    config = (config or TokenizerConfig()).model_copy(update={"runs": "merge", "max_actions": max(sizes or SIZES)})

    def asked() -> Iterable[tuple[Dataset, Split]]:
        for dataset, split in parts():
            schema = dataset.schema.model_copy(update={"one_target_a_run": True})
            yield Dataset(dataset.events, dataset.items, dataset.users, schema, dataset.report), split

    largest = Tokenizer.fit_merges(asked, config)
    merges = largest.merges
    assert merges is not None
    types = len(merges.types)
    if sizes and min(sizes) < types:
        raise ConfigError(
            f"{min(sizes)} actions are too few: there are {types}, that for types unseen in training included",
            hint=f"state sizes from {types} on",
        )
    pairs = sorted(
        {min(size, merges.size) - types for size in (types, *(sizes or SIZES), merges.size) if size >= types}
    )
    tokenizers = [_bare(largest, config, pairs=each) for each in pairs]
    last = _bare(largest, config.model_copy(update={"runs": "last"}), pairs=None)
    sums = [_Sums(last=False) for _ in tokenizers]
    last_sums = _Sums(last=True)
    for dataset, split in asked():
        events = dataset.events.filter(pl.Series(split.part == Part.TRAIN))
        first = first_of_members(events)
        for tokenizer, each in zip((*tokenizers, last), (*sums, last_sums), strict=True):
            each.add(tokenizer.tokens(events, dataset.items, first), events, first, dataset.schema)
    before = [0, *pairs[:-1]]
    return TradeOffs(
        rows=tuple(
            each.row(types + size, merges.names[types + low : types + size])
            for each, size, low in zip(sums, pairs, before, strict=True)
        ),
        last_of_run=last_sums.row(types, ()),
        runs=last_sums.tokens,
        events=last_sums.events,
    )


def _bare(fitted: Tokenizer, config: TokenizerConfig, *, pairs: int | None) -> Tokenizer:
    """A tokenizer that makes tokens, with the first merges, or none."""
    assert fitted.merges is not None
    merges = None if pairs is None else fitted.merges.head(pairs)
    return Tokenizer(config=config, schema=fitted.schema, has_time=fitted.has_time, merges=merges, fields=())


class _Sums:
    """What one tokenizer makes of a log, counted part by part."""

    def __init__(self, *, last: bool) -> None:
        self._last = last
        self.tokens, self.events = 0, 0
        self._kept: Counter[str] = Counter()
        self._known: Counter[str] = Counter()
        self._lengths: list[NDArray[np.int64]] = []

    def add(self, tokens: Tokens, events: pl.DataFrame, first: NDArray[np.bool_], schema: Schema) -> None:
        """Count a part."""
        self.tokens += len(tokens.first)
        self.events += events.height
        starts = np.flatnonzero(first[tokens.first])
        self._lengths.append(np.diff(np.append(starts, len(tokens.first))))
        lengths = tokens.last - tokens.first + 1
        token = np.repeat(np.arange(len(lengths)), lengths)
        if EVENT_TYPE in events.columns:
            self._count(EVENT_TYPE, events, tokens, token, total=not self._last)
        if schema.runs.by == "group":
            self._count(ITEM_ID, events, tokens, token, total=False)
        if TIMESTAMP in events.columns:
            self._kept[TIMESTAMP] += int(np.minimum(lengths, 2).sum())
            self._known[TIMESTAMP] += int(lengths.sum())
        for name, column in schema.events.items():
            if column.role != Role.IGNORE and name in events.columns:
                self._count(name, events, tokens, token, total=column.kept == "sum" and not self._last)

    def row(self, size: int, names: tuple[str, ...]) -> TradeOff:
        """The figures."""
        return TradeOff(
            vocabulary_size=size,
            tokens_per_event=self.tokens / self.events,
            kept={name: self._kept[name] / known if known else 1.0 for name, known in self._known.items()},
            history_tokens=_spread(np.concatenate(self._lengths)),
            names=names,
        )

    def _count(self, name: str, events: pl.DataFrame, tokens: Tokens, token: NDArray[np.int64], *, total: bool) -> None:
        """Values that equal what their token keeps; all of them where their ``total`` is kept."""
        values = events[name]
        known = values.is_not_null()
        self._known[name] += int(known.sum())
        if total:
            self._kept[name] += int(known.sum())
            return
        same = values == tokens.frame[name].gather(token).cast(values.dtype)
        self._kept[name] += int((same.fill_null(False) & known).sum())


def _spread(lengths: NDArray[np.int64]) -> dict[str, float]:
    return {
        "mean": float(lengths.mean()),
        "median": float(np.median(lengths)),
        "p90": float(np.quantile(lengths, 0.9)),
        "max": float(lengths.max()),
    }
