"""The action of each single event: its type, as a symbol that merges can join."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, Part, Split, run_starts
from palate.errors import ConfigError
from palate.tokens.config import TokenizerConfig
from palate.tokens.merges import OTHER, UNTYPED, MergeLearner, Merges
from palate.words import EVENT_TYPE

_MOST_TYPES: Final = 1 << 15
"""Event types that merging tells apart."""


def learn_merges(parts: Callable[[], Iterable[tuple[Dataset, Split]]], config: TokenizerConfig) -> Merges:
    """The merges of the training part of a log in parts, each of whole members."""
    learner = MergeLearner()
    for dataset, split in parts():
        events = dataset.events.filter(pl.Series(split.part == Part.TRAIN))
        names, types = _type_codes(events)
        learner.add(names, types, run_starts(events, dataset.schema, dataset.items))
    return learner.learn(config.max_actions, least=config.least_merges)


def actions(events: pl.DataFrame, merges: Merges) -> NDArray[np.int64]:
    """The action of each single event, ``[n]``, as a place among the merges' types."""
    names, types = _type_codes(events)
    known = {name: place for place, name in enumerate(merges.types)}
    place = np.array([known.get(name, known[OTHER]) for name in names], np.int64)
    return place[types]


def _type_codes(events: pl.DataFrame) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the event types and the place of each event's type among them."""
    if EVENT_TYPE not in events.columns:
        return [UNTYPED], np.zeros(events.height, np.int64)
    types = events[EVENT_TYPE].fill_null(OTHER)
    names = types.unique().sort()
    if len(names) > _MOST_TYPES:
        raise ConfigError(
            f"{len(names):,} event types can't be merged, e.g. {names[0]!r}",
            hint="is event_type an id? Otherwise set tokenizer: {runs: keep}",
        )
    return names.to_list(), names.search_sorted(types).to_numpy().astype(np.int64)
