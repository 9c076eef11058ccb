"""One column of the items table, encoded: values, buckets of a number, a ready-made vector.

Everything here is fitted on trained items only and frozen afterwards.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.errors import ColumnTypeError
from palate.tokens.batch import MetadataKind, Side
from palate.tokens.fields import NumericField, numbers
from palate.tokens.vocabulary import Vocabulary
from palate.words import PADDING, UNKNOWN

_ENOUGH: Final = 20
"""Values below which nothing is concluded from how often they repeat."""
_OWN_VALUES: Final = 0.5
"""Share of distinct values above which a column is an id in disguise, if no value is that of more than a few items."""
_A_FEW: Final = 3
"""See `_OWN_VALUES`."""
_BUCKET_ITEMS: Final = 10
"""Trained items that a bucket of a number holds at least, as far as quantiles can."""
_FURTHEST: Final = 10.0
"""Standard deviations beyond which a number of a vector is cut off."""


class UselessColumnError(Exception):
    """A column that carries nothing to new items; the message says why. Caught where columns are chosen."""


class Stored(NamedTuple):
    """What was fitted to a column, as it is saved."""

    settings: dict[str, Any]
    """What JSON keeps."""
    table: pl.DataFrame | None = None
    """What Parquet keeps."""
    arrays: dict[str, NDArray[np.float32]] | None = None
    """What safetensors keep."""

    def digest(self) -> str:
        """A hash of the content."""
        digest = hashlib.sha256(json.dumps(self.settings).encode())
        for column in [] if self.table is None else self.table.get_columns():
            digest.update(f"\x00{column.name} {column.dtype} {len(column)}\x00".encode())
            digest.update("\x00".join(column.cast(pl.String)).encode())
        for name, array in sorted((self.arrays or {}).items()):
            digest.update(f"\x00{name} {array.shape}\x00".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@runtime_checkable
class MetadataField(Protocol):
    """One column of the items table, encoded."""

    form: ClassVar[str]
    """The name of its class in files."""
    kind: ClassVar[MetadataKind]

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def size(self) -> int:
        """Number of indices, padding and unknown included; 0 for a vector."""

    @property
    def width(self) -> int:
        """Number of columns of indices, or of numbers."""

    def encode(self, column: pl.Series) -> NDArray[np.int32] | NDArray[np.float32]:
        """Indices (int32) or numbers (float32), ``[V, width]``; `ColumnTypeError` for values of another type."""

    def store(self) -> Stored:
        """What was fitted."""


@dataclass(frozen=True, kw_only=True)
class CategoryField:
    """One value an item, or several."""

    form: ClassVar = "category"
    kind: ClassVar = MetadataKind.CATEGORY
    name: str
    vocabulary: Vocabulary
    width: int
    """Values kept of a cell."""
    several: bool
    """The column holds lists."""

    @classmethod
    def fit(
        cls, column: pl.Series, *, max_categories: int, max_values: int, min_count: int, may_be_id: bool
    ) -> CategoryField:
        """Count the values, once an item each; `UselessColumnError` where hardly any is shared by items."""
        values = _exploded(column)["value"]
        counted = Vocabulary.fit(values, limit=max_categories).table
        most = int(counted["count"].max() or 0)  # type: ignore[arg-type]
        distinct = values.n_unique() if len(values) else 0
        if not may_be_id and len(values) >= _ENOUGH and distinct > _OWN_VALUES * len(values) and most <= _A_FEW:
            raise UselessColumnError(f"{distinct:,} different values in {len(values):,}, like an id")
        shared = Vocabulary(table=counted.filter(pl.col("count") >= min_count))
        if not len(shared.table):
            raise UselessColumnError(f"no value is that of {min_count} trained items")
        several = isinstance(column.dtype, pl.List)
        widest = cls(name=column.name, vocabulary=shared, width=max_values, several=several)
        ids = widest.encode(column)
        if (ids == ids[0]).all():
            raise UselessColumnError("it is the same for all trained items")
        width = int((ids != PADDING).sum(axis=1).max())
        return cls(name=column.name, vocabulary=shared, width=width, several=several)

    @property
    def size(self) -> int:
        """Number of indices."""
        return self.vocabulary.size

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """The first ``width`` known values of each cell, padded; a cell without a known one is one unknown value.

        A value that repeats in a cell counts once.
        """
        ids = np.full((len(column), self.width), PADDING, dtype=np.int32)
        ids[:, 0] = UNKNOWN
        if column.dtype == pl.Null:
            return ids
        if isinstance(column.dtype, pl.List) != self.several:
            raise ColumnTypeError(
                f"column {self.name!r} holds {column.dtype}, but the run was trained on "
                f"{'lists of values' if self.several else 'single values'}",
                hint="give the column the kind that it had in training",
            )
        table = _exploded(column)
        index = self.vocabulary.encode(table["value"].alias(self.name))
        known = index != UNKNOWN
        row, index = table["row"].to_numpy()[known], index[known]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < self.width
        ids[row[kept], place[kept]] = index[kept]
        return ids

    def store(self) -> Stored:
        """The values."""
        return Stored({"width": self.width, "several": self.several}, table=self.vocabulary.table)

    @classmethod
    def restore(cls, name: str, stored: Stored) -> CategoryField:
        """The field of these values."""
        assert stored.table is not None
        vocabulary = Vocabulary(table=stored.table)
        return cls(name=name, vocabulary=vocabulary, **stored.settings)


@dataclass(frozen=True, kw_only=True)
class BucketField:
    """A number, or a moment in milliseconds, as the one category that is its quantile bucket."""

    form: ClassVar = "bucket"
    kind: ClassVar = MetadataKind.CATEGORY
    quantiles: NumericField
    width: int = 1

    @classmethod
    def fit(cls, column: pl.Series, *, buckets: int) -> BucketField:
        """Take up to ``buckets`` quantiles, fewer where they would hold few items; `UselessColumnError` without two."""
        values = numbers(column)
        values = values[np.isfinite(values)]
        buckets = max(min(buckets, len(values) // _BUCKET_ITEMS), 2)
        quantiles = NumericField.fit(values, name=column.name, side=Side.REQUEST_TIME, buckets=buckets)
        ids = quantiles.encode(column)
        if len(values) == 0 or (ids == ids[0]).all():
            raise UselessColumnError("it is the same for all trained items")
        return cls(quantiles=quantiles)

    @property
    def name(self) -> str:
        """The column's name."""
        return self.quantiles.name

    @property
    def size(self) -> int:
        """Number of indices."""
        return self.quantiles.size

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """The bucket of each number, ``[V, 1]``; what lies outside belongs to the outermost one."""
        if not (column.dtype.is_numeric() or column.dtype == pl.Null):
            raise ColumnTypeError(
                f"column {self.name!r} holds {column.dtype}, but the run was trained on numbers",
                hint="give the column the kind that it had in training",
            )
        return self.quantiles.encode(column)

    def store(self) -> Stored:
        """The knots."""
        return Stored({"knots": list(self.quantiles.knots)})

    @classmethod
    def restore(cls, name: str, stored: Stored) -> BucketField:
        """The field of these knots."""
        knots = tuple(map(float, stored.settings["knots"]))
        return cls(quantiles=NumericField(name=name, side=Side.REQUEST_TIME, knots=knots))


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorField:
    """A ready-made vector, standardised, and behind it whether it is there."""

    form: ClassVar = "vector"
    kind: ClassVar = MetadataKind.VECTOR
    name: str
    mean: NDArray[np.float32]
    """[N]"""
    scale: NDArray[np.float32]
    """[N] one over the standard deviation; 0 where trained items do not differ."""
    size: int = 0

    @classmethod
    def fit(cls, column: pl.Series) -> VectorField:
        """Mean and deviation of each dimension; `UselessColumnError` where all vectors are equal or missing."""
        lengths = column.list.len() if isinstance(column.dtype, pl.List) else column.arr.len()
        width: int = lengths.max() or 0  # type: ignore[assignment]
        vectors = _vectors(column, width)
        vectors = vectors[np.isfinite(vectors).all(axis=1)].astype(np.float64)
        if not len(vectors) or (vectors == vectors[0]).all():
            raise UselessColumnError("it is the same for all trained items")
        deviation = vectors.std(axis=0)
        differs = deviation > 1e-6 * deviation.max()
        scale = np.where(differs, 1 / np.where(differs, deviation, 1), 0)
        return cls(name=column.name, mean=vectors.mean(axis=0).astype(np.float32), scale=scale.astype(np.float32))

    @property
    def width(self) -> int:
        """Dimensions and one for presence."""
        return len(self.mean) + 1

    def encode(self, column: pl.Series) -> NDArray[np.float32]:
        """(x − mean) / deviation, cut at ±10, then a 1; all 0 where there is none.

        Raises `ColumnTypeError` for vectors of another length.
        """
        encoded = np.zeros((len(column), self.width), dtype=np.float32)
        if column.dtype == pl.Null:
            return encoded
        vectors = _vectors(column, len(self.mean))
        there = np.isfinite(vectors).all(axis=1)
        standard = (vectors[there] - self.mean) * self.scale
        encoded[there, :-1] = standard.clip(-_FURTHEST, _FURTHEST)
        encoded[there, -1] = 1
        return encoded

    def store(self) -> Stored:
        """Means and deviations."""
        return Stored({}, arrays={"mean": self.mean, "scale": self.scale})

    @classmethod
    def restore(cls, name: str, stored: Stored) -> VectorField:
        """The field of these means and deviations."""
        assert stored.arrays is not None
        return cls(name=name, mean=stored.arrays["mean"], scale=stored.arrays["scale"])


def _exploded(column: pl.Series) -> pl.DataFrame:
    """``row`` and ``value`` of each value that is there, each once a row; rows ascending, values in their order."""
    table = pl.DataFrame({"row": np.arange(len(column)), "value": column})
    if isinstance(column.dtype, pl.List):
        table = table.explode("value")
    return table.drop_nulls("value").unique(maintain_order=True)


def _vectors(column: pl.Series, width: int) -> NDArray[np.float32]:
    """``[V, width]``, NaN where there is none."""
    found = np.full((len(column), width), np.nan, dtype=np.float32)
    there = column.is_not_null()
    try:
        rows = column.filter(there).cast(pl.Array(pl.Float32, width))
    except pl.exceptions.PolarsError as error:
        raise ColumnTypeError(
            f"column {column.name!r}: not all vectors are {width} numbers",
            hint="give every item a vector of one length, or none",
        ) from error
    found[there.to_numpy()] = rows.to_numpy()
    return found
