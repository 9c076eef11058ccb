"""Which items may be recommended to whom and when: available at the moment, and not seen.

*Available*: as `palate.data.availability` says, from ``available_from`` to ``available_until``, both inclusive. Without
time everything in the catalogue is available.

*Seen*: the member has an earlier target event with the item whose event type the schema's ``seen_items`` excludes.
Events of input-only types make nothing seen: who has watched the trailer may still be offered the film.
"""

from __future__ import annotations

import copy
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from palate.data.availability import available_from
from palate.data.dataset import Dataset
from palate.data.split import has_target_type
from palate.rank.catalogue import codes
from palate.rank.history import Histories
from palate.words import AVAILABLE_UNTIL, EVENT_TYPE, ITEM_ID, TIMESTAMP

EVERY_COLUMN: Final = slice(None)
_ALWAYS = np.iinfo(np.int64).min
_NEVER = np.iinfo(np.int64).max


class Seen(NamedTuple):
    """Earlier events that keep items from being recommended again; ``N`` of them."""

    query: npt.NDArray[np.int64]
    """Which query, by its place in the table, ``[N]``."""
    column: npt.NDArray[np.int64]
    """Column of the item, ``[N]``."""
    row: npt.NDArray[np.int64]
    """Row of the event in the log, ``[N]``."""


class Span(NamedTuple):
    """From when to when an item is there, in milliseconds, both inclusive."""

    start: int | None
    """None: always."""
    end: int | None
    """None: for ever."""
    exists: bool
    """False where the data name no start: the item is never there."""


class Candidates:
    """The mask of allowed items, over a catalogue: column v of the mask is ``catalogue[v]``."""

    def __init__(self, dataset: Dataset, catalogue: pl.Series) -> None:
        self.catalogue = catalogue
        self._look_at(dataset)
        self._has_time = dataset.has_time
        self._from, self._until = _availability(dataset, catalogue)
        self._ends = bool((self._until < _NEVER).any())
        self._among: Bool[Tensor, "V"] | None = None

    def among(self, items: Bool[Tensor, "V"]) -> Candidates:
        """The same where no other items than these are ever there."""
        other = copy.copy(self)
        other._among = items if self._among is None else self._among & items
        return other

    def of_members(self, part: Dataset) -> Candidates:
        """The same for some members of the log, whole: when items are there stays what the whole log says."""
        other = copy.copy(self)
        other._look_at(part)
        return other

    def _look_at(self, dataset: Dataset) -> None:
        """Find out who has had what."""
        self._histories = Histories(dataset)
        self._seen_columns = np.where(_makes_seen(dataset), codes(dataset.events[ITEM_ID], self.catalogue), -1)
        self._excludes = bool((self._seen_columns >= 0).any())

    def mask(self, queries: pl.DataFrame) -> Bool[Tensor, "Q V"]:
        """True where item v is available at the moment of query q and not seen by its member before it.

        ``queries`` is a table of `palate.data.split.queries` or ``present_queries``.
        """
        return self.block(queries, self.seen(queries), slice(0, len(self.catalogue)))

    def block(self, queries: pl.DataFrame, seen: Seen, columns: slice) -> Bool[Tensor, "Q N"]:
        """Some neighbouring columns of the mask; ``seen`` is that of the queries."""
        allowed = self.available(queries, columns)
        here = (seen.column >= columns.start) & (seen.column < columns.stop)
        places = seen.query[here] * allowed.shape[1] + seen.column[here] - columns.start
        allowed.view(-1)[torch.from_numpy(places)] = False
        return allowed

    def seen(self, queries: pl.DataFrame) -> Seen:
        """The events by which each query's member has had items that may not be recommended again."""
        if not self._excludes:
            nothing = np.empty(0, np.int64)
            return Seen(nothing, nothing, nothing)
        earlier = self._histories.before(queries)
        columns = self._seen_columns[earlier.row]
        known = columns >= 0
        return Seen(earlier.query[known], columns[known], earlier.row[known])

    def available(self, queries: pl.DataFrame, columns: slice = EVERY_COLUMN) -> Bool[Tensor, "Q N"]:
        """True where item v exists at the moment of query q, seen or not."""
        if not self._has_time:
            allowed = torch.ones(len(queries), len(self._from[columns]), dtype=torch.bool)
        else:
            allowed = self.started(queries, columns)
            if self._ends:
                allowed &= ~self.ended(queries, columns)
        return allowed if self._among is None else allowed & self._among[columns]

    def started(self, queries: pl.DataFrame, columns: slice = EVERY_COLUMN) -> Bool[Tensor, "Q N"]:
        """True where item v was there at the moment of query q or before; in data with time."""
        return self._from[columns] <= _moments(queries)

    def ended(self, queries: pl.DataFrame, columns: slice = EVERY_COLUMN) -> Bool[Tensor, "Q N"]:
        """True where item v is no longer there at the moment of query q; in data with time."""
        return _moments(queries) > self._until[columns]

    def span(self, column: int) -> Span:
        """When the item of a column is there."""
        start, end = int(self._from[column]), int(self._until[column])
        return Span(
            None if start in (_ALWAYS, _NEVER) else start, None if end == _NEVER else end, exists=start != _NEVER
        )


def _moments(queries: pl.DataFrame) -> Int64[Tensor, "Q 1"]:
    assert queries[TIMESTAMP].null_count() == 0, "queries without a moment in data with time"
    return torch.tensor(queries[TIMESTAMP].to_numpy()).unsqueeze(1)


def _availability(dataset: Dataset, catalogue: pl.Series) -> tuple[Tensor, Tensor]:
    table = available_from(dataset).with_columns(pl.lit(True).alias("exists"))
    ids = pl.DataFrame({ITEM_ID: catalogue})
    joined = ids.join(table, on=ITEM_ID, how="left", maintain_order="left")
    start = joined.select(
        pl.when(pl.col("exists").is_null()).then(_NEVER).otherwise(pl.col("available_from").fill_null(_ALWAYS))
    ).to_series()
    until = joined[AVAILABLE_UNTIL].fill_null(_NEVER)
    return torch.tensor(start.to_numpy()), torch.tensor(until.to_numpy())


def _makes_seen(dataset: Dataset) -> npt.NDArray[np.bool_]:
    """bool [n_events]: target events whose type's policy excludes the item afterwards."""
    policy = dataset.schema.seen_items
    targets = has_target_type(dataset.events, dataset.schema)
    if EVENT_TYPE not in dataset.events.columns:
        return targets & (policy.get("*", "exclude") == "exclude")
    excluded = [name for name, rule in policy.items() if rule == "exclude"]
    types = dataset.events[EVENT_TYPE]
    listed = types.is_in(excluded)
    if policy.get("*") == "exclude":
        listed |= ~types.is_in([name for name in policy if name != "*"])
    makes_seen: npt.NDArray[np.bool_] = targets & listed.fill_null(False).to_numpy()
    return makes_seen
