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
        after = _convert(before, column, table)
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


def _convert(values: pl.Series, column: Column, table: Table) -> pl.Series:
    dtype = values.dtype
    nested = isinstance(dtype, pl.List | pl.Array)
    if column.kind == Kind.NUMERIC and not nested:
        text = values.str.strip_chars() if dtype == pl.String else values
        number = text.cast(pl.Float64, strict=False)
        return number.set(~number.is_finite().fill_null(True), None)
    if column.kind == Kind.CATEGORICAL and not nested:
        if dtype == pl.Float64:
            whole = (values == values.floor()).fill_null(True).all()
            return values.cast(pl.Int64) if whole else values.cast(pl.String)
        return values if dtype == pl.Int64 else values.cast(pl.String)
    if column.kind == Kind.TEXT and not nested:
        return values.cast(pl.String)
    if column.kind == Kind.MULTI_CATEGORICAL:
        return _several_values(values, column.separator)
    if column.kind == Kind.VECTOR and nested:
        return _vectors(values)
    raise ColumnTypeError(
        f"{table.source}, column {values.name}: type {dtype} can't be {column.kind}",
        hint="correct its kind in schema.yaml",
    )


def _several_values(values: pl.Series, separator: str) -> pl.Series:
    if not isinstance(values.dtype, pl.List | pl.Array):
        values = values.cast(pl.String).str.split(separator)
    parts = values.cast(pl.List(pl.String))
    cleaned = parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))
    return cleaned.set(cleaned.list.len().fill_null(0) == 0, None) if cleaned.null_count() < len(cleaned) else cleaned


def _vectors(values: pl.Series) -> pl.Series:
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
