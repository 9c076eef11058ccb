"""What commands that answer for members share: the moment they are asked for, and where the table goes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import polars as pl

from palate.data.table import TableName
from palate.errors import ConfigError


def check_out(out: Path | None, data: Path, *, folder: bool = False) -> None:
    """Refuse a file whose ending says nothing, or that is a table of the data folder; without ending it is a
    ``folder``, where that is possible."""
    if out is None or (folder and not out.suffix):
        return
    if out.suffix not in (".parquet", ".csv"):
        raise ConfigError(
            f"--out {out}: unknown ending",
            hint="use .parquet or .csv" + (", or no ending for a folder" if folder else ""),
        )
    if out.stem in get_args(TableName) and out.resolve().parent == data.resolve():
        raise ConfigError(f"--out {out}: is a table of {data}", hint="name another file")


def write_table(table: pl.DataFrame, out: Path) -> None:
    """Write Parquet or CSV, by the ending."""
    out.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(out) if out.suffix == ".parquet" else table.write_csv(out)


def milliseconds(moment: str | None) -> int | None:
    """The moment that was typed after --at; without a zone it is UTC."""
    if moment is None:
        return None
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise ConfigError(f"--at {moment}: not a time", hint="for example 2026-01-31T20:00") from error
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
