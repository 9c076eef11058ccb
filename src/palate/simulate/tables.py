"""Writing and reading of Parquet with bytes that depend on the content alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from palate.errors import TornFileError

_ROWS: Final = 1 << 18
"""Rows of a row group."""


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table."""
    with TableWriter(path) as writer:
        writer.add(table)


class TableWriter:
    """Writes a table that comes in pieces; the same rows give the same bytes, however they are cut."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, table: pl.DataFrame) -> None:
        """Append some rows."""
        self._waiting.append(table)
        self._rows += table.height
        while self._rows >= _ROWS:
            joined = pl.concat(self._waiting)
            self._write(joined[:_ROWS])
            self._waiting, self._rows = [joined[_ROWS:]], joined.height - _ROWS

    def close(self) -> None:
        """Write what waits."""
        if self._waiting and (self._rows or self._writer is None):
            self._write(pl.concat(self._waiting))
        self._waiting, self._rows = [], 0
        if self._writer is not None:
            self._writer.close()

    def _write(self, table: pl.DataFrame) -> None:
        columns: pa.Table = table.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, columns.schema, compression="zstd")
        self._writer.write_table(columns, row_group_size=_ROWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()


def read_table(path: Path) -> pl.DataFrame:
    """Read a table; a file that is not whole is a `TornFileError`."""
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.ComputeError, pa.ArrowException, OSError) as error:
        raise TornFileError(f"{path}: not a whole Parquet file: {error}") from error


def shifted(table: pl.DataFrame, offsets: Iterable[tuple[str, int]]) -> pl.DataFrame:
    """The table with numbers added to columns that refer to rows of another one."""
    return table.with_columns(pl.col(name) + offset for name, offset in offsets)
