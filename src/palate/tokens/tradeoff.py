"""What merging gains and loses, for several sizes of the action vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, Part, Role, Split
from palate.errors import ConfigError
from palate.tokens.collapse import Tokens
from palate.tokens.config import TokenizerConfig
from palate.tokens.tokenizer import Tokenizer
from palate.words import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID

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
    history_events: dict[str, float]
    """Events of a member: mean, median, 90th percentile, most."""
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
    dataset: Dataset, split: Split, config: TokenizerConfig | None = None, sizes: Sequence[int] | None = None
) -> TradeOffs:
    """Learn merges on the training part and say what each size of the vocabulary gives.

    Raises `ConfigError` for a size below the number of event types.
    """
    schema = dataset.schema.model_copy(update={"one_target_a_run": True})
    dataset = Dataset(dataset.events, dataset.items, dataset.users, schema, dataset.report)
    largest = max(sizes or SIZES)
    config = (config or TokenizerConfig()).model_copy(update={"runs": "merge", "max_actions": largest})
    tokenizer = Tokenizer.fit_merges(lambda: [(dataset, split)], config)
    merges = tokenizer.merges
    assert merges is not None
    types = len(merges.types)
    wanted = sorted({size for size in (types, *(sizes or SIZES), merges.size) if size <= merges.size or sizes})
    if sizes and min(sizes) < types:
        raise ConfigError(
            f"{min(sizes)} actions are too few: there are {types}, that for types unseen in training included",
            hint=f"state sizes from {types} on",
        )
    wanted = [size for size in wanted if size >= types]
    events = dataset.events.filter(pl.Series(split.part == Part.TRAIN))
    first = (events[USER_ID] != events[USER_ID].shift()).fill_null(True).to_numpy()

    rows, before = [], types
    for size in wanted:
        smaller = Tokenizer(
            config=config, schema=schema, has_time=dataset.has_time, merges=merges.head(size - types), fields=()
        )
        tokens = smaller.tokens(events, dataset.items, first)
        assert smaller.merges is not None
        names = merges.names[before : smaller.merges.size]
        rows.append(_row(smaller.merges.size, tokens, events, first, dataset, names))
        before = smaller.merges.size
    rows = [
        row for place, row in enumerate(rows) if place == 0 or row.vocabulary_size > rows[place - 1].vocabulary_size
    ]

    last = Tokenizer(
        config=config.model_copy(update={"runs": "last"}), schema=schema, has_time=dataset.has_time, fields=()
    )
    kept_last = last.tokens(events, dataset.items, first)
    return TradeOffs(
        rows=tuple(rows),
        last_of_run=_row(types, kept_last, events, first, dataset, (), last=True),
        history_events=_spread(np.diff(np.append(np.flatnonzero(first), events.height))),
        runs=len(kept_last.first),
        events=events.height,
    )


def _row(
    size: int,
    tokens: Tokens,
    events: pl.DataFrame,
    first: NDArray[np.bool_],
    dataset: Dataset,
    names: tuple[str, ...],
    *,
    last: bool = False,
) -> TradeOff:
    starts = np.flatnonzero(first[tokens.first])
    return TradeOff(
        vocabulary_size=size,
        tokens_per_event=len(tokens.first) / events.height,
        kept=_kept(tokens, events, dataset, last=last),
        history_tokens=_spread(np.diff(np.append(starts, len(tokens.first)))),
        names=names,
    )


def _kept(tokens: Tokens, events: pl.DataFrame, dataset: Dataset, *, last: bool) -> dict[str, float]:
    """Share of each column's values that equal what their token keeps."""
    lengths = tokens.last - tokens.first + 1
    token = np.repeat(np.arange(len(lengths)), lengths)
    shares: dict[str, float] = {}
    if EVENT_TYPE in events.columns:
        shares[EVENT_TYPE] = _equal(events[EVENT_TYPE], tokens.frame[EVENT_TYPE], token) if last else 1.0
    if dataset.schema.runs.by == "group":
        shares[ITEM_ID] = _equal(events[ITEM_ID], tokens.frame[ITEM_ID], token)
    if TIMESTAMP in events.columns:
        shares[TIMESTAMP] = float(np.minimum(lengths, 2).sum() / lengths.sum())
    for name, column in dataset.schema.events.items():
        if column.role == Role.IGNORE or name not in events.columns:
            continue
        total = column.kept == "sum" and not last
        shares[name] = 1.0 if total else _equal(events[name], tokens.frame[name], token)
    return shares


def _equal(values: pl.Series, kept: pl.Series, token: NDArray[np.int64]) -> float:
    known = values.is_not_null()
    if not known.any():
        return 1.0
    same = (values == kept.gather(token).cast(values.dtype)).fill_null(False) & known
    return float(same.sum()) / float(known.sum())


def _spread(lengths: NDArray[np.int64]) -> dict[str, float]:
    return {
        "mean": float(lengths.mean()),
        "median": float(np.median(lengths)),
        "p90": float(np.quantile(lengths, 0.9)),
        "max": float(lengths.max()),
    }
