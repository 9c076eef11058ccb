"""The order of events: members one after another, each in the order in which it acted.

Within a member events are sorted by time (or position), then by ``order`` where it is given, then by the row in
the source. A file that is sorted by item says nothing about the order of equal times: there a fixed hash of the
ids decides, so that ties never favour low ids.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

import polars as pl

from palate.data.codes import argsort, codes
from palate.data.hashing import Hashes, mix, stable_hash
from palate.words import ITEM_ID, ORDER, POSITION, TIMESTAMP, USER_ID

_ENOUGH_TO_JUDGE: Final = 100


@dataclass(frozen=True)
class SourceOrder:
    """How a source, or a piece of it, lists its events."""

    rows: int
    rising: bool
    """Time (or position) never goes back."""
    moments: tuple[int, int]
    """First and last."""
    members: tuple[object, object]
    items: tuple[object, object]
    member_runs: int
    """Stretches of rows of one member."""
    item_runs: int
    distinct_items: tuple[object, ...] | None
    """The items, where each of them stands in one run; None elsewhere."""

    @classmethod
    def of(cls, events: pl.DataFrame) -> SourceOrder | None:
        """The order of these rows; None where there are none."""
        if not events.height:
            return None
        moments, members, items = events[_moment(events.columns)], events[USER_ID], events[ITEM_ID]
        item_runs = _runs(items)
        alone = items.n_unique() == item_runs
        return cls(
            rows=events.height,
            rising=moments.is_sorted(),
            moments=(moments[0], moments[-1]),
            members=(members[0], members[-1]),
            items=(items[0], items[-1]),
            member_runs=_runs(members),
            item_runs=item_runs,
            distinct_items=tuple(items.unique().to_list()) if alone else None,
        )


def sorted_by_item(pieces: Sequence[SourceOrder], distinct_members: Callable[[], int]) -> bool:
    """Whether the source lists all events of one item, then all of the next, against time and members.

    ``pieces`` make up the source, in order; ``distinct_members`` is only asked where the answer depends on it.
    """
    rows = sum(piece.rows for piece in pieces)
    seams = list(pairwise(pieces))
    rising = all(piece.rising for piece in pieces) and all(a.moments[1] <= b.moments[0] for a, b in seams)
    if rows < _ENOUGH_TO_JUDGE or rising:
        return False
    item_runs = sum(piece.item_runs for piece in pieces) - sum(a.items[1] == b.items[0] for a, b in seams)
    if item_runs * 2 > rows or any(piece.distinct_items is None for piece in pieces):
        return False
    if len(set(chain.from_iterable(piece.distinct_items or () for piece in pieces))) != item_runs:
        return False
    member_runs = sum(piece.member_runs for piece in pieces) - sum(a.members[1] == b.members[0] for a, b in seams)
    return member_runs > distinct_members()


def order_rule(columns: Collection[str], *, by_hash: bool) -> str:
    """The rule by which events are sorted, in words."""
    rule = [_moment(columns), *((ORDER,) if ORDER in columns else ())]
    if by_hash:
        rule.append("a fixed hash of the ids (the source is sorted by item, so its order means nothing)")
    else:
        rule.append("order in the source")
    return f"by member, {', then '.join(rule)}"


def sort_events(events: pl.DataFrame, *, by_hash: bool) -> pl.DataFrame:
    """The events in order; equal times as in the source, or by a hash of the ids.

    ``events`` are in the order of the source. How its members are mixed has no influence: only the order of a
    member's own rows with equal times has. They may be the events of some members.
    """
    keys = [codes(events[USER_ID]), events[_moment(events.columns)].to_numpy()]
    if ORDER in events.columns:
        ties = events[ORDER]
        keys.append(ties.fill_null(2**63 - 1 if ties.dtype == pl.Int64 else float("inf")).to_numpy())
    if by_hash:
        keys.append(_tie_hash(events))
    order = argsort(*keys)
    return events if order is None else events[order]


def _moment(columns: Collection[str]) -> str:
    return TIMESTAMP if TIMESTAMP in columns else POSITION


def _runs(ids: pl.Series) -> int:
    return int((ids != ids.shift()).sum()) + 1


def _tie_hash(events: pl.DataFrame) -> Hashes:
    return mix(_hash_each(events[USER_ID]) ^ mix(_hash_each(events[ITEM_ID])))


def _hash_each(ids: pl.Series) -> Hashes:
    hashes: Hashes = stable_hash(ids.unique().sort())[codes(ids, dense=True)]
    return hashes
