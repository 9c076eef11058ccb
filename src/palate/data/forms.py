"""The few types that columns are read as: decided over all values of a column, applied to any piece of it.

``cleaned`` looks at each cell alone. `survey` gathers what decides, and what it finds in the pieces of a table adds
up to what it finds in the whole. `forms` decides, and `shaped` gives any piece the types that were decided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

MISSING: Final = ("", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "\\N")
"""Texts that stand for a missing value."""

Form = Literal["as it is", "integer", "number", "whole number", "truth value", "text"]
"""What a column becomes; a whole number is written like 3.0."""

_EXACT: Final = 2**53
"""Floats below are whole numbers without a gap."""


@dataclass(frozen=True)
class ColumnFacts:
    """What decides the type of a column; the facts of pieces add up."""

    filled: int = 0
    """Values that are not missing."""
    code: bool = False
    """A text with a leading zero or a plus sign, which a number would lose."""
    integers: bool = True
    """Every text is an integer."""
    numbers: bool = True
    """Every text is a number."""
    truth_values: bool = True
    """Every text is true or false."""
    whole: bool = True
    """Every number is whole and exact."""
    huge: bool = False
    """An unsigned number too large for Int64."""

    def __add__(self, other: ColumnFacts) -> ColumnFacts:
        return ColumnFacts(
            filled=self.filled + other.filled,
            code=self.code or other.code,
            integers=self.integers and other.integers,
            numbers=self.numbers and other.numbers,
            truth_values=self.truth_values and other.truth_values,
            whole=self.whole and other.whole,
            huge=self.huge or other.huge,
        )


def undecided(dtype: pl.DataType, *, written: bool) -> bool:
    """Whether the form of a column follows from its values; ``written``: all its values were text in a file."""
    if dtype == pl.String:
        return written
    return dtype == pl.UInt64 or dtype.is_float() or dtype.is_decimal() or isinstance(dtype, pl.Duration)


def may_miss(dtype: pl.DataType) -> bool:
    """Whether a column can hold texts that stand for a missing value."""
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)


def cleaned(frame: pl.DataFrame, within: Collection[str] | None = None) -> tuple[pl.DataFrame, dict[str, int]]:
    """The frame with nulls for missing values and with simpler types, and how many texts of each column were missing.

    ``within`` names the columns known to hold missing texts, where that is known.
    """
    changes: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if dtype.is_integer() and dtype not in (pl.Int64, pl.UInt64):
            changes.append(column.cast(pl.Int64))
        elif dtype.is_decimal() or dtype.is_float():
            changes.append(column.cast(pl.Float64).fill_nan(None))
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            changes.append(column.cast(pl.String))
        elif isinstance(dtype, pl.Duration):
            changes.append(column.dt.total_microseconds() * 1e-6)
    frame = frame.with_columns(changes)
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and (within is None or name in within)]
    if not texts:
        return frame, {}
    counts = frame.select(pl.col(texts).is_in(list(MISSING)).sum()).row(0, named=True)
    found = {name: int(count) for name, count in counts.items() if count}
    return frame.with_columns(
        pl.when(pl.col(name).is_in(list(MISSING))).then(None).otherwise(pl.col(name)).alias(name) for name in found
    ), found


def survey(frame: pl.DataFrame, *, written: bool) -> dict[str, ColumnFacts]:
    """What decides the forms of the columns of a cleaned frame."""
    return {name: _facts(frame[name]) for name, dtype in frame.schema.items() if undecided(dtype, written=written)}


def total(pieces: Iterable[Mapping[str, ColumnFacts]]) -> dict[str, ColumnFacts]:
    """The facts of a table from those of its pieces."""
    added: dict[str, ColumnFacts] = {}
    for piece in pieces:
        for name, facts in piece.items():
            added[name] = added.get(name, ColumnFacts()) + facts
    return added


def forms(schema: Mapping[str, pl.DataType], facts: Mapping[str, ColumnFacts]) -> dict[str, Form]:
    """The form of each column of a cleaned frame."""
    return {name: _form(dtype, facts[name]) if name in facts else "as it is" for name, dtype in schema.items()}


def shaped(frame: pl.DataFrame, forms: Mapping[str, Form]) -> pl.DataFrame:
    """A cleaned frame in the forms that were decided."""
    return frame.with_columns(
        _cast(pl.col(name), form).alias(name) for name, form in forms.items() if form != "as it is"
    )


def _facts(column: pl.Series) -> ColumnFacts:
    filled = column.count()
    if not filled:
        return ColumnFacts()
    if column.dtype == pl.UInt64:
        largest: int = column.max()  # type: ignore[assignment]
        return ColumnFacts(filled=filled, huge=largest >= 2**63)
    if column.dtype == pl.Float64:
        return ColumnFacts(filled=filled, whole=_whole(column))
    if column.str.contains(r"^[+-]?0\d|^\+").any():
        return ColumnFacts(filled=filled, code=True)
    number = column.cast(pl.Float64, strict=False)
    numbers = number.count() == filled
    return ColumnFacts(
        filled=filled,
        integers=numbers and column.cast(pl.Int64, strict=False).count() == filled,
        numbers=numbers,
        truth_values=not numbers and bool(column.drop_nulls().str.to_lowercase().is_in(["true", "false"]).all()),
        whole=numbers and _whole(number.fill_nan(None)),
    )


def _whole(numbers: pl.Series) -> bool:
    return bool((numbers.is_finite() & (numbers == numbers.floor()) & (numbers.abs() < _EXACT)).all())


def _form(dtype: pl.DataType, facts: ColumnFacts) -> Form:
    if dtype == pl.UInt64:
        return "text" if facts.huge else "integer"
    if not facts.filled or facts.code:
        return "as it is"
    if dtype == pl.Float64:
        return "whole number" if facts.whole else "as it is"
    if facts.numbers:
        return "integer" if facts.integers else "whole number" if facts.whole else "number"
    return "truth value" if facts.truth_values else "as it is"


def _cast(column: pl.Expr, form: Form) -> pl.Expr:
    if form == "integer":
        return column.cast(pl.Int64)
    if form == "number":
        return column.cast(pl.Float64).fill_nan(None)
    if form == "whole number":
        return column.cast(pl.Float64).fill_nan(None).cast(pl.Int64)
    if form == "truth value":
        return column.str.to_lowercase() == "true"
    return column.cast(pl.String)
