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

import polars as pl

from palate.data.clock import check_moment
from palate.data.report import Fault, Findings
from palate.data.schema import Column, Kind, Role
from palate.data.table import Table
from palate.errors import ColumnTypeError


def convert_columns(table: Table, columns: dict[str, Column], findings: Findings) -> Table:
    """The table with every described column in its kind's type; ignored columns stay as they are.

    Single values that can't be read become null and are recorded; a column of which no value can be read is a
    `ColumnTypeError`.
    """
    for name, column in columns.items():
        if column.role == Role.IGNORE:
            continue
        if column.kind == Kind.TIMESTAMP:
            table = check_moment(table, name, findings)
            continue
        before = table.frame[name]
        try:
            after = _convert(before, column)
        except (_ImpossibleError, pl.exceptions.PolarsError) as error:
            raise ColumnTypeError(
                f"{table.source}, column {name}: values of type {before.dtype} can't be {column.kind}, "
                f"e.g. {before.drop_nulls().head(1).to_list()}",
                hint="correct its kind in schema.yaml",
            ) from error
        lost = after.is_null() & before.is_not_null() & ~_empty(before)
        if lost.any() and after.null_count() == len(after):
            raise ColumnTypeError(
                f"{table.source}, column {name}: none of {int(lost.sum()):,} values is {column.kind}, "
                f"e.g. {before.filter(lost)[0]!r}",
                hint="correct its kind in schema.yaml",
            )
        findings.record(Fault.WRONG_TYPE, table, lost, name, f"not {column.kind}; read as missing")
        if column.duration:
            negative = (after < 0).fill_null(False)
            findings.record(Fault.NEGATIVE_DURATION, table, negative, name, "read as missing; the row is kept")
            after = after.set(negative, None) if negative.any() else after
        table = table.with_columns(after.alias(name))
    return table


class _ImpossibleError(Exception):
    """A type of values that a kind can't be made of."""


def _convert(values: pl.Series, column: Column) -> pl.Series:
    if column.kind == Kind.MULTI_CATEGORICAL:
        return _several_values(values, column.separator)
    if column.kind == Kind.VECTOR:
        return _vectors(values)
    if not _is_plain(values.dtype):
        raise _ImpossibleError
    if column.kind == Kind.NUMERIC:
        return _numbers(values)
    if column.kind == Kind.CATEGORICAL and values.dtype.is_numeric():
        return _categories(values)
    return values.cast(pl.String)


def _is_plain(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null)


def _numbers(values: pl.Series) -> pl.Series:
    text = values.str.strip_chars() if values.dtype == pl.String else values
    number = text.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite().fill_null(True), None)


def _categories(values: pl.Series) -> pl.Series:
    """Numbers as Int64 where all are whole, as text otherwise."""
    whole = values.dtype == pl.Int64 or (values == values.floor()).fill_null(True).all()
    return values.cast(pl.Int64 if whole else pl.String)


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
