"""From events to tokens: one row a token, with what it keeps of each column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Column, Merge, Role, Schema
from palate.tokens.merges import Segments
from palate.words import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID

EVENTS = "token:events"
"""Column with the number of events of a token."""
END = "token:end"
"""Column with the moment of a token's last event, in milliseconds."""


@dataclass(frozen=True)
class Tokens:
    """Tokens as a table, and where their events lie."""

    frame: pl.DataFrame
    """The events' columns; with merging also `EVENTS`, and with time `END`."""
    first: NDArray[np.int64]
    """Row of each token's first event, ``[tokens]``."""
    last: NDArray[np.int64]
    """Row of each token's last event, ``[tokens]``."""


def collapse(events: pl.DataFrame, segments: Segments, actions: pl.Series, schema: Schema) -> Tokens:
    """Merge the events of each token: ``actions`` [tokens] are the names of their actions.

    A column that the schema does not describe keeps its first value.
    """
    first, last = segments.first, segments.last(events.height)
    columns: list[pl.Series] = []
    for name in events.columns:
        columns.append(_kept(events[name], _rule(name, schema), first, last))
    frame = pl.DataFrame(columns).with_columns(
        actions.alias(EVENT_TYPE), pl.Series(EVENTS, last - first + 1, dtype=pl.Int64)
    )
    return Tokens(_with_end(frame, events, last), first, last)


def keep_last(events: pl.DataFrame, starts: NDArray[np.bool_], schema: Schema) -> Tokens:
    """One token a run: what was known at the request of its first event, and the outcome of its last one."""
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(starts))[: len(first)] - 1
    columns = []
    for name in events.columns:
        rule = "first" if _rule(name, schema) == "first" and name != EVENT_TYPE else "last"
        columns.append(events[name].gather(first if rule == "first" else last))
    return Tokens(_with_end(pl.DataFrame(columns), events, last), first, last)


def _with_end(frame: pl.DataFrame, events: pl.DataFrame, last: NDArray[np.int64]) -> pl.DataFrame:
    if TIMESTAMP not in events.columns:
        return frame
    return frame.with_columns(events[TIMESTAMP].gather(last).alias(END))


def _rule(name: str, schema: Schema) -> Merge:
    if name == ITEM_ID:
        return "last"
    column: Column | None = schema.events.get(name)
    if name == USER_ID or column is None or column.role == Role.IGNORE:
        return "first"
    return column.kept


def _kept(column: pl.Series, rule: Merge, first: NDArray[np.int64], last: NDArray[np.int64]) -> pl.Series:
    if rule == "first":
        return column.gather(first)
    if rule == "last" or not len(first):
        return column.gather(last)
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = np.isfinite(numbers)
    if rule == "sum":
        merged = np.add.reduceat(np.where(known, numbers, 0.0), first)
    else:
        merged = np.maximum.reduceat(np.where(known, numbers, -np.inf), first)
    any_known = np.logical_or.reduceat(known, first)
    return pl.Series(column.name, np.where(any_known, merged, np.nan)).fill_nan(None)
