"""The order of events: members one after another, each in the order in which it acted.

Within a member events are sorted by time (or position), then by ``order`` where it is given, then by the row in
the source. A file that is sorted by item says nothing about the order of equal times: there a fixed hash of the
ids decides, so that ties never favour low ids.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from palate.data.hashing import Hashes, mix, stable_hash
from palate.data.table import ROW
from palate.words import ITEM_ID, ORDER, POSITION, TIMESTAMP, USER_ID

_TIE: Final = "__tie__"
_ENOUGH_TO_JUDGE: Final = 100


def sort_events(events: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The events in order, and the rule that was used, in words.

    The order of members in the source has no influence: only that of a member's own rows with equal times has.
    """
    moment = TIMESTAMP if TIMESTAMP in events.columns else POSITION
    by = [USER_ID, moment]
    rule = [moment]
    if ORDER in events.columns:
        by.append(ORDER)
        rule.append("order")
    if _sorted_by_item(events, moment):
        events = events.with_columns(pl.Series(_TIE, _tie_hash(events)))
        by.append(_TIE)
        rule.append("a fixed hash of the ids (the source is sorted by item, so its order means nothing)")
    else:
        rule.append("order in the source")
    events = events.sort([*by, ROW], nulls_last=True)
    return events.drop(_TIE, strict=False), f"by member, {', then '.join(rule)}"


def _sorted_by_item(events: pl.DataFrame, moment: str) -> bool:
    """Whether the source lists all events of one item, then all of the next, against time and members."""
    if events.height < _ENOUGH_TO_JUDGE or events[moment].is_sorted():
        return False
    items = events[ITEM_ID]
    runs = int((items != items.shift()).sum()) + 1
    if runs * 2 > events.height:
        return False
    members = events[USER_ID]
    member_runs = int((members != members.shift()).sum()) + 1
    return items.n_unique() == runs and member_runs > members.n_unique()


def _tie_hash(events: pl.DataFrame) -> Hashes:
    return mix(_hash_each(events[USER_ID]) ^ mix(_hash_each(events[ITEM_ID])))


def _hash_each(ids: pl.Series) -> Hashes:
    distinct = ids.unique().sort()
    places = distinct.search_sorted(ids).to_numpy()
    hashes: Hashes = stable_hash(distinct)[places]
    return hashes
