"""Moments of any form as Int64 milliseconds since the epoch, UTC.

Numbers are read by magnitude: below 1e11 they are seconds, below 1e14 milliseconds, below 1e17 microseconds, above
nanoseconds (each of them reaches from 1973 far into the future). The unit is the column's, that of its median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

TimeUnit = Literal["s", "ms", "us", "ns"]

UNIT_NAMES: Final[dict[TimeUnit, str]] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_LIMITS: Final[tuple[tuple[TimeUnit, float], ...]] = (("s", 1e11), ("ms", 1e14), ("us", 1e17))
_LARGEST: Final = 9_000_000_000_000_000
"""Milliseconds beyond which a number is clipped, so that no conversion overflows."""

_FORMATS: Final = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d",
    "%d %b %Y",
    "%d %B %Y",
)


@dataclass(frozen=True)
class Moments:
    """A column as moments."""

    values: pl.Series
    """Int64 milliseconds; null where the source is null or can't be read."""
    read_as: str
    """The form that was found, in words."""
    rescaled: pl.Series
    """Boolean: a number of another magnitude than its column, read in its own unit."""


def is_moment_type(dtype: pl.DataType) -> bool:
    """Whether a column of this type can hold moments."""
    return dtype.is_numeric() or dtype in (pl.String, pl.Date) or isinstance(dtype, pl.Datetime)


def to_milliseconds(column: pl.Series, unit: TimeUnit | None = None, *, rescue: bool = False) -> Moments:
    """Read a column of numbers, dates, date-times or text as moments.

    ``unit`` states the unit of numbers. Without it, ``rescue`` reads single numbers of another magnitude than
    the column's median in their own unit. Date-times without a zone are UTC.
    """
    nothing = pl.repeat(False, len(column), eager=True)
    if isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date:
        values = column.cast(pl.Datetime("ms", "UTC") if _zoned(column.dtype) else pl.Datetime("ms"))
        return Moments(values.dt.epoch("ms"), "dates" if column.dtype == pl.Date else "date-times", nothing)
    if column.dtype == pl.String:
        numbers = _numbers(column)
        if numbers.null_count() < len(numbers) and numbers.count() * 2 >= column.count():
            moments = _from_numbers(numbers, unit, rescue=rescue)
            if numbers.null_count() == column.null_count():
                return moments
            dates = text_dates(column)
            return Moments(moments.values.fill_null(dates), moments.read_as, moments.rescaled)
        return Moments(text_dates(column), "text dates", nothing)
    return _from_numbers(column, unit, rescue=rescue)


def unit_by_magnitude(column: pl.Series) -> TimeUnit:
    """The unit of a numeric column, by its median."""
    median = column.cast(pl.Float64).abs().median()
    magnitude = 0.0 if median is None else float(median)  # type: ignore[arg-type]
    return next((unit for unit, limit in _LIMITS if magnitude < limit), "ns")


def _zoned(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_zone is not None


def _numbers(text: pl.Series) -> pl.Series:
    whole = text.str.strip_chars().cast(pl.Int64, strict=False)
    if whole.null_count() == text.null_count():
        return whole
    return text.str.strip_chars().cast(pl.Float64, strict=False).fill_nan(None)


def _from_numbers(column: pl.Series, unit: TimeUnit | None, *, rescue: bool) -> Moments:
    if not column.dtype.is_integer():
        column = column.cast(pl.Float64)
        column = column.set(~column.is_finite().fill_null(True), None)
    stated = unit is not None
    unit = unit or unit_by_magnitude(column)
    values = _scale(column, unit)
    rescaled = pl.repeat(False, len(column), eager=True)
    if rescue and not stated:
        size = column.cast(pl.Float64).abs()
        lower = 1e-300
        for other, upper in (*_LIMITS, ("ns", float("inf"))):
            rows = ((size >= lower) & (size < upper)).fill_null(False)
            lower = upper
            if other != unit and rows.any():
                values = values.zip_with(~rows, _scale(column, other))
                rescaled = rescaled | rows
    read_as = f"{UNIT_NAMES[unit]} ({'stated' if stated else 'inferred'})"
    return Moments(values, read_as, rescaled)


def _scale(column: pl.Series, unit: TimeUnit) -> pl.Series:
    if unit == "s":
        bound = _LARGEST // 1000
        scaled = column.clip(-bound, bound) * 1000 if column.dtype.is_float() else _bounded(column, bound) * 1000
    elif unit == "ms":
        scaled = column.clip(-_LARGEST, _LARGEST) if column.dtype.is_float() else _bounded(column, _LARGEST)
    else:
        divisor = 1_000 if unit == "us" else 1_000_000
        scaled = column / divisor if column.dtype.is_float() else _bounded(column, None) // divisor
    return scaled.round().cast(pl.Int64) if scaled.dtype.is_float() else scaled


def _bounded(column: pl.Series, bound: int | None) -> pl.Series:
    if column.dtype == pl.UInt64:
        column = column.clip(0, 2**63 - 1)
    column = column.cast(pl.Int64)
    return column if bound is None else column.clip(-bound, bound)


def text_dates(column: pl.Series) -> pl.Series:
    """Dates written as text as Int64 milliseconds; null where a text is none."""
    frame = pl.DataFrame({"text": column}).with_columns(
        pl.col("text").str.strip_chars().str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ").str.replace(r"[zZ]$", "+00:00")
    )
    text = pl.col("text")
    with_offset = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="ms", strict=False, time_zone="UTC")
    moments = [with_offset.dt.epoch("ms")]
    for pattern in _FORMATS:
        if "%H" in pattern:
            moments.append(text.str.to_datetime(pattern, time_unit="ms", strict=False).dt.epoch("ms"))
        else:
            moments.append(text.str.to_date(pattern, strict=False).cast(pl.Datetime("ms")).dt.epoch("ms"))
    return frame.select(pl.coalesce(moments).alias(column.name)).to_series()
