"""A table on its way in: its frame, its role in the contract and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final, Literal

import polars as pl

TableName = Literal["events", "items", "users"]

ROW: Final = "__row__"
"""Column with the row in the source, from 0, while a table is being read."""


@dataclass(frozen=True)
class Table:
    """One of the three tables and its source (path, or the name of a frame), which every message names."""

    name: TableName
    source: str
    frame: pl.DataFrame

    @property
    def label(self) -> str:
        """The source in short, for reports: the file's name."""
        return PurePath(self.source).name

    def having(self, frame: pl.DataFrame) -> Table:
        """The same table with another frame."""
        return replace(self, frame=frame)

    def with_columns(self, *columns: pl.Series | pl.Expr) -> Table:
        """The same table with columns added or replaced."""
        return self.having(self.frame.with_columns(*columns))
