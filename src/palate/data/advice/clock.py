"""Whether the times are times: imports at one moment, bursts, dates without a time of day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from palate.data.advice.evidence import DAY, HOUR, SECOND, Evidence, Ints
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, moment_text, percent, row_text
from palate.words import ORDER, TIMESTAMP


def check_clock(evidence: Evidence) -> Iterator[Finding]:
    """Crowds at one moment, bursts of one member, dates for times."""
    if not evidence.dataset.has_time:
        return
    dates = list(_dates(evidence))
    yield from dates
    if not dates:
        yield from _crowd(evidence)
        yield from _bursts(evidence)


def _dates(evidence: Evidence) -> Iterator[Finding]:
    """Midnight stands out, or one time of day does on several days."""
    if evidence.events < 100:
        return
    config, clock = evidence.config, evidence.times % DAY
    hours = np.bincount(clock[clock % HOUR == 0] // HOUR, minlength=24)
    # The day with most midnights does not count: many events at one moment are an import, which is another fault.
    _, by_day = np.unique(evidence.times[clock == 0] // DAY, return_counts=True)
    hours[0] -= by_day.max(initial=0)
    midnight = float(hours[0] / evidence.events)
    usual, counts = np.unique(clock, return_counts=True)
    top = int(counts.argmax())
    share = float(counts[top] / evidence.events)
    days = len(np.unique(evidence.times[clock == usual[top]] // DAY))
    at_midnight = midnight > config.max_midnight and hours[0] > 5 * hours[1:].max()
    if not at_midnight and (share <= config.max_same_clock or days < 3):
        return
    moment = 0 if at_midnight else int(usual[top])
    shown = midnight if at_midnight else share
    row = int((clock == moment).argmax())
    yield Finding(
        code="dates_not_times",
        severity=Severity.WARNING,
        what=f"{percent(shown)} of the events are at exactly {moment_text(moment)[11:19]} UTC, so their times are "
        "probably dates.",
        table="events",
        column=TIMESTAMP,
        example=row_text(
            user_id=evidence.member_id(evidence.member[row]), timestamp=moment_text(int(evidence.times[row]))
        ),
        advice="Export the full time. Where only dates exist, add an `order` column for events of one day, and expect "
        "nothing from hours and gaps."
        if ORDER not in evidence.dataset.events.columns
        else "Export the full time if it exists; hours and gaps below a day mean nothing here.",
        measure="share of events at that time of day",
        figure=shown,
        bound="at most",
        threshold=config.max_midnight if at_midnight else config.max_same_clock,
    )


def _first_of_moment(evidence: Evidence) -> Ints:
    """Rows at which a member's next moment starts."""
    times = evidence.times
    first = np.append(True, times[1:] != times[:-1])
    first[evidence.starts] = True
    return np.flatnonzero(first)


def _crowd(evidence: Evidence) -> Iterator[Finding]:
    rows = _first_of_moment(evidence)
    moments, members = np.unique(evidence.times[rows], return_counts=True)
    usual = max(1.0, float(np.quantile(members, 0.99)))
    top = int(members.argmax())
    figure = float(members[top] / usual)
    if members[top] < 20 or figure <= evidence.config.max_crowd:
        return
    crowded = moments[(members >= 20) & (members > evidence.config.max_crowd * usual)]
    held = percent(float(np.isin(evidence.times, crowded).mean()))
    yield Finding(
        code="crowded_moments",
        severity=Severity.WARNING,
        what=f"{count(int(members[top]), 'member')} act at exactly the same moment, and "
        f"{count(len(crowded), 'moment')} like it {'holds' if len(crowded) == 1 else 'hold'} {held} of the events.",
        table="events",
        column=TIMESTAMP,
        example=row_text(timestamp=moment_text(int(moments[top])), members=int(members[top])),
        advice="That is the moment of an import, not of the actions: restore the real times, or leave these events "
        "out.",
        measure="members at one moment, in multiples of the 99th percentile",
        figure=figure,
        bound="at most",
        threshold=evidence.config.max_crowd,
    )


def _bursts(evidence: Evidence) -> Iterator[Finding]:
    config = evidence.config
    seconds = evidence.times // SECOND
    first = np.append(True, seconds[1:] != seconds[:-1])
    first[evidence.starts] = True
    rows = np.flatnonzero(first)
    sizes = np.diff(np.append(rows, evidence.events))
    bursts = sizes >= config.burst_events
    share = float(sizes[bursts].sum() / evidence.events)
    if share <= config.max_bursts:
        return
    top = int(sizes.argmax())
    members = len(np.unique(evidence.member[rows[bursts]]))
    yield Finding(
        code="bursts",
        severity=Severity.WARNING,
        what=f"{count(members, 'member')} {'has' if members == 1 else 'have'} {config.burst_events} or more events "
        f"within one second; together that is {percent(share)} of the events.",
        table="events",
        column=TIMESTAMP,
        example=row_text(
            user_id=evidence.member_id(evidence.member[rows[top]]),
            timestamp=moment_text(int(evidence.times[rows[top]])),
            events=int(sizes[top]),
        ),
        advice="Times are those of an upload or an import, so the order within a burst means nothing: log the moment "
        "of the action, or add an `order` column.",
        measure="share of events in bursts",
        figure=share,
        bound="at most",
        threshold=config.max_bursts,
    )
