"""A vocabulary: external ids or category values, and their dense indices."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.errors import ColumnTypeError
from palate.words import FIRST_KNOWN, UNKNOWN


class Counts:
    """Counts values, part by part; with ``first`` and ``last`` also the earliest and latest moment of each."""

    def __init__(self, *, first: str | None = None, last: str | None = None) -> None:
        self._moments = {name: how for name, how in ((first, pl.Expr.min), (last, pl.Expr.max)) if name is not None}
        self._tables: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, values: pl.Series, moments: pl.Series | None = None) -> None:
        """Count a part; nulls are no values."""
        time = pl.repeat(None, len(values), dtype=pl.Int64, eager=True) if moments is None else moments
        table = pl.DataFrame({"value": values, "moment": time}) if self._moments else values.alias("value").to_frame()
        table = (
            table.drop_nulls("value")
            .group_by("value")
            .agg(pl.len().alias("count"), *(how(pl.col("moment")).alias(name) for name, how in self._moments.items()))
        )
        self._tables.append(table)
        self._rows += table.height
        if self._rows > 2 * self._tables[0].height + 1_000_000:
            self._tables = [self.table()]
            self._rows = self._tables[0].height

    def table(self) -> pl.DataFrame:
        """Columns ``value``, ``count`` and the moments; rows in no order."""
        if len(self._tables) == 1:
            return self._tables[0]
        return (
            pl.concat(self._tables)
            .group_by("value")
            .agg(pl.col("count").sum(), *(how(pl.col(name)) for name, how in self._moments.items()))
        )


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Values in the order of their indices, which start at `FIRST_KNOWN`."""

    table: pl.DataFrame
    """Columns ``value`` and ``count`` (training events), and whatever a caller keeps beside them."""

    @classmethod
    def fit(cls, values: pl.Series, *, limit: int | None = None) -> Vocabulary:
        """The most frequent values, ties in order of value."""
        counts = Counts()
        counts.add(values)
        return cls.from_counts(counts.table(), limit=limit)

    @classmethod
    def from_counts(cls, counts: pl.DataFrame, *, limit: int | None = None) -> Vocabulary:
        """The most frequent values of a table with ``value`` and ``count``, ties in order of value."""
        table = counts.sort("count", "value", descending=[True, False])
        return cls(table=table if limit is None else table.head(limit))

    @property
    def values(self) -> pl.Series:
        """The values, without the reserved indices."""
        return self.table["value"]

    @property
    def size(self) -> int:
        """Number of indices, the reserved ones included."""
        return len(self.table) + FIRST_KNOWN

    def encode(self, values: pl.Series) -> NDArray[np.int32]:
        """The index of each value; `UNKNOWN` for null and for what was not there to be learned."""
        if values.dtype == pl.Null or not len(self.table):
            return np.full(len(values), UNKNOWN, dtype=np.int32)
        if values.dtype != self.values.dtype:
            try:
                values = values.cast(self.values.dtype)
            except pl.exceptions.InvalidOperationError as error:
                raise ColumnTypeError(
                    f"column {values.name!r} holds {values.dtype}, but the run was trained on {self.values.dtype}",
                    hint="give the column the type that it had in training",
                ) from error
        index = self.table.select("value").with_row_index("index", offset=FIRST_KNOWN)
        found = values.alias("value").to_frame().join(index, on="value", how="left", maintain_order="left")
        return found["index"].fill_null(UNKNOWN).to_numpy().astype(np.int32)

    def digest(self) -> str:
        """A hash of the values and their order."""
        digest = hashlib.sha256(str(self.values.dtype).encode())
        for value in self.values:
            digest.update(f"\x00{value}".encode())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Save as Parquet."""
        self.table.with_row_index("index", offset=FIRST_KNOWN).write_parquet(path)

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Read what `write` saved."""
        return cls(table=pl.read_parquet(path).drop("index"))
