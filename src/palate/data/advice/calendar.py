"""Whether the log is even over days: missing days, a cliff in the volume, a last day that is cut off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from palate.data.advice.evidence import DAY, Evidence, Ints
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, day_text, moment_text, percent, row_text
from palate.words import TIMESTAMP

_ENOUGH_DAYS = 15


def check_calendar(evidence: Evidence) -> Iterator[Finding]:
    """Missing days, a step in the volume, and a partial last day; days before and after the bulk don't count."""
    if not evidence.dataset.has_time:
        return
    first, volume = daily_volume(evidence.times)
    if len(volume) < _ENOUGH_DAYS or np.median(volume) < evidence.config.min_daily_events:
        return
    yield from _missing(first, volume)
    yield from _cliff(evidence, first, volume)
    yield from _last(evidence, first, volume)


def daily_volume(times: Ints) -> tuple[int, Ints]:
    """First day (since the epoch) and events of each day from it on, ``[days]``.

    Moments that lie more than the width of the middle 98 % outside it don't stretch the period.
    """
    low, high = np.quantile(times, [0.01, 0.99])
    width = high - low
    days = times[(times >= low - width) & (times <= high + width)] // DAY
    first = int(days.min())
    return first, np.bincount(days - first).astype(np.int64)


def _missing(first: int, volume: Ints) -> Iterator[Finding]:
    empty = np.flatnonzero(volume == 0)
    if not len(empty):
        return
    weekdays = np.bincount((empty + first) % 7, minlength=7)
    if len(empty) >= 3 and weekdays.max() >= 0.8 * len(empty):
        return  # Closed on one day of the week.
    yield Finding(
        code="missing_days",
        severity=Severity.WARNING,
        what=f"{count(len(empty), 'day')} of {len(volume):,} have no event, while the median day has "
        f"{float(np.median(volume)):,.0f}.",
        table="events",
        column=TIMESTAMP,
        example=row_text(day=day_text(first + int(empty[0]))),
        advice="Export those days again; a hole shifts gaps, sessions and popularity, and a cut of the split may fall "
        "into it.",
        measure="days without an event",
        figure=len(empty),
        bound="at most",
        threshold=0,
    )


def _cliff(evidence: Evidence, first: int, volume: Ints) -> Iterator[Finding]:
    weeks = np.median(np.lib.stride_tricks.sliding_window_view(volume, 7), axis=1)
    before, after = weeks[:-7], weeks[7:]
    ratio = np.maximum((after + 1) / (before + 1), (before + 1) / (after + 1))
    # A service that starts or closes grows from nothing; only a step between two real volumes is a fault.
    ratio = np.where(np.minimum(before, after) >= 1, ratio, 0.0)
    if not len(ratio) or ratio.max() <= evidence.config.max_volume_step:
        return
    top = int(ratio.argmax())
    day = day_text(first + top + 7)
    yield Finding(
        code="volume_step",
        severity=Severity.WARNING,
        what=f"Around {day} the volume goes from {before[top]:,.0f} to {after[top]:,.0f} events a day.",
        table="events",
        column=TIMESTAMP,
        example=row_text(day=day),
        advice="Find out what changed in the logging on that day (a client, an event type, a sampling rate); if the "
        "two sides differ in kind, start the log after the change.",
        measure="ratio of the median volumes of seven days before and after",
        figure=float(ratio[top]),
        bound="at most",
        threshold=evidence.config.max_volume_step,
    )


def _last(evidence: Evidence, first: int, volume: Ints) -> Iterator[Finding]:
    share = float(volume[-1] / max(1.0, float(np.median(volume[-8:-1]))))
    if share < evidence.config.min_last_day:
        end = moment_text(int(evidence.times[evidence.times // DAY <= first + len(volume) - 1].max()))
        yield Finding(
            code="partial_last_day",
            severity=Severity.INFO,
            what=f"The last day has {percent(share)} of a usual day's events; the log ends at {end}.",
            table="events",
            column=TIMESTAMP,
            example=row_text(day=day_text(first + len(volume) - 1)),
            advice="If the export ran before the day was over, leave that day out, so that the next export starts "
            "with a whole one.",
            measure="volume of the last day, of a usual one",
            figure=share,
            bound="at least",
            threshold=evidence.config.min_last_day,
        )
