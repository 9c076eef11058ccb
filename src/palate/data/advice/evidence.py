"""What every check needs of a dataset, computed once.

Shapes: ``E`` events in the dataset's order (member by member), ``M`` members, ``V`` items of the events.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.advice.config import AdviceConfig
from palate.data.advice.parts import Parts
from palate.data.dataset import Dataset
from palate.data.schema import Column, Kind, Role
from palate.data.split import is_target
from palate.data.table import TableName
from palate.words import EVENT_TYPE, GROUP_ID, ITEM_ID, TIMESTAMP, USER_ID

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_TELLING: Final = (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL, Kind.TEXT, Kind.VECTOR)
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


class Evidence:
    """A dataset as arrays; each is computed when a check first asks for it."""

    def __init__(self, dataset: Dataset, config: AdviceConfig | None = None) -> None:
        self.dataset = dataset
        self.config = config or AdviceConfig()

    @cached_property
    def starts(self) -> Ints:
        """Row of each member's first event, ``[M]``."""
        return self.dataset.member_starts

    @cached_property
    def lengths(self) -> Ints:
        """Events of each member, ``[M]``."""
        return np.diff(np.append(self.starts, self.events))

    @cached_property
    def member(self) -> Ints:
        """Each event's member, from 0, ``[E]``."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    @cached_property
    def item_ids(self) -> pl.Series:
        """External ids of the items, ascending, ``[V]``."""
        return self.dataset.events[ITEM_ID].unique().sort()

    @cached_property
    def item(self) -> Ints:
        """Each event's item, from 0, ``[E]``."""
        return self.item_ids.search_sorted(self.dataset.events[ITEM_ID]).to_numpy().astype(np.int64)

    @cached_property
    def item_counts(self) -> Ints:
        """Events of each item, ``[V]``."""
        return np.bincount(self.item, minlength=len(self.item_ids)).astype(np.int64)

    @cached_property
    def pair(self) -> Ints:
        """Each event's member and item as one number, ``[E]``."""
        return self.member * len(self.item_ids) + self.item

    @cached_property
    def repeated(self) -> Bools:
        """Whether the member already had the item, ``[E]``."""
        return ~pl.Series(self.pair).is_first_distinct().to_numpy()

    @cached_property
    def follows_itself(self) -> Bools:
        """Whether the member's event before is on the same item, ``[E]``."""
        return np.append(False, self.pair[1:] == self.pair[:-1])

    @cached_property
    def kind(self) -> Ints:
        """Each event's type, from 0 in ascending order; all 0 without types, ``[E]``."""
        if not self.kind_names:
            return np.zeros(self.events, np.int64)
        names = pl.Series(self.kind_names)
        return names.search_sorted(self.dataset.events[EVENT_TYPE]).to_numpy().astype(np.int64)

    @cached_property
    def kind_names(self) -> list[str]:
        """The event types, ascending."""
        if EVENT_TYPE not in self.dataset.events.columns:
            return []
        return self.dataset.events[EVENT_TYPE].unique().sort().to_list()

    @cached_property
    def target(self) -> Bools:
        """Whether each event is a target, ``[E]``."""
        return is_target(self.dataset)

    @cached_property
    def times(self) -> Ints:
        """Milliseconds, ``[E]``; only of data with time."""
        return self.dataset.events[TIMESTAMP].to_numpy()

    @cached_property
    def gaps(self) -> Ints:
        """Milliseconds since the member's event before, -1 for its first, ``[E]``; only of data with time."""
        gaps = np.diff(self.times, prepend=self.times[:1])
        gaps[self.starts] = -1
        return gaps

    @cached_property
    def has_clock(self) -> bool:
        """Whether events have a time of day: not all of them are mere dates."""
        if not self.dataset.has_time:
            return False
        clock = self.times % DAY
        return len(clock) < 2 or not bool((clock == clock[0]).all())

    @cached_property
    def parts(self) -> Parts:
        """The split, tried, with its figures."""
        return Parts.of(self.dataset)

    @property
    def events(self) -> int:
        """How many events there are."""
        return self.dataset.events.height

    def member_id(self, member: int) -> object:
        """External id of a member."""
        return self.dataset.events[USER_ID][int(self.starts[member])]

    def item_id(self, item: int) -> object:
        """External id of an item."""
        return self.item_ids[int(item)]

    def frame(self, table: TableName) -> pl.DataFrame | None:
        """One of the three tables."""
        return {"events": self.dataset.events, "items": self.dataset.items, "users": self.dataset.users}[table]

    def used(self, table: TableName) -> dict[str, Column]:
        """The described columns of a table that are not ignored, none without the table."""
        if self.frame(table) is None:
            return {}
        return {name: each for name, each in self.dataset.schema.columns(table).items() if each.role != Role.IGNORE}

    @cached_property
    def telling_columns(self) -> list[str]:
        """Columns that say what an item is: categories, text, vectors."""
        return [name for name, each in self.used("items").items() if each.kind in _TELLING and name != GROUP_ID]

    def rows_of_items(self) -> tuple[Ints, Ints]:
        """Items of the events that the items table describes, and their rows in it: two arrays of equal length."""
        items = self.dataset.items
        if items is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return _matching(items[ITEM_ID], self.item_ids)

    def rows_of_members(self) -> tuple[Ints, Ints]:
        """Members that the users table describes, and their rows in it: two arrays of equal length."""
        users = self.dataset.users
        if users is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return _matching(users[USER_ID], self.dataset.events[USER_ID][self.starts])


def _matching(ids: pl.Series, wanted: pl.Series) -> tuple[Ints, Ints]:
    """Places in ``wanted`` whose id is in ``ids``, and their rows there."""
    rows = pl.DataFrame({"id": ids, "row": np.arange(len(ids))})
    found = pl.DataFrame({"id": wanted, "place": np.arange(len(wanted))}).join(
        rows, on="id", how="inner", maintain_order="left"
    )
    return found["place"].to_numpy(), found["row"].to_numpy()
