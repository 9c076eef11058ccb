"""Writing and reading of Parquet with bytes that depend on the content alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from palate.errors import TornFileError


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write with fixed row groups, by one thread."""
    columns = table.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    pq.write_table(columns, path, compression="zstd", row_group_size=1 << 20)


def read_table(path: Path) -> pl.DataFrame:
    """Read a table; a file that is not whole is a `TornFileError`."""
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.ComputeError, pa.ArrowException, OSError) as error:
        raise TornFileError(f"{path}: not a whole Parquet file: {error}") from error
