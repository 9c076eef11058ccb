"""Members who are probably no people: their share, pace, regularity, and hammering of one item."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from palate.data.advice.evidence import MINUTE, SECOND, Evidence, Ints
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent, row_text
from palate.words import USER_ID

_LEAVE_OUT = "Look at them; if they are no people (tests, scrapers, shared accounts), leave their rows out of events."


def check_members(evidence: Evidence) -> Iterator[Finding]:
    """Dominating members, machine-like pace and regularity, one member hammering an item."""
    yield from _dominating(evidence)
    if evidence.has_clock:
        yield from _pace(evidence)
        yield from _regular(evidence)
    yield from _hammering(evidence)


def _dominating(evidence: Evidence) -> Iterator[Finding]:
    config, lengths = evidence.config, evidence.lengths
    members, top = len(lengths), int(lengths.argmax())
    share, most = float(lengths[top] / evidence.events), max(config.max_top_member, 20 / members)
    if share > most:
        yield Finding(
            code="dominating_member",
            severity=Severity.WARNING,
            what=f"One member of {members:,} made {count(int(lengths[top]), 'event')}, {percent(share)} of all; the "
            f"median member made {float(np.median(lengths)):g}.",
            table="events",
            column=USER_ID,
            example=row_text(user_id=evidence.member_id(top), events=int(lengths[top])),
            advice=_LEAVE_OUT,
            measure="share of events by one member",
            figure=share,
            bound="at most",
            threshold=most,
        )
    if members < 1000:
        return
    busiest = np.sort(lengths)[-(members // 1000) :]
    share = float(busiest.sum() / evidence.events)
    if share > config.max_top_members:
        yield Finding(
            code="dominating_members",
            severity=Severity.WARNING,
            what=f"The busiest 0.1 % of the members ({len(busiest):,}) made {percent(share)} of the events.",
            table="events",
            column=USER_ID,
            example=row_text(user_id=evidence.member_id(top), events=int(lengths[top])),
            advice=_LEAVE_OUT,
            measure="share of events by 0.1 % of the members",
            figure=share,
            bound="at most",
            threshold=config.max_top_members,
        )


def _pace(evidence: Evidence) -> Iterator[Finding]:
    moments = _distinct(evidence, SECOND)
    minutes = _distinct(evidence, MINUTE)
    pace = np.where(moments >= 100, moments / minutes, 0.0)
    fast, top = pace > evidence.config.max_pace, int(pace.argmax())
    if fast.any():
        yield Finding(
            code="machine_pace",
            severity=Severity.WARNING,
            what=f"{count(int(fast.sum()), 'member')} with {count(int(evidence.lengths[fast].sum()), 'event')} act at "
            "a pace that no person keeps.",
            table="events",
            column=USER_ID,
            example=row_text(
                user_id=evidence.member_id(top), events=int(evidence.lengths[top]), events_a_minute=float(pace[top])
            ),
            advice=_LEAVE_OUT,
            measure="moments with an event per active minute",
            figure=float(pace[top]),
            bound="at most",
            threshold=evidence.config.max_pace,
        )


def _distinct(evidence: Evidence, unit: int) -> Ints:
    """Different units of time in which each member acted, ``[M]``."""
    units = evidence.times // unit
    first = np.append(True, units[1:] != units[:-1])
    first[evidence.starts] = True
    return np.add.reduceat(first.astype(np.int64), evidence.starts)


def _regular(evidence: Evidence) -> Iterator[Finding]:
    gaps = evidence.gaps
    positive = gaps > 0
    if not positive.any():
        return
    grain = int(gaps[positive].min())
    known = positive & (evidence.lengths > 50)[evidence.member]
    table = pl.DataFrame({"member": evidence.member[known], "gap": gaps[known]})
    limits = table.group_by("member").agg(
        pl.len(), pl.col("gap").quantile(0.9).alias("limit"), pl.col("gap").median().alias("median")
    )
    limits = limits.filter((pl.col("len") >= 50) & (pl.col("median") >= 10 * grain))
    variation = (
        table.join(limits, on="member")
        .filter(pl.col("gap") <= pl.col("limit"))
        .group_by("member")
        .agg((pl.col("gap").std() / pl.col("gap").mean()).alias("variation"), pl.col("median").first())
        .filter(pl.col("variation") < evidence.config.min_gap_variation)
        .sort("variation", "member")
    )
    if variation.height:
        member, least, median = variation.row(0)
        events = int(evidence.lengths[variation["member"].to_numpy()].sum())
        yield Finding(
            code="regular_intervals",
            severity=Severity.WARNING,
            what=f"{count(variation.height, 'member')} with {count(events, 'event')} act at regular intervals, like a "
            "timer.",
            table="events",
            column=USER_ID,
            example=row_text(user_id=evidence.member_id(member), seconds_between_events=median / SECOND),
            advice=f"{_LEAVE_OUT} If it is a heartbeat of a player, list its event type under dropped_event_types in "
            "schema.yaml.",
            measure="coefficient of variation of the gaps",
            figure=float(least),
            bound="at least",
            threshold=evidence.config.min_gap_variation,
        )


def _hammering(evidence: Evidence) -> Iterator[Finding]:
    least = evidence.config.max_pair_events
    rows = evidence.pair[(evidence.lengths >= least)[evidence.member]]
    pairs, counts = np.unique(rows, return_counts=True)
    member, item = np.divmod(pairs, len(evidence.item_ids))
    hammered = ((counts >= least) & (2 * counts >= evidence.item_counts[item])) | (counts >= 5 * least)
    if hammered.any():
        top = int(np.where(hammered, counts, 0).argmax())
        share = float(counts[hammered].sum() / evidence.events)
        yield Finding(
            code="hammered_items",
            severity=Severity.WARNING,
            what=f"{count(int(hammered.sum()), 'pair')} of a member and an item have so many events ({percent(share)} "
            "of the log) that one member makes much of the item's popularity.",
            table="events",
            column=USER_ID,
            example=row_text(
                user_id=evidence.member_id(member[top]),
                item_id=evidence.item_id(item[top]),
                events=int(counts[top]),
                all_events_of_the_item=int(evidence.item_counts[item[top]]),
            ),
            advice="If each is a heartbeat or an automatic reload, merge them into one event with a duration "
            "(`palate tokenize DATA` shows what merging saves) or leave the member out.",
            measure="events of one member on one item",
            figure=int(counts[top]),
            bound="at most",
            threshold=least,
        )
