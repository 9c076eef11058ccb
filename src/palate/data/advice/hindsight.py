"""Leaks of the tables: attributes and metadata that were computed from the whole log, its future included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from palate.data.advice.association import as_floats, rank_correlation
from palate.data.advice.evidence import DAY, Evidence, Floats, Ints
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import percent, row_text, schema_line
from palate.data.schema import Column, Kind, Role
from palate.data.table import TableName
from palate.words import AVAILABLE_UNTIL, LAUNCH_TIME, USER_ID

_ENOUGH: Final = 30
_EQUAL: Final = 0.9


def check_hindsight(evidence: Evidence) -> Iterator[Finding]:
    """Columns of users and items that count the log's events, average them, or know when they end."""
    yield from _table(evidence, "users", *evidence.rows_of_members(), evidence.lengths)
    place, row = evidence.rows_of_items()
    yield from _table(evidence, "items", place, row, evidence.item_counts)
    if len(place) >= _ENOUGH:
        yield from _averages(evidence, place, row)
    yield from _launch(evidence, place, row)


def _table(evidence: Evidence, table: TableName, place: Ints, row: Ints, counts: Ints) -> Iterator[Finding]:
    frame = evidence.frame(table)
    if frame is None or len(place) < _ENOUGH:
        return
    owner = "member" if table == "users" else "item"
    for name, column in evidence.used(table).items():
        values = frame[name]
        if values.dtype.is_numeric() and column.kind in (Kind.NUMERIC, Kind.CATEGORICAL):
            numbers = as_floats(values)[row]
            equal = float((numbers == counts[place]).mean())
            figure = abs(rank_correlation(numbers, counts[place].astype(np.float64)))
            if equal > _EQUAL or figure > evidence.config.max_correlation:
                counted = figure > evidence.config.max_correlation
                shown = int(row[int(np.isfinite(numbers).argmax())])
                yield _finding(
                    table,
                    frame,
                    name,
                    column,
                    shown,
                    code="column_counts_events",
                    severity=Severity.ERROR if equal > _EQUAL else Severity.WARNING,
                    what=f"{table}.{name} goes with how many events each {owner} has in the whole log (rank "
                    f"correlation {figure:.2f}; equal for {percent(equal)}), so it knows the future.",
                    measure="rank correlation with the count of events" if counted else "share equal to that count",
                    figure=figure if counted else equal,
                    threshold=evidence.config.max_correlation if counted else _EQUAL,
                )
        elif column.kind == Kind.TIMESTAMP and evidence.dataset.has_time:
            yield from _last_event(evidence, table, frame, name, column, place, row)
    if table == "items" and AVAILABLE_UNTIL in frame.columns and evidence.dataset.has_time:
        yield from _last_event(evidence, table, frame, AVAILABLE_UNTIL, None, place, row)


def _span(evidence: Evidence, table: TableName) -> tuple[Ints, Ints]:
    """First and last moment of each member, or of each item."""
    times = evidence.times
    if table == "users":
        return times[evidence.starts], times[np.append(evidence.starts[1:], len(times)) - 1]
    first = np.full(len(evidence.item_ids), np.iinfo(np.int64).max)
    last = np.full(len(evidence.item_ids), np.iinfo(np.int64).min)
    np.minimum.at(first, evidence.item, times)
    np.maximum.at(last, evidence.item, times)
    return first, last


def _last_event(
    evidence: Evidence,
    table: TableName,
    frame: pl.DataFrame,
    name: str,
    column: Column | None,
    place: Ints,
    row: Ints,
) -> Iterator[Finding]:
    """A date that is the day of the last event, for those whose events span more than a day."""
    first, last = _span(evidence, table)
    moment = as_floats(frame[name])[row]
    judged = np.isfinite(moment) & (last[place] // DAY > first[place] // DAY)
    if judged.sum() < _ENOUGH:
        return
    same = float((moment[judged] // DAY == last[place][judged] // DAY).mean())
    if same > evidence.config.max_same_day:
        yield _finding(
            table,
            frame,
            name,
            column,
            int(row[judged.argmax()]),
            code="column_knows_last_event",
            severity=Severity.ERROR,
            what=f"{table}.{name} is the day of the last event for {percent(same)} of the rows: it knows the future.",
            measure="share on the day of the last event",
            figure=same,
            threshold=evidence.config.max_same_day,
        )


def _averages(evidence: Evidence, place: Ints, row: Ints) -> Iterator[Finding]:
    """A number of the items that is the mean of an events column over the whole log."""
    items, events = evidence.dataset.items, evidence.dataset.events
    assert items is not None
    numeric = [
        name
        for name, column in evidence.used("items").items()
        if column.kind == Kind.NUMERIC and items[name].dtype.is_numeric()
    ]
    later = [
        name
        for name, column in evidence.used("events").items()
        if column.role == Role.POST_ACTION and events[name].dtype.is_numeric() and column.kind != Kind.VECTOR
    ]
    if not numeric:
        return
    for source in later:
        means = _means(as_floats(events[source]), evidence)[place]
        for name in numeric:
            values = as_floats(items[name])[row]
            figure = rank_correlation(values, means)
            if figure > evidence.config.max_correlation and _close(values, means):
                yield _finding(
                    "items",
                    items,
                    name,
                    evidence.used("items")[name],
                    int(row[0]),
                    code="column_averages_events",
                    severity=Severity.WARNING,
                    what=f"items.{name} is the mean of events.{source} over the whole log (rank correlation "
                    f"{figure:.2f}), so it knows the future.",
                    measure=f"rank correlation with the mean {source}",
                    figure=figure,
                    threshold=evidence.config.max_correlation,
                )


def _close(values: Floats, means: Floats) -> bool:
    """Whether most values are the means themselves: a runtime also goes with the mean time watched, but is none."""
    known = np.isfinite(values) & np.isfinite(means)
    return bool(np.median(np.abs(values - means)[known]) <= 0.2 * means[known].std())


def _means(values: Floats, evidence: Evidence) -> Floats:
    """Mean of an events column over each item with at least five values, NaN for others, ``[V]``."""
    known = np.isfinite(values)
    counts = np.bincount(evidence.item[known], minlength=len(evidence.item_ids))
    sums = np.bincount(evidence.item[known], values[known], minlength=len(evidence.item_ids))
    return np.where(counts >= 5, sums / np.maximum(counts, 1), np.nan)


def _launch(evidence: Evidence, place: Ints, row: Ints) -> Iterator[Finding]:
    items = evidence.dataset.items
    if items is None or LAUNCH_TIME not in items.columns or not evidence.dataset.has_time or len(place) < _ENOUGH:
        return
    first, _ = _span(evidence, "items")
    launch = as_floats(items[LAUNCH_TIME])[row]
    same = float((launch == first[place]).mean())
    if same > 0.5:
        yield Finding(
            code="launch_is_first_event",
            severity=Severity.WARNING,
            what=f"items.{LAUNCH_TIME} is exactly the first event of {percent(same)} of the items: it was taken from "
            "the log.",
            table="items",
            column=LAUNCH_TIME,
            example=row_text(item_id=evidence.item_id(int(place[(launch == first[place]).argmax()]))),
            advice="Give the true launch, or leave the column out: an item then counts as available just after its "
            "first event, which is not foretold.",
            measure="share of items launched at their first event",
            figure=same,
            bound="at most",
            threshold=0.5,
        )


def _finding(
    table: TableName,
    frame: pl.DataFrame,
    name: str,
    column: Column | None,
    row: int,
    *,
    code: str,
    severity: Severity,
    what: str,
    measure: str,
    figure: float,
    threshold: float,
) -> Finding:
    key = USER_ID if table == "users" else "item_id"
    ignore = "leave it out" if column is None else f"write {schema_line(table, name, column, Role.IGNORE)}"
    return Finding(
        code=code,
        severity=severity,
        what=what,
        table=table,
        column=name,
        example=row_text(**{key: frame[key][row], name: frame[name][row]}),
        advice=f"{ignore[0].upper()}{ignore[1:]}, or give the value as it stood before the training cut; palate counts "
        "events itself, up to each moment.",
        measure=measure,
        figure=figure,
        bound="at most",
        threshold=threshold,
    )
