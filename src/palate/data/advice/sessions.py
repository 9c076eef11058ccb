"""Whether sessions are sessions: ids that last for days or hold several members, a gap that cuts through the middle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from palate.data.advice.evidence import DAY, HOUR, MINUTE, SECOND, Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent, row_text
from palate.words import SESSION_ID, TIMESTAMP, USER_ID

_ENOUGH = 1000
_STEP = 1.25
"""Ratio of neighbouring gaps that are weighed up as a better session gap."""


def check_sessions(evidence: Evidence) -> Iterator[Finding]:
    """Stated sessions that can't be sessions; without them, a session gap where most gaps are."""
    if not evidence.dataset.has_time:
        return
    if SESSION_ID in evidence.dataset.events.columns:
        yield from _stated(evidence)
    elif evidence.has_clock:
        yield from _gap(evidence)


def _gap(evidence: Evidence) -> Iterator[Finding]:
    config = evidence.config
    gaps = np.log(evidence.gaps[(evidence.gaps > 0) & (evidence.gaps < DAY)])
    session = np.log(evidence.dataset.schema.session_gap_seconds * SECOND)
    if len(gaps) < _ENOUGH:
        return
    share = float((np.abs(gaps - session) < np.log(2)).mean())
    if share <= config.max_gaps_at_cut:
        return
    # The valley between the gaps inside sessions and those between them: fewest gaps within a factor of 1.5.
    tried = np.exp(np.arange(session, np.log(12 * HOUR), np.log(_STEP)))
    around = np.array([(np.abs(gaps - np.log(each)) < np.log(1.5)).sum() for each in tried])
    better = round(float(tried[int(around.argmin())]) / MINUTE / 5) * 300
    yield Finding(
        code="session_gap_in_a_peak",
        severity=Severity.INFO,
        what=f"{percent(share)} of the gaps below a day are within a factor of two of session_gap_seconds, so that "
        "single sessions are cut in two by chance.",
        table="events",
        column=TIMESTAMP,
        example=row_text(session_gap_seconds=evidence.dataset.schema.session_gap_seconds),
        advice=f"A gap holds the time watched too. There are fewest gaps around `session_gap_seconds: {better}` in "
        "schema.yaml; a session_id from the service is better still.",
        measure="share of gaps near the session gap",
        figure=share,
        bound="at most",
        threshold=config.max_gaps_at_cut,
    )


def _stated(evidence: Evidence) -> Iterator[Finding]:
    config = evidence.config
    sessions = (
        evidence.dataset.events.select(SESSION_ID, USER_ID, TIMESTAMP)
        .drop_nulls(SESSION_ID)
        .group_by(SESSION_ID)
        .agg(
            (pl.col(TIMESTAMP).max() - pl.col(TIMESTAMP).min()).alias("length"),
            (pl.col(USER_ID).max() != pl.col(USER_ID).min()).alias("shared"),
        )
    )
    if not sessions.height:
        return
    shared = sessions.filter(pl.col("shared")).sort(SESSION_ID)
    if shared.height:
        yield Finding(
            code="shared_sessions",
            severity=Severity.WARNING,
            what=f"{count(shared.height, 'session')} of {sessions.height:,} hold events of several members.",
            table="events",
            column=SESSION_ID,
            example=row_text(session_id=shared[SESSION_ID][0]),
            advice="Make session ids unique over members: put the user_id before the session's number.",
            measure="sessions of several members",
            figure=shared.height,
            bound="at most",
            threshold=0,
        )
    long = sessions.filter((pl.col("length") > DAY) & ~pl.col("shared")).sort("length", SESSION_ID, descending=True)
    share = long.height / sessions.height
    if share > config.max_long_sessions:
        yield Finding(
            code="sessions_over_days",
            severity=Severity.WARNING,
            what=f"{count(long.height, 'session')} ({percent(share)}) last more than 24 hours, the longest "
            f"{long['length'][0] / HOUR:,.0f} hours.",
            table="events",
            column=SESSION_ID,
            example=row_text(session_id=long[SESSION_ID][0]),
            advice="An id of a device or a login is no session: leave the column out, and sessions are cut by "
            "session_gap_seconds in schema.yaml.",
            measure="share of sessions over 24 hours",
            figure=share,
            bound="at most",
            threshold=config.max_long_sessions,
        )
