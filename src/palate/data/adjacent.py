"""Neighbouring events of a member that belong together: runs, such as the parts of one viewing, and sessions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.schema import Role, Schema
from palate.words import GROUP_ID, ITEM_ID, SESSION_ID, TIMESTAMP, USER_ID


def run_starts(events: pl.DataFrame, schema: Schema, items: pl.DataFrame | None) -> npt.NDArray[np.bool_]:
    """Whether each event begins a run, ``[events]``; the events come member by member, in order.

    A run goes on while the member and the item (or its group, by ``schema.runs.by``) stay the same, and the pause
    since the end of the event before is at most ``schema.runs.gap_seconds``. An event ends its duration, in seconds,
    after its timestamp. An event without an item is a run by itself.
    """
    user, item = events[USER_ID], events[ITEM_ID]
    same = (user == user.shift()) & _same_item(item, items, schema)
    if TIMESTAMP in events.columns:
        time = events[TIMESTAMP]
        pause = time - (time + _durations(events, schema)).shift()
        same &= pause <= round(schema.runs.gap_seconds * 1000)
    return ~same.fill_null(False).to_numpy()


def session_starts(events: pl.DataFrame, schema: Schema) -> npt.NDArray[np.bool_]:
    """Whether each event begins a session, ``[events]``; the events come member by member, in order.

    A session has one ``session_id``; where events have none, it goes on while the pause since the end of the event
    before is at most ``schema.session_gap_seconds``. Without time and ids all of a member's events are one.
    """
    user = events[USER_ID]
    same = user == user.shift()
    near = pl.repeat(True, events.height, dtype=pl.Boolean, eager=True)
    if TIMESTAMP in events.columns:
        time = events[TIMESTAMP]
        near = time - (time + _durations(events, schema)).shift() <= round(schema.session_gap_seconds * 1000)
    if SESSION_ID in events.columns:
        session = events[SESSION_ID]
        near = session.eq_missing(session.shift()) & (session.is_not_null() | near)
    same &= near
    return ~same.fill_null(False).to_numpy()


def _same_item(item: pl.Series, items: pl.DataFrame | None, schema: Schema) -> pl.Series:
    same = item == item.shift()
    if schema.runs.by == "item" or items is None or GROUP_ID not in items.columns:
        return same
    groups = items.select(ITEM_ID, pl.col(GROUP_ID))
    group = item.to_frame().join(groups, on=ITEM_ID, how="left", maintain_order="left")[GROUP_ID]
    return same | (group == group.shift()).fill_null(False)


def _durations(events: pl.DataFrame, schema: Schema) -> pl.Series:
    """Milliseconds that each event lasted: the first column that the schema calls a duration; 0 where unknown."""
    for name, column in schema.events.items():
        if column.duration and column.role == Role.POST_ACTION and name in events.columns:
            seconds = events[name].cast(pl.Float64).fill_nan(None).fill_null(0.0)
            return (seconds.clip(0, 1e9) * 1000).round().cast(pl.Int64)
    return pl.repeat(0, events.height, dtype=pl.Int64, eager=True)
