"""Leaks within an event: a request-time column that knows the item, or what happened after it was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from palate.data.advice.association import agreement, as_floats, lift, rank_correlation, value_codes
from palate.data.advice.evidence import Bools, Evidence, Ints
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import percent, row_text, schema_line
from palate.data.hashing import mix
from palate.data.schema import Column, Kind, Role
from palate.words import EVENT_TYPE, GROUP_ID, ITEM_ID, TIMESTAMP

_SAMPLE: Final = 200_000
"""Events that association is judged on: those of whole members."""
_CERTAIN_AFTER: Final = 0.9
_RISING: Final = 0.999


def check_request(evidence: Evidence) -> Iterator[Finding]:
    """Columns that equal the target, come after it, or count up with time."""
    columns = {name: each for name, each in evidence.used("events").items() if each.role == Role.REQUEST_TIME}
    if columns:
        sample = _Sample.of(evidence)
        for name, column in columns.items():
            leak = next(_leaks(evidence, sample, name, column), None)
            if leak is not None:
                yield leak
    for name, column in evidence.used("events").items():
        if column.kind == Kind.NUMERIC:
            yield from _rising(evidence, name, column)


@dataclass(frozen=True)
class _Sample:
    """Rows of the events of whole members, and which of them are learned from."""

    rows: Ints
    fit: Bools

    @classmethod
    def of(cls, evidence: Evidence) -> _Sample:
        members = mix(np.arange(len(evidence.starts), dtype=np.uint64))
        kept = members % np.uint64(max(1, evidence.events // _SAMPLE)) == 0
        rows = np.flatnonzero(kept[evidence.member])
        half = (members >> np.uint64(40)) % np.uint64(2) == 0
        return cls(rows, half[evidence.member[rows]])


def _leaks(evidence: Evidence, sample: _Sample, name: str, column: Column) -> Iterator[Finding]:
    """The leaks of one column, the plainest first."""
    values = evidence.dataset.events[name].gather(sample.rows)
    if column.kind in (Kind.TEXT, Kind.VECTOR) or values.n_unique() < 2:
        return
    yield from _copies(evidence, sample, name, column, values)
    yield from _tells(evidence, sample, name, column, values)
    yield from _after(evidence, sample, name, column, values)


def _copies(evidence: Evidence, sample: _Sample, name: str, column: Column, values: pl.Series) -> Iterator[Finding]:
    """The column is the item's id, or a column of the items table."""
    if isinstance(values.dtype, pl.List | pl.Array):
        return
    figures = {ITEM_ID: agreement(values, evidence.dataset.events[ITEM_ID].gather(sample.rows))}
    items = evidence.dataset.items
    if items is not None:
        place, row = evidence.rows_of_items()
        row_of = np.full(len(evidence.item_ids), -1)
        row_of[place] = row
        rows = row_of[evidence.item[sample.rows]]
        wanted = pl.Series(np.where(rows >= 0, rows, 0))
        described = rows >= 0
        for each, field in evidence.dataset.schema.items.items():
            # Ignored columns too: codes and slugs of items are ignored as ids, and are the item all the same.
            if field.kind in (Kind.CATEGORICAL, Kind.TEXT) and not isinstance(items[each].dtype, pl.List | pl.Array):
                there = items[each].gather(wanted)
                figures[each] = agreement(values.filter(pl.Series(described)), there.filter(pl.Series(described)))
    same = max(figures, key=lambda each: figures[each])
    if figures[same] > _CERTAIN_AFTER:
        of = "the item's id" if same == ITEM_ID else f"the item's {same}"
        yield _leak(
            evidence,
            name,
            column,
            code="column_equals_target",
            severity=Severity.ERROR,
            what=f"events.{name} is {of} in nearly every event (agreement {figures[same]:.2f}), but counts as known "
            "before the item is chosen.",
            measure="Cohen's kappa",
            figure=figures[same],
            threshold=_CERTAIN_AFTER,
        )


def _tells(evidence: Evidence, sample: _Sample, name: str, column: Column, values: pl.Series) -> Iterator[Finding]:
    """The column predicts the item, or its group, for members that it was not learned from."""
    config = evidence.config
    codes = value_codes(values)
    figures = {"item": lift(codes, evidence.item[sample.rows], sample.fit)}
    items = evidence.dataset.items
    if items is not None and GROUP_ID in items.columns:
        place, row = evidence.rows_of_items()
        group = np.zeros(len(evidence.item_ids), np.int64)
        group[place] = value_codes(items[GROUP_ID])[row]
        of_events = group[evidence.item[sample.rows]]
        grouped = of_events > 0
        figures["group"] = lift(codes[grouped], of_events[grouped], sample.fit[grouped]) if grouped.any() else 0.0
    told = max(figures, key=lambda each: figures[each])
    figure = figures[told]
    if figure > config.max_item_lift:
        yield _leak(
            evidence,
            name,
            column,
            code="column_tells_target",
            severity=Severity.ERROR if figure > config.certain_lift else Severity.WARNING,
            what=f"Knowing events.{name} removes {percent(figure)} of the error in guessing the {told} of members it "
            "was not learned from: it looks like something that follows from the choice.",
            measure=f"share of the error in guessing the {told} removed",
            figure=figure,
            threshold=config.max_item_lift,
        )


def _after(evidence: Evidence, sample: _Sample, name: str, column: Column, values: pl.Series) -> Iterator[Finding]:
    """The column follows from the event type or from a post-action column."""
    events, config = evidence.dataset.events, evidence.config
    later = {each: field for each, field in evidence.used("events").items() if field.role == Role.POST_ACTION}
    codes = value_codes(values)
    figures: dict[str, tuple[float, float]] = {}
    if len(evidence.kind_names) > 1:
        figures[EVENT_TYPE] = lift(codes, evidence.kind[sample.rows], sample.fit), _CERTAIN_AFTER
    for each, field in later.items():
        there = events[each].gather(sample.rows)
        if field.kind == Kind.CATEGORICAL:
            known = there.is_not_null().to_numpy()
            if known.any():
                figure = lift(codes[known], value_codes(there)[known], sample.fit[known])
                figures[each] = figure, _CERTAIN_AFTER
        elif field.kind == Kind.NUMERIC and values.dtype.is_numeric():
            figures[each] = abs(rank_correlation(as_floats(values), as_floats(there))), config.max_correlation
    for each, (figure, most) in figures.items():
        if figure > most:
            yield _leak(
                evidence,
                name,
                column,
                code="column_known_after",
                # A page may be made for one type of event, and so be known before and give the type away.
                severity=Severity.WARNING if each == EVENT_TYPE else Severity.ERROR,
                what=f"events.{name} counts as known before the item is chosen, but goes with {each} "
                f"({figure:.2f} of 1), which is known only afterwards.",
                measure=f"association with {each}",
                figure=figure,
                threshold=most,
            )
            return


def _leak(
    evidence: Evidence,
    name: str,
    column: Column,
    *,
    code: str,
    severity: Severity,
    what: str,
    measure: str,
    figure: float,
    threshold: float,
) -> Finding:
    events = evidence.dataset.events
    row = int(events[name].is_not_null().to_numpy().argmax())
    return Finding(
        code=code,
        severity=severity,
        what=what,
        table="events",
        column=name,
        example=row_text(**{ITEM_ID: events[ITEM_ID][row], name: events[name][row]}),
        advice=f"If it is known only after the choice, write {schema_line('events', name, column, Role.POST_ACTION)}; "
        "else results on the log are far better than in service.",
        measure=measure,
        figure=figure,
        bound="at most",
        threshold=threshold,
    )


def _rising(evidence: Evidence, name: str, column: Column) -> Iterator[Finding]:
    """A number that never falls within a member and hardly stays: a counter, a clock, a row number."""
    values = as_floats(evidence.dataset.events[name])
    steps = np.diff(values)
    within = np.isfinite(steps)
    within[evidence.starts[1:] - 1] = False
    if within.sum() < 100:
        return
    steps = steps[within]
    rising, moved = float((steps >= 0).mean()), float((steps > 0).mean())
    if rising >= _RISING and moved >= 0.5:
        clock = TIMESTAMP if evidence.dataset.has_time else "position"
        yield Finding(
            code="rising_column",
            severity=Severity.WARNING,
            what=f"events.{name} never falls as a member goes on ({percent(moved)} of the steps rise), like a counter "
            "or a clock.",
            table="events",
            column=name,
            example=row_text(first=float(values[0]), second=float(values[1])),
            advice=f"Values of the future were never seen in training, and {clock} says the same: "
            f"{schema_line('events', name, column, Role.IGNORE)}.",
            measure="share of steps that don't fall",
            figure=rising,
            bound="at most",
            threshold=_RISING,
        )
