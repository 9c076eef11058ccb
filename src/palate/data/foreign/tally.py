"""Counts over a stream of events: rows, distinct ids, types; in memory that grows with the distinct values alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import polars as pl

from palate.words import EVENT_TYPE, ITEM_ID, USER_ID


class Distinct:
    """The distinct values of a column that comes in pieces."""

    def __init__(self) -> None:
        self._known: pl.Series | None = None
        self._new: list[pl.Series] = []
        self._waiting = 0

    def add(self, values: pl.Series) -> None:
        """Take a piece; what waits is joined when it is as much as what is known, so that the work stays linear."""
        unique = values.unique()
        self._new.append(unique)
        self._waiting += len(unique)
        if self._waiting > (0 if self._known is None else len(self._known)):
            self._join()

    @property
    def count(self) -> int:
        """How many there are, without null."""
        self._join()
        return 0 if self._known is None else len(self._known.drop_nulls())

    def _join(self) -> None:
        if self._new:
            known = [] if self._known is None else [self._known]
            self._known = pl.concat([*known, *self._new]).unique()
            self._new, self._waiting = [], 0


class Tally:
    """Counts of events while they pass."""

    def __init__(self) -> None:
        self._events = 0
        self._members = Distinct()
        self._items = Distinct()
        self._types: Counter[str] = Counter()

    def add(self, frame: pl.DataFrame) -> None:
        """Count some events."""
        self._events += frame.height
        self._members.add(frame[USER_ID])
        self._items.add(frame[ITEM_ID])
        if EVENT_TYPE in frame.columns:
            self._types.update(dict(frame[EVENT_TYPE].value_counts().iter_rows()))

    def counted(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same frames, counted while they pass."""
        for frame in frames:
            self.add(frame)
            yield frame

    @property
    def counts(self) -> dict[str, int]:
        """``events``, and the ``members`` and ``items`` in them."""
        return {"events": self._events, "members": self._members.count, "items": self._items.count}

    @property
    def event_types(self) -> dict[str, int]:
        """Events of each type, the most frequent first; an event without a type counts as "None"."""
        ranked = sorted(self._types.items(), key=lambda entry: (-entry[1], str(entry[0])))
        return {str(name): rows for name, rows in ranked}
