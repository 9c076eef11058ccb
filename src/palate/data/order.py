"""The order of events: members one after another, each in the order in which it acted.

Within a member events are sorted by time (or position), then by ``order`` where it is given, then by the row in
the source. A file that is sorted by item says nothing about the order of equal times: there a fixed hash of the
ids decides, so that ties never favour low ids.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from palate.data.codes import argsort, codes
from palate.data.hashing import Hashes, mix, stable_hash
from palate.words import ITEM_ID, ORDER, POSITION, TIMESTAMP, USER_ID

_ENOUGH_TO_JUDGE: Final = 100


def sort_events(events: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The events in order, and the rule that was used, in words.

    ``events`` are in the order of the source. How its members are mixed has no influence: only the order of a
    member's own rows with equal times has.
    """
    moment = TIMESTAMP if TIMESTAMP in events.columns else POSITION
    keys = [codes(events[USER_ID]), events[moment].to_numpy()]
    rule = [moment]
    if ORDER in events.columns:
        ties = events[ORDER]
        keys.append(ties.fill_null(2**63 - 1 if ties.dtype == pl.Int64 else float("inf")).to_numpy())
        rule.append(ORDER)
    if _sorted_by_item(events, moment):
        keys.append(_tie_hash(events))
        rule.append("a fixed hash of the ids (the source is sorted by item, so its order means nothing)")
    else:
        rule.append("order in the source")
    order = argsort(*keys)
    return events if order is None else events[order], f"by member, {', then '.join(rule)}"


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
    hashes: Hashes = stable_hash(ids.unique().sort())[codes(ids, dense=True)]
    return hashes
