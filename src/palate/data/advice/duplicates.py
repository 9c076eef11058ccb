"""Events that say the same again: sent twice within seconds, or one action cut into a run of events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from palate.data.advice.evidence import SECOND, Bools, Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent, row_text
from palate.words import ITEM_ID, TIMESTAMP

_LONG_RUNS = 0.5
"""Share of events that follow themselves, from which it is a warning."""


def check_duplicates(evidence: Evidence) -> Iterator[Finding]:
    """Near-duplicates, and runs of events on the same item."""
    close = np.zeros(evidence.events, np.bool_)
    if evidence.has_clock:
        close = _close(evidence, 1) | _close(evidence, 2)
        yield from _near_duplicates(evidence, close)
    yield from _runs(evidence, close)


def _close(evidence: Evidence, back: int) -> Bools:
    """Events with the same member, item and type as the one ``back`` rows before, within the gap, ``[E]``."""
    if evidence.events <= back:
        return np.zeros(evidence.events, np.bool_)
    pair, kind, times = evidence.pair, evidence.kind, evidence.times
    same = (pair[back:] == pair[:-back]) & (kind[back:] == kind[:-back])
    same &= times[back:] - times[:-back] <= evidence.config.near_duplicate_seconds * SECOND
    return np.concatenate([np.zeros(back, np.bool_), same])


def _near_duplicates(evidence: Evidence, close: Bools) -> Iterator[Finding]:
    config, share = evidence.config, float(close.mean())
    if share <= config.max_near_duplicates:
        return
    row = int(close.argmax())
    again = "the same item" + (" by the same event type" if evidence.kind_names else "")
    yield Finding(
        code="near_duplicates",
        severity=Severity.WARNING,
        what=f"{count(int(close.sum()), 'event')} ({percent(share)}) repeat a member's event on {again} within "
        f"{config.near_duplicate_seconds:g} seconds.",
        table="events",
        column=TIMESTAMP,
        example=row_text(
            user_id=evidence.member_id(evidence.member[row]),
            item_id=evidence.item_id(evidence.item[row]),
            timestamp=int(evidence.times[row]),
        ),
        advice="They are probably sent twice: give each event an event_id when it is made (a second delivery is then "
        "dropped), or keep the first of each in the source.",
        measure="share of near-duplicates",
        figure=share,
        bound="at most",
        threshold=config.max_near_duplicates,
    )


def _runs(evidence: Evidence, close: Bools) -> Iterator[Finding]:
    """Runs among the events that are no near-duplicates: those are another fault."""
    kept = ~close
    share = float((evidence.follows_itself & kept).sum() / max(1, kept.sum()))
    if share <= evidence.config.max_runs:
        return
    row = int((evidence.follows_itself & kept).argmax())
    yield Finding(
        code="runs_of_one_item",
        severity=Severity.WARNING if share > _LONG_RUNS else Severity.INFO,
        what=f"{percent(share)} of the events are on the same item as the member's event before.",
        table="events",
        column=ITEM_ID,
        example=row_text(
            user_id=evidence.member_id(evidence.member[row]), item_id=evidence.item_id(evidence.item[row])
        ),
        advice="`palate tokenize DATA` shows what merging such runs into one token saves"
        + (
            "."
            if evidence.dataset.schema.one_target_a_run
            else "; `one_target_a_run: true` in schema.yaml makes the next different item the target, since repeating "
            "the last one would look good otherwise."
        ),
        measure="share of adjacent repeats",
        figure=share,
        bound="at most",
        threshold=evidence.config.max_runs,
    )
