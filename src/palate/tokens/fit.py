"""Fitting the tokenizer: counts and samples of the training events, part by part of a log of any size.

All that is kept of a part combines with that of the others, so that a log gives the same tokenizer whole or in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Kind, Role, Schema
from palate.tokens.batch import Side
from palate.tokens.collapse import EVENTS
from palate.tokens.config import TokenizerConfig
from palate.tokens.fields import CategoricalField, Field, MultiCategoricalField, NumericField, numbers
from palate.tokens.moments import CLOCK, GAP, TREND
from palate.tokens.sample import Sample
from palate.tokens.vocabulary import Counts, Vocabulary
from palate.words import EVENT_TYPE, ITEM_ID, LAUNCH_TIME, TIMESTAMP

ATTRIBUTE = "member:"
USABLE = (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL, Kind.NUMERIC)


@runtime_checkable
class FieldFitter(Protocol):
    """Learns one field."""

    def add(self, columns: pl.DataFrame, hashes: NDArray[np.uint64]) -> None:
        """Take the training rows of a part; ``hashes`` [n] choose the rows of samples."""

    def finish(self) -> Field:
        """The field."""


class CategoryFitter:
    """Counts the values of a column."""

    def __init__(self, name: str, side: Side, *, limit: int) -> None:
        self._name, self._side, self._limit = name, side, limit
        self._counts = Counts()

    def add(self, columns: pl.DataFrame, hashes: NDArray[np.uint64]) -> None:
        """Count a part."""
        self._counts.add(columns[self._name])

    def finish(self) -> Field:
        """The most frequent values."""
        vocabulary = Vocabulary.from_counts(self._counts.table(), limit=self._limit)
        return CategoricalField(name=self._name, side=self._side, vocabulary=vocabulary)


class MultiCategoryFitter:
    """Counts the values in a column's cells."""

    def __init__(self, name: str, side: Side, *, limit: int, most: int) -> None:
        self._name, self._side, self._limit, self._most = name, side, limit, most
        self._counts = Counts()
        self._longest = 1

    def add(self, columns: pl.DataFrame, hashes: NDArray[np.uint64]) -> None:
        """Count a part."""
        column = columns[self._name]
        self._counts.add(column.list.explode(keep_nulls=False, empty_as_null=False))
        longest = column.list.len().max()
        self._longest = max(self._longest, longest if isinstance(longest, int) else 1)

    def finish(self) -> Field:
        """The most frequent values, as many a cell as the longest cell of training has."""
        vocabulary = Vocabulary.from_counts(self._counts.table(), limit=self._limit)
        width = min(self._most, self._longest)
        return MultiCategoricalField(name=self._name, side=self._side, vocabulary=vocabulary, width=width)


class NumberFitter:
    """Samples a column for its quantiles."""

    def __init__(self, name: str, side: Side, *, buckets: int) -> None:
        self._name, self._side, self._buckets = name, side, buckets
        self._sample = Sample()

    def add(self, columns: pl.DataFrame, hashes: NDArray[np.uint64]) -> None:
        """Sample a part."""
        self._sample.add(hashes, numbers(columns[self._name]))

    def finish(self) -> Field:
        """Quantiles of the sample."""
        return NumericField.fit(self._sample.values(), name=self._name, side=self._side, buckets=self._buckets)


class ClockFitter:
    """Counts the hours, weekdays or months. One without a training event is unknown, as it is when it comes: nothing
    was learned of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts = Counts()

    def add(self, columns: pl.DataFrame, hashes: NDArray[np.uint64]) -> None:
        """Count a part."""
        self._counts.add(columns[self._name])

    def finish(self) -> Field:
        """The values there are, in their order."""
        table = self._counts.table().cast({"value": pl.Int8}).sort("value")
        return CategoricalField(name=self._name, side=Side.REQUEST_TIME, vocabulary=Vocabulary(table=table))


class ItemFitter:
    """Counts the items and notes when they were first and last seen."""

    def __init__(self, items: pl.DataFrame | None, *, has_time: bool) -> None:
        self._items, self._has_time = items, has_time
        self._seen = Counts(first="first_seen", last="last_seen")

    def add(self, columns: pl.DataFrame, hashes: NDArray[np.uint64]) -> None:
        """Count a part."""
        self._seen.add(columns[ITEM_ID], columns[TIMESTAMP] if self._has_time else None)

    def finish(self) -> Field:
        """Items in order of launch (or first event), so that what exists is a prefix."""
        table = self._seen.table()
        launch = pl.col("first_seen")
        if self._has_time and self._items is not None and LAUNCH_TIME in self._items.columns:
            known = self._items.select(pl.col(ITEM_ID).alias("value"), LAUNCH_TIME)
            table = table.join(known, on="value", how="left")
            launch = pl.coalesce(LAUNCH_TIME, "first_seen")
        table = table.with_columns(launch.alias("launch")).sort("launch", "value", nulls_last=True)
        vocabulary = Vocabulary(table=table.select("value", "count", "launch", "first_seen", "last_seen"))
        return CategoricalField(name=ITEM_ID, side=Side.POST_ACTION, vocabulary=vocabulary)


def fitters(
    schema: Schema, config: TokenizerConfig, columns: Iterable[str], items: pl.DataFrame | None, *, has_time: bool
) -> Iterator[FieldFitter]:
    """A fitter for each field, post-action ones first and the item first of all; ``columns`` are those there are."""
    there = set(columns)
    yield ItemFitter(items, has_time=has_time)
    if EVENT_TYPE in there:
        yield CategoryFitter(EVENT_TYPE, Side.POST_ACTION, limit=max(config.max_categories, config.max_actions))
    if EVENTS in there:
        yield NumberFitter(EVENTS, Side.POST_ACTION, buckets=config.buckets)
    for role, side in ((Role.POST_ACTION, Side.POST_ACTION), (Role.REQUEST_TIME, Side.REQUEST_TIME)):
        for name, kind in schema.with_role("events", role).items():
            assert kind in USABLE, f"{name}: the data room lets no {kind} column through as a field of events"
            yield _fitter(name, side, kind, config)
    if config.member_attributes:
        for name, kind in schema.with_role("users", Role.USER_ATTRIBUTE).items():
            if ATTRIBUTE + name in there and kind in USABLE:
                yield _fitter(ATTRIBUTE + name, Side.REQUEST_TIME, kind, config)
    if has_time and config.time_features:
        for name in CLOCK:
            yield ClockFitter(name)
        for name in (TREND, GAP):
            yield NumberFitter(name, Side.REQUEST_TIME, buckets=config.buckets)


def fit_fields(
    parts: Iterable[tuple[pl.DataFrame, NDArray[np.uint64]]], start: Callable[[pl.DataFrame], Iterable[FieldFitter]]
) -> tuple[Field, ...]:
    """Fields of the training rows in all ``parts``; ``start`` makes their fitters from the first part."""
    found: list[FieldFitter] = []
    for columns, hashes in parts:
        found = found or list(start(columns))
        for each in found:
            each.add(columns, hashes)
    return tuple(each.finish() for each in found)


def _fitter(name: str, side: Side, kind: Kind, config: TokenizerConfig) -> FieldFitter:
    if kind == Kind.NUMERIC:
        return NumberFitter(name, side, buckets=config.buckets)
    if kind == Kind.MULTI_CATEGORICAL:
        return MultiCategoryFitter(name, side, limit=config.max_categories, most=config.max_values)
    return CategoryFitter(name, side, limit=config.max_categories)
