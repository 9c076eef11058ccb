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


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Values in the order of their indices, which start at `FIRST_KNOWN`."""

    table: pl.DataFrame
    """Columns ``value`` and ``count`` (training events), and whatever a caller keeps beside them."""

    @classmethod
    def fit(cls, values: pl.Series, *, limit: int | None = None) -> Vocabulary:
        """The most frequent values, ties in order of value."""
        table = (
            values.drop_nulls()
            .alias("value")
            .to_frame()
            .group_by("value")
            .agg(pl.len().alias("count"))
            .sort("count", "value", descending=[True, False])
        )
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
