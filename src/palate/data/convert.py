"""Described columns in the one type that their kind has, whatever the source had.

| kind | type |
| --- | --- |
| categorical | Int64 or String |
| multi_categorical | List(String) |
| numeric | Float64 |
| timestamp | Int64 milliseconds |
| text | String |
| vector | Array(Float32, width) |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from palate.data.clock import check_moment
from palate.data.report import Fault, Findings
from palate.data.schema import Column, Kind, Role
from palate.data.table import Table
from palate.errors import ColumnTypeError


@dataclass(frozen=True)
class NumberFacts:
    """Whether the numbers of a column are whole, which makes them categories by number; facts of pieces add up."""

    whole: bool = True

    def __add__(self, other: NumberFacts) -> NumberFacts:
        return NumberFacts(self.whole and other.whole)


def number_facts(frame: pl.DataFrame, columns: Mapping[str, Column]) -> dict[str, NumberFacts]:
    """The facts of the columns of numbers that become categories."""
    return {
        name: NumberFacts(bool(((values == values.floor()) & (values.abs() < 2**53)).fill_null(True).all()))
        for name, column in columns.items()
        if column.kind == Kind.CATEGORICAL and column.role != Role.IGNORE
        if (values := frame[name]).dtype == pl.Float64
    }


def convert_columns(
    table: Table, columns: Mapping[str, Column], facts: Mapping[str, NumberFacts], findings: Findings
) -> tuple[Table, Counter[str]]:
    """The table with every described column in its kind's type, and how many values of each are left.

    ``table`` may be a piece of a table with these ``facts``, unless a column is a vector. Ignored columns stay as they
    are. Single values that can't be read become null and are recorded. A column of a type that its kind can't be made
    of is a `ColumnTypeError`.
    """
    left: Counter[str] = Counter()
    for name, column in columns.items():
        if column.role == Role.IGNORE:
            continue
        if column.kind == Kind.TIMESTAMP:
            table = check_moment(table, name, findings)
            continue
        before = table.frame[name]
        try:
            after = _convert(before, column, facts.get(name))
        except (_ImpossibleError, pl.exceptions.PolarsError) as error:
            raise ColumnTypeError(
                f"{table.source}, column {name}: values of type {before.dtype} can't be {column.kind}, "
                f"e.g. {before.drop_nulls().head(1).to_list()}",
                hint="correct its kind in schema.yaml",
            ) from error
        lost = after.is_null() & before.is_not_null() & ~_empty(before)
        left[name] = after.count()
        findings.record(Fault.WRONG_TYPE, table, lost, name, f"not {column.kind}; read as missing")
        if column.duration:
            negative = (after < 0).fill_null(False)
            findings.record(Fault.NEGATIVE_DURATION, table, negative, name, "read as missing; the row is kept")
            after = after.set(negative, None) if negative.any() else after
        table = table.with_columns(after.alias(name))
    return table, left


def refuse_lost(table: Table, columns: Mapping[str, Column], left: Counter[str], findings: Findings) -> None:
    """Raise a `ColumnTypeError` for a column of a whole table of which no value could be read."""
    for repair in findings.repairs:
        name = repair.column or ""
        if repair.file == table.label and repair.fault == Fault.WRONG_TYPE and name in left and not left[name]:
            raise ColumnTypeError(
                f"{table.source}, column {name}: none of {repair.rows:,} values is {columns[name].kind}, "
                f"e.g. {repair.example}",
                hint="correct its kind in schema.yaml",
            )


class _ImpossibleError(Exception):
    """A type of values that a kind can't be made of."""


def _convert(values: pl.Series, column: Column, facts: NumberFacts | None) -> pl.Series:
    if column.kind == Kind.MULTI_CATEGORICAL:
        return _several_values(values, column.separator)
    if column.kind == Kind.VECTOR:
        return _vectors(values)
    if not _is_plain(values.dtype):
        raise _ImpossibleError
    if column.kind == Kind.NUMERIC:
        return _numbers(values)
    if column.kind == Kind.CATEGORICAL and values.dtype.is_numeric():
        whole = values.dtype == pl.Int64 or (facts is not None and facts.whole)
        return values.cast(pl.Int64 if whole else pl.String)
    return values.cast(pl.String)


def _is_plain(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null)


def _numbers(values: pl.Series) -> pl.Series:
    text = values.str.strip_chars() if values.dtype == pl.String else values
    number = text.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite().fill_null(True), None)


def _several_values(values: pl.Series, separator: str) -> pl.Series:
    if not isinstance(values.dtype, pl.List | pl.Array):
        if not _is_plain(values.dtype):
            raise _ImpossibleError
        values = values.cast(pl.String).str.split(separator)
    parts = values.cast(pl.List(pl.String))
    cleaned = parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))
    return cleaned.set(cleaned.list.len().fill_null(0) == 0, None) if cleaned.null_count() < len(cleaned) else cleaned


def _vectors(values: pl.Series) -> pl.Series:
    if not isinstance(values.dtype, pl.List | pl.Array) or values.null_count() == len(values):
        raise _ImpossibleError
    lists = values.cast(pl.List(pl.Float32))
    lengths = lists.list.len()
    width: int = lengths.drop_nulls().mode().max()  # type: ignore[assignment]
    usable = (lengths == width) & ~lists.list.eval(pl.element().is_null() | ~pl.element().is_finite()).list.any()
    kept = lists.to_frame().select(pl.when(usable).then(pl.col(values.name)).alias(values.name)).to_series()
    return kept.cast(pl.Array(pl.Float32, width))


def _empty(values: pl.Series) -> pl.Series:
    """Cells that hold nothing: empty lists."""
    if isinstance(values.dtype, pl.List):
        return (values.list.drop_nulls().list.len() == 0).fill_null(False)
    if values.dtype == pl.String:
        return values.str.strip_chars("| ,").str.len_bytes().fill_null(1) == 0
    return pl.repeat(False, len(values), eager=True)
