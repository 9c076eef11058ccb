"""Fields: how each column of an event becomes indices and numbers.

Everything here is fitted on training events only and frozen afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.tokens.batch import Side
from palate.tokens.vocabulary import Vocabulary
from palate.words import FIRST_KNOWN, PADDING, UNKNOWN


@runtime_checkable
class Field(Protocol):
    """One column of the log, encoded."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def side(self) -> Side:
        """When it is known."""

    @property
    def size(self) -> int:
        """Number of indices."""

    @property
    def width(self) -> int:
        """Number of index columns."""

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Indices, ``[n, width]``."""

    def scale(self, column: pl.Series) -> NDArray[np.float32] | None:
        """Scaled numbers, ``[n]``, for numeric fields."""


@dataclass(frozen=True, kw_only=True)
class CategoricalField:
    """One value an event."""

    name: str
    side: Side
    vocabulary: Vocabulary
    width: int = 1

    @property
    def size(self) -> int:
        """Number of indices."""
        return self.vocabulary.size

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Indices, ``[n, 1]``."""
        return self.vocabulary.encode(column)[:, None]

    def scale(self, column: pl.Series) -> None:
        """A category has no number."""


@dataclass(frozen=True, kw_only=True)
class MultiCategoricalField:
    """Several values an event: the first ``width`` of them, padded."""

    name: str
    side: Side
    vocabulary: Vocabulary
    width: int

    @property
    def size(self) -> int:
        """Number of indices."""
        return self.vocabulary.size

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Indices, ``[n, width]``; an empty or null cell is one unknown value."""
        if column.dtype == pl.Null:
            column = column.cast(pl.List(self.vocabulary.values.dtype))
        lists = column.list.head(self.width)
        lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
        indices = np.full((len(column), self.width), PADDING, dtype=np.int32)
        indices[:, 0] = UNKNOWN
        flat = lists.filter(pl.Series(lengths > 0)).explode()
        rows = np.repeat(np.arange(len(column)), lengths)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        indices[rows, places] = self.vocabulary.encode(flat)
        return indices

    def scale(self, column: pl.Series) -> None:
        """A category has no number."""


@dataclass(frozen=True, kw_only=True)
class NumericField:
    """A number as its quantile bucket and as its place between the quantiles, scaled to [-1, 1].

    Both are monotone and indifferent to outliers; the place keeps what the bucket rounds away.
    """

    name: str
    side: Side
    knots: tuple[float, ...]
    """Distinct quantiles of the training events, ascending; empty where they had no value at all."""
    width: int = 1

    @classmethod
    def fit(cls, values: NDArray[np.float64], *, name: str, side: Side, buckets: int) -> NumericField:
        """Take the quantiles of finite values."""
        if not len(values):
            return cls(name=name, side=side, knots=())
        knots = np.unique(np.quantile(values, np.linspace(0, 1, buckets + 1)))
        return cls(name=name, side=side, knots=tuple(float(knot) for knot in knots))

    @property
    def size(self) -> int:
        """Number of indices: a bucket between neighbouring knots."""
        return FIRST_KNOWN + max(len(self.knots) - 1, 1)

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Bucket indices, ``[n, 1]``; what lies outside belongs to the outermost bucket."""
        values = numbers(column)
        bucket = np.searchsorted(np.array(self.knots[1:-1]), values, side="right") + FIRST_KNOWN
        known = np.isfinite(values) & (len(self.knots) > 0)
        return np.where(known, bucket, UNKNOWN).astype(np.int32)[:, None]

    def scale(self, column: pl.Series) -> NDArray[np.float32]:
        """Place between the quantiles, ``[n]`` in [-1, 1]; 0 where unknown."""
        values = numbers(column)
        if len(self.knots) < 2:
            return np.zeros(len(values), dtype=np.float32)
        places = np.interp(values, self.knots, np.linspace(-1, 1, len(self.knots)))
        return np.where(np.isfinite(values), places, 0.0).astype(np.float32)


def numbers(column: pl.Series) -> NDArray[np.float64]:
    """A column as float64 with NaN for null."""
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
