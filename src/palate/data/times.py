"""Moments of any form as Int64 milliseconds since the epoch, UTC.

Numbers are read by magnitude: below 1e11 they are seconds, below 1e14 milliseconds, below 1e17 microseconds, above
nanoseconds (each of them reaches from 1973 far into the future). The unit is the column's, that of its median.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final, Literal, cast

import numpy as np
import polars as pl

TimeUnit = Literal["s", "ms", "us", "ns"]

UNIT_NAMES: Final[dict[TimeUnit, str]] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_LIMITS: Final[tuple[tuple[TimeUnit, float], ...]] = (("s", 1e11), ("ms", 1e14), ("us", 1e17))
_UNITS: Final = cast(tuple[TimeUnit, ...], tuple(UNIT_NAMES))
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


@dataclass(frozen=True)
class MomentFacts:
    """What decides how a column of numbers or text is read; the facts of pieces add up.

    The magnitudes are four ranges of absolute values, one a unit, with how many finite numbers each holds and the
    smallest and largest of them: that is enough for the range in which the median lies.
    """

    filled: int = 0
    """Values that are not null."""
    integers: int = 0
    """Texts that are integers."""
    numbers: int = 0
    """Texts that are numbers."""
    counts: tuple[int, ...] = (0, 0, 0, 0)
    smallest: tuple[float, ...] = (math.inf,) * 4
    largest: tuple[float, ...] = (0.0,) * 4

    def __add__(self, other: MomentFacts) -> MomentFacts:
        return MomentFacts(
            filled=self.filled + other.filled,
            integers=self.integers + other.integers,
            numbers=self.numbers + other.numbers,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            smallest=tuple(map(min, self.smallest, other.smallest)),
            largest=tuple(map(max, self.largest, other.largest)),
        )

    @property
    def unit(self) -> TimeUnit:
        """The unit of the median."""
        total = sum(self.counts)
        if not total:
            return "s"
        lower, upper = self._range((total - 1) // 2), self._range(total // 2)
        if lower == upper:
            return _UNITS[lower]
        return _UNITS[_range_of((self.largest[lower] + self.smallest[upper]) / 2)]

    def _range(self, rank: int) -> int:
        return next(number for number, end in enumerate(accumulate(self.counts)) if rank < end)


@dataclass(frozen=True)
class Reading:
    """How a whole column is read, decided by `reading`."""

    form: Literal["dates", "date-times", "text dates", "numbers", "integers as text", "numbers as text"]
    unit: TimeUnit = "ms"
    read_as: str = ""
    """In words."""
    rescue: bool = False
    """Whether single numbers of another magnitude are read in their own unit."""


def is_moment_type(dtype: pl.DataType) -> bool:
    """Whether a column of this type can hold moments."""
    return dtype.is_numeric() or dtype in (pl.String, pl.Date) or isinstance(dtype, pl.Datetime)


def to_milliseconds(column: pl.Series, unit: TimeUnit | None = None, *, rescue: bool = False) -> Moments:
    """Read a column of numbers, dates, date-times or text as moments; arguments as in `reading`."""
    return read_moments(column, reading(column.dtype, moment_facts(column), unit, rescue=rescue))


def moment_facts(column: pl.Series) -> MomentFacts:
    """What decides how a column, or a piece of one, is read."""
    if isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date:
        return MomentFacts(filled=column.count())
    if column.dtype != pl.String:
        return _magnitudes(column, MomentFacts(filled=column.count()))
    text = column.str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
    facts = MomentFacts(
        filled=column.count(), integers=text.cast(pl.Int64, strict=False).count(), numbers=numbers.count()
    )
    return _magnitudes(numbers, facts)


def reading(dtype: pl.DataType, facts: MomentFacts, unit: TimeUnit | None = None, *, rescue: bool = False) -> Reading:
    """How a column of this type with these facts is read.

    ``unit`` states the unit of numbers. Without it, ``rescue`` reads single numbers of another magnitude than
    the column's median in their own unit. Date-times without a zone are UTC.
    """
    if dtype == pl.Date:
        return Reading("dates", read_as="dates")
    if isinstance(dtype, pl.Datetime):
        return Reading("date-times", read_as="date-times")
    if dtype == pl.String and not (facts.numbers and facts.numbers * 2 >= facts.filled):
        return Reading("text dates", read_as="text dates")
    found = unit or facts.unit
    read_as = f"{UNIT_NAMES[found]} ({'inferred' if unit is None else 'stated'})"
    rescue = rescue and unit is None
    if dtype != pl.String:
        return Reading("numbers", found, read_as, rescue)
    return Reading("integers as text" if facts.integers == facts.filled else "numbers as text", found, read_as, rescue)


def read_moments(column: pl.Series, reading: Reading) -> Moments:
    """Read a column, or any piece of it, as it was decided for the whole."""
    nothing = pl.repeat(False, len(column), eager=True)
    if reading.form in ("dates", "date-times"):
        values = column.cast(pl.Datetime("ms", "UTC") if _zoned(column.dtype) else pl.Datetime("ms"))
        return Moments(values.dt.epoch("ms"), reading.read_as, nothing)
    if reading.form == "text dates":
        return Moments(text_dates(column), reading.read_as, nothing)
    if reading.form == "numbers":
        return _from_numbers(column, reading)
    text = column.str.strip_chars()
    if reading.form == "integers as text":
        return _from_numbers(text.cast(pl.Int64), reading)
    numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
    moments = _from_numbers(numbers, reading)
    if numbers.null_count() == column.null_count():
        return moments
    return Moments(moments.values.fill_null(text_dates(column)), moments.read_as, moments.rescaled)


def _zoned(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_zone is not None


def _magnitudes(numbers: pl.Series, facts: MomentFacts) -> MomentFacts:
    size = _finite(numbers).cast(pl.Float64).abs().drop_nulls().to_numpy()
    number = np.searchsorted([limit for _, limit in _LIMITS], size, side="right")
    ranges = [size[number == each] for each in range(4)]
    return replace(
        facts,
        counts=tuple(len(each) for each in ranges),
        smallest=tuple(float(each.min(initial=math.inf)) for each in ranges),
        largest=tuple(float(each.max(initial=0.0)) for each in ranges),
    )


def _range_of(size: float) -> int:
    return sum(size >= limit for _, limit in _LIMITS)


def _finite(column: pl.Series) -> pl.Series:
    if column.dtype.is_integer():
        return column
    column = column.cast(pl.Float64)
    return column.set(~column.is_finite().fill_null(True), None)


def _from_numbers(column: pl.Series, reading: Reading) -> Moments:
    column = _finite(column)
    values = _scale(column, reading.unit)
    rescaled = pl.repeat(False, len(column), eager=True)
    if reading.rescue:
        size = column.cast(pl.Float64).abs()
        lower = 1e-300
        for other, upper in (*_LIMITS, ("ns", math.inf)):
            rows = ((size >= lower) & (size < upper)).fill_null(False)
            lower = upper
            if other != reading.unit and rows.any():
                values = values.zip_with(~rows, _scale(column, other))
                rescaled = rescaled | rows
    return Moments(values, reading.read_as, rescaled)


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
