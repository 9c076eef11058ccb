"""Whether there is enough to learn from: targets, members, items, histories."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import count, percent, row_text
from palate.words import ITEM_ID, POSITION, TIMESTAMP, USER_ID


def check_volume(evidence: Evidence) -> Iterator[Finding]:
    """Too few targets, members, items; short histories; rare items; one item that dominates; no times."""
    yield from _totals(evidence)
    yield from _histories(evidence)
    yield from _items(evidence)
    if not evidence.dataset.has_time:
        yield Finding(
            code="no_times",
            severity=Severity.INFO,
            what="The events have positions but no times, so hours, gaps, ages and temporal splits are all off.",
            table="events",
            column=POSITION,
            advice=f"If the times are known anywhere, give them as {TIMESTAMP} in place of {POSITION}.",
            measure="columns of time",
            figure=0,
            bound="at least",
            threshold=1,
        )


def _totals(evidence: Evidence) -> Iterator[Finding]:
    config, targets = evidence.config, int(evidence.target.sum())
    if targets < config.min_targets:
        yield Finding(
            code="few_targets",
            severity=Severity.ERROR,
            what=f"There are only {count(targets, 'target event')}, too few to learn from.",
            table="events",
            advice="Take a longer period or more members; list more event types under target_event_types in "
            "schema.yaml; `palate data simulate` makes data to try things out on.",
            measure="target events",
            figure=targets,
            bound="at least",
            threshold=config.min_targets,
        )
    for number, least, code, column in (
        (len(evidence.lengths), config.min_members, "few_members", USER_ID),
        (len(evidence.item_ids), config.min_items, "few_items", ITEM_ID),
    ):
        if number < least:
            what = "member" if column == USER_ID else "item"
            yield Finding(
                code=code,
                severity=Severity.WARNING,
                what=f"The events are of only {count(number, what)}.",
                table="events",
                column=column,
                advice="Take more members into the log; figures of so few have wide intervals."
                if column == USER_ID
                else f"Check that {ITEM_ID} names single items, not categories; with so few items the top 10 is most "
                "of the catalogue, so judge by HR@1 and MRR.",
                measure=f"{what}s",
                figure=number,
                bound="at least",
                threshold=least,
            )


def _histories(evidence: Evidence) -> Iterator[Finding]:
    config, lengths = evidence.config, evidence.lengths
    median = float(np.median(lengths))
    if median < config.min_median_history:
        yield Finding(
            code="short_histories",
            severity=Severity.WARNING,
            what=f"Half of the members have at most {count(int(median), 'event')}, so there is little taste to read.",
            table="events",
            column=USER_ID,
            advice="Add events that say something without being targets (views, trailers, searches) as input only, "
            "or take a longer period; compare with popularity, which is hard to beat here.",
            measure="events of the median member",
            figure=median,
            bound="at least",
            threshold=config.min_median_history,
        )
    single = lengths == 1
    share = float(single.mean())
    if share > config.max_one_event_members:
        yield Finding(
            code="one_event_members",
            severity=Severity.WARNING,
            what=f"{count(int(single.sum()), 'member')} of {len(lengths):,} ({percent(share)}) have a single event, "
            "from which nothing can be predicted but popularity.",
            table="events",
            column=USER_ID,
            example=row_text(user_id=evidence.member_id(int(single.argmax()))),
            advice=f"Check whether {USER_ID} is a visit or a device and not a person, and join those of one person; "
            "otherwise read the slices by history length of `palate evaluate`, not the overall figure alone.",
            measure="share of members with one event",
            figure=share,
            bound="at most",
            threshold=config.max_one_event_members,
        )
    lonely = np.maximum.reduceat(evidence.item, evidence.starts) == np.minimum.reduceat(evidence.item, evidence.starts)
    several = lengths >= 3
    if several.sum() >= 20:
        stuck = lonely & several
        share = float(stuck.sum() / several.sum())
        if share > config.max_one_item_members:
            yield Finding(
                code="one_item_members",
                severity=Severity.WARNING,
                what=f"{count(int(stuck.sum()), 'member')} ({percent(share)} of those with at least three events) "
                "acted on one item only.",
                table="events",
                column=ITEM_ID,
                example=row_text(user_id=evidence.member_id(int(stuck.argmax())), events=int(lengths[stuck.argmax()])),
                advice="They teach repetition, not taste: `palate tokenize DATA` shows what merging their repeats "
                "saves; judge by the next different item.",
                measure="share of members with one item",
                figure=share,
                bound="at most",
                threshold=config.max_one_item_members,
            )


def _items(evidence: Evidence) -> Iterator[Finding]:
    config, counts = evidence.config, evidence.item_counts
    rare = counts < config.rare_item_events
    share = float(rare.mean())
    if share > config.max_rare_items:
        yield Finding(
            code="rare_items",
            severity=Severity.WARNING,
            what=f"{count(int(rare.sum()), 'item')} of {len(counts):,} ({percent(share)}) have fewer than "
            f"{config.rare_item_events} events, too few to be known by their id; they hold "
            f"{percent(float(counts[rare].sum() / evidence.events))} of the events.",
            table="events",
            column=ITEM_ID,
            example=row_text(item_id=evidence.item_id(int(rare.argmax())), events=int(counts[rare.argmax()])),
            advice=f"They are known by what they are: {', '.join(evidence.telling_columns)}. More such columns help "
            "most; or let item_id name the work, not the edition."
            if evidence.telling_columns
            else "Describe the items (genres, makers, text) in the items table, so that rare ones are known by what "
            "they are; or let item_id name the work, not the edition.",
            measure="share of rare items",
            figure=share,
            bound="at most",
            threshold=config.max_rare_items,
        )
    top = int(counts.argmax())
    share, most = float(counts[top] / evidence.events), max(config.max_top_item, 10 / len(counts))
    if share > most:
        yield Finding(
            code="dominating_item",
            severity=Severity.WARNING,
            what=f"One item has {count(int(counts[top]), 'event')}, {percent(share)} of all.",
            table="events",
            column=ITEM_ID,
            example=row_text(item_id=evidence.item_id(top)),
            advice="Check whether this id stands for 'none', a home page or a test item; if so, leave its rows out, "
            "since every figure would mostly measure it.",
            measure="share of events on one item",
            figure=share,
            bound="at most",
            threshold=most,
        )
