"""Whether the schema asks for the right thing: target types, and what becomes of seen items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from palate.data.advice.evidence import SECOND, Evidence
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import percent, row_text
from palate.data.schema import ANY_TYPE
from palate.words import EVENT_TYPE, ITEM_ID

_ENOUGH = 100


def check_targets(evidence: Evidence) -> Iterator[Finding]:
    """Seen-items policies against the repeats, and target types that are only a step to another one."""
    targets = evidence.dataset.schema.target_event_types
    typed = targets is not None and bool(evidence.kind_names)
    for name in targets if typed and targets is not None else (ANY_TYPE,):
        yield from _policy(evidence, name)
        if typed:
            yield from _step(evidence, name)


def _policy(evidence: Evidence, name: str) -> Iterator[Finding]:
    config = evidence.config
    rows = np.ones(evidence.events, np.bool_)
    if name != ANY_TYPE:
        rows = evidence.kind == evidence.kind_names.index(name)
    pairs = evidence.pair[rows]
    if len(pairs) < _ENOUGH:
        return
    share = 1 - len(np.unique(pairs)) / len(pairs)
    policy = evidence.dataset.schema.seen_policy(None if name == ANY_TYPE else name)
    events = "events" if name == ANY_TYPE else f"events of type {name}"
    if policy == "exclude" and share > config.max_refused_repeats:
        yield Finding(
            code="seen_items_refused",
            severity=Severity.WARNING,
            what=f"{percent(share)} of the {events} are on an item the member already had, but seen items are no "
            "candidates, so those targets can't be hit.",
            table="events",
            column=ITEM_ID,
            advice=f'In schema.yaml: `seen_items: {{"{name}": allow}}`.',
            measure="share of repeats",
            figure=share,
            bound="at most",
            threshold=config.max_refused_repeats,
        )
    if policy == "allow" and share < config.min_allowed_repeats:
        yield Finding(
            code="seen_items_allowed",
            severity=Severity.WARNING,
            what=f"Seen items are candidates, but only {percent(share)} of the {events} are on one.",
            table="events",
            column=ITEM_ID,
            advice=f'They take places from new ones: in schema.yaml `seen_items: {{"{name}": exclude}}`.',
            measure="share of repeats",
            figure=share,
            bound="at least",
            threshold=config.min_allowed_repeats,
        )


def _step(evidence: Evidence, name: str) -> Iterator[Finding]:
    """Nearly every event of the type is followed at once by another target type on the same item."""
    rows = np.flatnonzero(evidence.kind == evidence.kind_names.index(name))
    if len(rows) < _ENOUGH:
        return
    after = np.minimum(rows + 1, evidence.events - 1)
    followed = (evidence.pair[after] == evidence.pair[rows]) & (evidence.kind[after] != evidence.kind[rows])
    followed &= evidence.target[after]
    if evidence.has_clock:
        followed &= evidence.times[after] - evidence.times[rows] <= evidence.dataset.schema.session_gap_seconds * SECOND
    share = float(followed.mean())
    if share > evidence.config.max_step:
        row = int(rows[followed.argmax()])
        others = [each for each in evidence.dataset.schema.target_event_types or () if each != name]
        yield Finding(
            code="target_is_a_step",
            severity=Severity.WARNING,
            what=f"{percent(share)} of the events of type {name} are followed at once by another target on the same "
            "item: predicting that one is no achievement.",
            table="events",
            column=EVENT_TYPE,
            example=row_text(
                user_id=evidence.member_id(evidence.member[row]), item_id=evidence.item_id(evidence.item[row])
            ),
            advice=f"Keep {name} as input only: `target_event_types: [{', '.join(others)}]` in schema.yaml.",
            measure="share followed by another target",
            figure=share,
            bound="at most",
            threshold=evidence.config.max_step,
        )
