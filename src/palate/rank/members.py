"""All members of a log, some at a time: of one that is in memory, or of a prepared one that need not fit.

What concerns items (which there are, since when, how often they were acted on) is that of the whole log for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import polars as pl

from palate.data import Dataset, PreparedLog
from palate.data.split import as_ids, unknown_members
from palate.files import sha256
from palate.tokens import Tokenizer
from palate.words import ITEM_ID, TIMESTAMP, USER_ID


@runtime_checkable
class Members(Protocol):
    """Members of a log in ascending order, in pieces of whole members that depend on nothing but the log."""

    @property
    def items_of(self) -> Dataset:
        """A dataset with every item of the log, each first acted on when it is in the log; its members don't matter."""

    @property
    def last_moment(self) -> int | None:
        """Milliseconds of the last event of the whole log; none where there is no time."""

    @property
    def last_asked(self) -> int | None:
        """The same of these members."""

    @property
    def members(self) -> int:
        """How many there are."""

    def later(self, tokenizer: Tokenizer) -> pl.DataFrame | None:
        """Events of all members after the training's last one, as `palate.tokens.ages.Ages.later` counts them; none
        where ``items_of`` has them all."""

    def digest(self) -> str:
        """A text that differs where the events, items or members do."""

    def sizes(self, most: int) -> list[int]:
        """Members of each piece, at most so many."""

    def pieces(self, most: int, skip: int) -> Iterator[Dataset]:
        """The pieces behind the first ``skip`` ones."""


class MembersInMemory:
    """Those of a dataset, or ``only`` some of them; `UnknownMemberError` where these have no event."""

    def __init__(self, dataset: Dataset, only: Sequence[int | str] | None = None) -> None:
        self.items_of = dataset
        self._asked = dataset if only is None else _only(dataset, only)

    @property
    def last_moment(self) -> int | None:
        """Milliseconds of the last event of the log."""
        return _last(self.items_of)

    @property
    def last_asked(self) -> int | None:
        """The same of these members."""
        return _last(self._asked)

    @property
    def members(self) -> int:
        """How many there are."""
        return len(self._asked.member_starts)

    def later(self, tokenizer: Tokenizer) -> pl.DataFrame | None:
        """Nothing beyond the dataset."""
        return None

    def digest(self) -> str:
        """A hash of the tables."""
        whole = self.items_of.digest()
        return whole if self._asked is self.items_of else f"{whole} {self._asked.digest()}"

    def sizes(self, most: int) -> list[int]:
        """Members of each piece."""
        return _cut(self.members, most)

    def pieces(self, most: int, skip: int) -> Iterator[Dataset]:
        """Slices of the events."""
        return _slices(self._asked, most, skip)


class MembersInParts:
    """Those of a prepared log, of which one part at a time is in memory."""

    def __init__(self, prepared: PreparedLog) -> None:
        self._prepared = prepared
        self.items_of = prepared.first_events()

    @property
    def last_moment(self) -> int | None:
        """Milliseconds of the last event."""
        times = [part.last_time for part in self._prepared.log_parts if part.last_time is not None]
        return max(times) if times else None

    @property
    def last_asked(self) -> int | None:
        """The same: these are all."""
        return self.last_moment

    @property
    def members(self) -> int:
        """How many there are."""
        return self._prepared.members

    def later(self, tokenizer: Tokenizer) -> pl.DataFrame | None:
        """Counted part by part."""
        return later_events(self._prepared.parts, tokenizer)

    def digest(self) -> str:
        """A hash of the manifest, which has those of all files."""
        return sha256(self._prepared.folder / "manifest.json")

    def sizes(self, most: int) -> list[int]:
        """Members of each piece; none is of two parts of the log."""
        return [size for part in self._prepared.log_parts for size in _cut(part.members, most)]

    def pieces(self, most: int, skip: int) -> Iterator[Dataset]:
        """Slices of the parts; parts that are wholly skipped are not read."""
        for part in self._prepared.log_parts:
            within = len(_cut(part.members, most))
            if skip < within:
                yield from _slices(self._prepared.part(part), most, skip)
            skip = max(skip - within, 0)


class SomeMembers:
    """A few members of a prepared log, read into memory; `UnknownMemberError` where these have no event."""

    def __init__(self, prepared: PreparedLog, only: Sequence[int | str]) -> None:
        self._all = MembersInParts(prepared)
        self._asked = MembersInMemory(prepared.read(only))
        self.items_of = self._all.items_of

    @property
    def last_moment(self) -> int | None:
        """Milliseconds of the last event of the log."""
        return self._all.last_moment

    @property
    def last_asked(self) -> int | None:
        """The same of these members."""
        return self._asked.last_asked

    @property
    def members(self) -> int:
        """How many there are."""
        return self._asked.members

    def later(self, tokenizer: Tokenizer) -> pl.DataFrame | None:
        """Counted part by part."""
        return self._all.later(tokenizer)

    def digest(self) -> str:
        """That of the log, and of these members."""
        return f"{self._all.digest()} {self._asked.digest()}"

    def sizes(self, most: int) -> list[int]:
        """Members of each piece."""
        return self._asked.sizes(most)

    def pieces(self, most: int, skip: int) -> Iterator[Dataset]:
        """Slices of their events."""
        return self._asked.pieces(most, skip)


def later_events(parts: Callable[[], Iterator[Dataset]], tokenizer: Tokenizer) -> pl.DataFrame | None:
    """Events of all members after the training's last one; none without time."""
    assert tokenizer.ages is not None, "a fitted tokenizer"
    if not tokenizer.has_time:
        return None
    counted = pl.concat(tokenizer.ages.later(part.events) for part in parts())
    return counted.group_by(ITEM_ID, "bin").agg(pl.col("events").sum())


def some_members(dataset: Dataset, first: int, last: int) -> Dataset:
    """The members ``[first, last)`` of a dataset, counted in order."""
    starts = dataset.member_starts
    begin = int(starts[first])
    end = int(starts[last]) if last < len(starts) else dataset.events.height
    return Dataset(dataset.events[begin:end], dataset.items, dataset.users, dataset.schema, dataset.report)


def _slices(dataset: Dataset, most: int, skip: int) -> Iterator[Dataset]:
    members = len(dataset.member_starts)
    for first in range(skip * most, members, most):
        yield some_members(dataset, first, min(first + most, members))


def _cut(members: int, most: int) -> list[int]:
    """Sizes of the pieces, full ones first."""
    return [min(most, members - first) for first in range(0, members, most)]


def _only(dataset: Dataset, members: Sequence[int | str]) -> Dataset:
    ids = dataset.events[USER_ID]
    wanted = as_ids(members, ids.dtype)
    unknown = wanted.filter(~wanted.is_in(ids.implode()))
    if len(unknown):
        raise unknown_members(unknown)
    events = dataset.events.filter(pl.col(USER_ID).is_in(wanted.implode()))
    return Dataset(events, dataset.items, dataset.users, dataset.schema, dataset.report)


def _last(dataset: Dataset) -> int | None:
    if not dataset.has_time:
        return None
    last = dataset.events[TIMESTAMP].max()
    assert isinstance(last, int)
    return last
