"""Numbers that can't be right: outliers, impossible durations, ratings off their scale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from palate.data.advice.association import as_floats
from palate.data.advice.evidence import Evidence, Floats, Ints
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent, row_text
from palate.data.schema import Column, Kind
from palate.data.table import TableName
from palate.words import ITEM_ID, TIMESTAMP, USER_ID

_RATING: Final = re.compile(r"(^|_)(ratings?|stars?|score|grade)(_|$)")
_RUNTIME: Final = re.compile(r"(^|_)(runtime|running_time|length|duration)(_|$)")
_UNITS: Final = (
    (re.compile(r"(^|_)(ms|millis|milliseconds)(_|$)"), 0.001),
    (re.compile(r"(^|_)(secs?|seconds)(_|$)"), 1.0),
    (re.compile(r"(^|_)(mins?|minutes)(_|$)"), 60.0),
    (re.compile(r"(^|_)hours(_|$)"), 3600.0),
)
_TABLES: Final[tuple[TableName, ...]] = ("events", "items", "users")
_ENOUGH: Final = 100
_FARTHEST: Final = 1e12
"""Widths at which a distance is cut off, so that it stays a number."""


def check_values(evidence: Evidence) -> Iterator[Finding]:
    """Outliers of numeric columns, lonely times, durations beyond a day or a runtime, ratings off their scale."""
    for table in _TABLES:
        frame = evidence.frame(table)
        for name, column in evidence.used(table).items():
            assert frame is not None
            if _RATING.search(name) and frame[name].dtype.is_numeric():
                yield from _rating(evidence, table, frame, name)
            elif column.kind == Kind.NUMERIC:
                too_long = list(_long(evidence, frame, name, column)) if table == "events" else []
                yield from too_long or _outliers(evidence, table, frame, name)
    yield from _over_runtime(evidence)
    if evidence.dataset.has_time:
        yield from _lonely_times(evidence)


def fence(values: Floats) -> tuple[Floats, float, float]:
    """How far each value lies outside the middle 98 %, in widths of that middle, ``[len(values)]``; and its ends.

    Where the middle is not negative, the same is computed for log(1 + value), and the smaller distance counts: a long
    tail is no fault. Without a spread in the middle all distances are 0.
    """
    low, high = np.quantile(values, [0.01, 0.99])
    distance = _distance(values, low, high)
    if low >= 0:
        logs = np.log1p(np.maximum(values, 0))
        tail = _distance(logs, np.log1p(low), np.log1p(high))
        distance = np.where(values < 0, distance, np.minimum(distance, tail))
    return distance, float(low), float(high)


def _distance(values: Floats, low: float, high: float) -> Floats:
    if high <= low:
        return np.zeros_like(values)
    outside: Floats = np.maximum(np.maximum(values - high, low - values), 0.0)
    with np.errstate(over="ignore"):
        return np.minimum(outside / (high - low), _FARTHEST)


def _outliers(evidence: Evidence, table: TableName, frame: pl.DataFrame, name: str) -> Iterator[Finding]:
    rows, values = _numbers(frame[name])
    if len(values) < _ENOUGH:
        return
    distance, low, high = fence(values)
    far = distance > evidence.config.fence
    if far.any():
        top = int(distance.argmax())
        yield Finding(
            code="numeric_outliers",
            severity=Severity.WARNING,
            what=f"{count(int(far.sum()), 'value')} of {table}.{name} {'lies' if far.sum() == 1 else 'lie'} far "
            f"outside the others, of which 98 % are between {low:g} and {high:g}.",
            table=table,
            column=name,
            example=_row(frame, int(rows[top]), name),
            advice="Look for a unit or a placeholder (0, -1, 9999) in the source, and write such values as missing.",
            measure="distance from the middle 98 %, in its widths",
            figure=float(distance[top]),
            bound="at most",
            threshold=evidence.config.fence,
        )


def _long(evidence: Evidence, frame: pl.DataFrame, name: str, column: Column) -> Iterator[Finding]:
    if not column.duration:
        return
    rows, values = _numbers(frame[name])
    hours = values * (_unit(name) or 1.0) / 3600
    most = evidence.config.max_duration_hours
    long = hours > most
    if long.any():
        top = int(hours.argmax())
        yield Finding(
            code="durations_over_a_day",
            severity=Severity.WARNING,
            what=f"{count(int(long.sum()), 'event')} last longer than {most:g} hours by events.{name}.",
            table="events",
            column=name,
            example=_row(frame, int(rows[top]), name),
            advice="Check the unit (palate takes seconds unless the name says otherwise) and players that were left "
            "running: cap the value at the item's runtime in the source. If it is no duration, write `duration: "
            "false` for the column in schema.yaml.",
            measure="hours of the longest",
            figure=float(hours[top]),
            bound="at most",
            threshold=most,
        )


def _over_runtime(evidence: Evidence) -> Iterator[Finding]:
    items = evidence.dataset.items
    durations = [name for name, column in evidence.used("events").items() if column.duration]
    runtimes = [
        name for name, column in evidence.used("items").items() if column.kind == Kind.NUMERIC and _RUNTIME.search(name)
    ]
    if items is None or len(runtimes) != 1:
        return
    place, row = evidence.rows_of_items()
    runtime = np.full(len(evidence.item_ids), np.nan)
    runtime[place] = as_floats(items[runtimes[0]])[row]
    # A runtime without a unit in its name is in minutes if most are below 600; otherwise it is in seconds.
    runtime *= _unit(runtimes[0]) or (60.0 if np.nanmedian(np.append(runtime, 0.0)) < 600 else 1.0)
    for name in durations:
        rows, values = _numbers(evidence.dataset.events[name])
        longest = runtime[evidence.item[rows]]
        known = longest > 0
        if known.sum() < _ENOUGH:
            continue
        times = np.where(known, values * (_unit(name) or 1.0) / np.where(known, longest, 1.0), 0.0)
        over = times > evidence.config.over_runtime
        share = float(over.sum() / known.sum())
        if share > evidence.config.max_over_runtime:
            top = int(times.argmax())
            yield Finding(
                code="durations_over_runtime",
                severity=Severity.WARNING,
                what=f"{percent(share)} of events.{name} are more than {evidence.config.over_runtime:g} times the "
                f"item's {runtimes[0]}.",
                table="events",
                column=name,
                example=_row(evidence.dataset.events, int(rows[top]), name) + f", times the runtime {times[top]:.3g}",
                advice=f"Check the units of {name} and {runtimes[0]} (say them in the name: {name}_seconds), and "
                "whether a paused player goes on counting.",
                measure="share of durations over the runtime",
                figure=share,
                bound="at most",
                threshold=evidence.config.max_over_runtime,
            )


def _rating(evidence: Evidence, table: TableName, frame: pl.DataFrame, name: str) -> Iterator[Finding]:
    rows, values = _numbers(frame[name])
    scale, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    common = counts >= evidence.config.rare_rating * len(values)
    if len(values) < _ENOUGH or common.sum() < 2:
        return
    usual = scale[common]
    step = float(np.diff(usual).min())
    off = (scale < usual[0] - 1.5 * step) | (scale > usual[-1] + 1.5 * step)
    off &= counts * 100 < len(values)
    bad = off[which.reshape(-1)]
    if bad.any():
        first = int(rows[bad.argmax()])
        yield Finding(
            code="ratings_off_scale",
            severity=Severity.WARNING,
            what=f"{count(int(bad.sum()), 'value')} of {table}.{name} {'is' if bad.sum() == 1 else 'are'} off the "
            f"scale of the others, {usual[0]:g} to {usual[-1]:g}.",
            table=table,
            column=name,
            example=_row(frame, first, name),
            advice="Bring all ratings to one scale in the source, and write placeholders (-1, 99) as missing.",
            measure="values off the scale",
            figure=int(bad.sum()),
            bound="at most",
            threshold=0,
        )


def _lonely_times(evidence: Evidence) -> Iterator[Finding]:
    times = evidence.times.astype(np.float64)
    if len(times) < _ENOUGH:
        return
    low, high = np.quantile(times, [0.01, 0.99])
    distance = _distance(times, low, high)
    far = distance > evidence.config.fence
    if far.any():
        top = int(distance.argmax())
        yield Finding(
            code="lonely_times",
            severity=Severity.WARNING,
            what=f"{count(int(far.sum()), 'event')} {'lies' if far.sum() == 1 else 'lie'} far outside the period of "
            "the others.",
            table="events",
            column=TIMESTAMP,
            example=_row(evidence.dataset.events, top, TIMESTAMP),
            advice="A clock that was never set starts in 1970 or 2000: leave these rows out, or take the time of the "
            "server.",
            measure="distance from the middle 98 %, in its widths",
            figure=float(distance[top]),
            bound="at most",
            threshold=evidence.config.fence,
        )


def _numbers(values: pl.Series) -> tuple[Ints, Floats]:
    """Rows of a column that hold a finite number, and the numbers."""
    numbers = as_floats(values)
    rows = np.flatnonzero(np.isfinite(numbers))
    return rows, numbers[rows]


def _unit(name: str) -> float | None:
    """Seconds of one unit of a column, if its name says."""
    return next((seconds for pattern, seconds in _UNITS if pattern.search(name.lower())), None)


def _row(frame: pl.DataFrame, row: int, name: str) -> str:
    shown = [each for each in (USER_ID, ITEM_ID) if each in frame.columns]
    return row_text(**{each: frame[each][row] for each in (*shown, name)})
