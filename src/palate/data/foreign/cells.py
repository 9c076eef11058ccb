"""Cells of text as integers, numbers or truth values; what can't be read is counted over a whole file, then named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from palate.errors import ColumnTypeError

_HINTS: Final = {
    "a whole number": "a column with missing values may have been saved with decimals; write it without",
    "a number": "write numbers with a decimal point and without separators or units",
    "true or false": "write true or false",
    "there": "give the value, or let the format's type allow null",
}


@dataclass
class _Fault:
    rows: int
    first_row: int
    example: str


class Cells:
    """Reads the cells of one file; values that are not what they should be become null and are remembered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._row = 1
        self._faults: dict[tuple[str, str], _Fault] = {}

    def advance(self, rows: int) -> None:
        """Go on to the next batch, after one of ``rows`` rows."""
        self._row += rows

    def integers(self, text: pl.Series) -> pl.Series:
        """Int64."""
        return self._checked(text, text.str.strip_chars().cast(pl.Int64, strict=False), "a whole number")

    def numbers(self, text: pl.Series) -> pl.Series:
        """Float64; "nan" is read as missing."""
        stripped = text.str.strip_chars()
        stripped = stripped.set(stripped.str.to_lowercase() == "nan", None)
        values = stripped.cast(pl.Float64, strict=False)
        values = values.set(~values.is_finite().fill_null(True), None)
        return self._checked(stripped, values, "a number")

    def truths(self, text: pl.Series) -> pl.Series:
        """Boolean, from true and false, or 1 and 0."""
        lower = text.str.strip_chars().str.to_lowercase()
        values = lower.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None)
        return self._checked(text, values.cast(pl.Boolean).alias(text.name), "true or false")

    def required(self, text: pl.Series) -> pl.Series:
        """The same; nulls are faults."""
        self._record(text, text.is_null(), "there")
        return text

    def check(self) -> None:
        """Raise a `ColumnTypeError` that names each column with faults, how many and the first."""
        if not self._faults:
            return
        shown = [
            f"column {column}: {fault.rows:,} values are not {what}, e.g. row {fault.first_row:,}: {fault.example}"
            for (column, what), fault in self._faults.items()
        ]
        raise ColumnTypeError(f"{self._path}: {'; '.join(shown)}", hint=_HINTS[next(iter(self._faults))[1]])

    def _checked(self, text: pl.Series, values: pl.Series, what: str) -> pl.Series:
        self._record(text, values.is_null() & text.is_not_null(), what)
        return values

    def _record(self, text: pl.Series, bad: pl.Series, what: str) -> None:
        rows = int(bad.sum())
        if not rows:
            return
        fault = self._faults.get((text.name, what))
        if fault is None:
            first = int(bad.arg_true()[0])
            value = text[first]
            self._faults[text.name, what] = _Fault(rows, self._row + first, "null" if value is None else repr(value))
        else:
            fault.rows += rows
