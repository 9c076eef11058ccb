"""The parts of a schema that follow from what members do: targets, seen items, split."""

from __future__ import annotations

import re
from typing import Final

from palate.data.codes import repeats
from palate.data.fit import nearest
from palate.data.report import Findings
from palate.data.rule import SplitRule
from palate.data.schema import ANY_TYPE, Schema, SeenItems
from palate.data.table import Table
from palate.errors import SchemaError
from palate.words import EVENT_TYPE, TIMESTAMP

_REPEATS_ALLOWED: Final = 0.1
"""Share of a target type's events on an item the member already had, above which seen items stay candidates."""

_NOT_WANTED: Final = re.compile(
    r"^unknown$|impression|exposure|shown|trailer|preview|hover|scroll|search|login|logout|page_?view|dislike|thumbs?_?down|"
    r"hide|skip|remove|delete|unsubscribe|unfollow|cancel|return|refund|block|report"
)
"""Names of event types that don't say that a member wants the item."""


def complete_behaviour(schema: Schema, events: Table, findings: Findings) -> Schema:
    """The schema with targets, seen-items policies and split, inferred where it doesn't state them.

    ``events`` are sorted. Stated event types that no event has are a `SchemaError`.
    """
    given = schema.model_fields_set
    changes: dict[str, object] = {}
    types = _event_types(events)
    targets = schema.target_event_types
    if "target_event_types" not in given and types:
        targets = tuple(name for name in types if not _NOT_WANTED.search(name.lower())) or tuple(types)
        changes["target_event_types"] = targets
        inputs = [name for name in types if name not in targets]
        findings.note(f"targets are {', '.join(targets)}" + (f"; input only: {', '.join(inputs)}" if inputs else ""))
    _check_targets(schema.model_copy(update=changes), types)
    keys = (ANY_TYPE,) if targets is None else targets
    if missing := [key for key in keys if key not in schema.seen_items and ANY_TYPE not in schema.seen_items]:
        shares = _repeat_shares(events, typed=targets is not None)
        seen: dict[str, SeenItems] = dict(schema.seen_items)
        for key in missing:
            seen[key] = "allow" if shares.get(key, 0.0) > _REPEATS_ALLOWED else "exclude"
        changes["seen_items"] = seen
    has_time = TIMESTAMP in events.frame.columns
    if "split" not in given:
        changes["split"] = SplitRule(kind="temporal" if has_time else "leave_one_out")
    elif schema.split.kind == "temporal" and not has_time:
        raise SchemaError(
            "split is temporal, but the events have positions instead of times", hint="use kind: leave_one_out"
        )
    return schema.model_copy(update=changes)


def _repeat_shares(events: Table, *, typed: bool) -> dict[str, float]:
    """Share of events whose member had the item before by an event of the same type; a trailer makes no repeat."""
    if not typed:
        return {ANY_TYPE: float(repeats(events.frame).mean())}  # type: ignore[arg-type]
    by_type = events.frame.partition_by(EVENT_TYPE, as_dict=True)
    return {str(name): float(repeats(frame).mean()) for (name,), frame in by_type.items()}  # type: ignore[arg-type]


def _event_types(events: Table) -> list[str]:
    if EVENT_TYPE not in events.frame.columns:
        return []
    return events.frame[EVENT_TYPE].unique().sort().to_list()


def _check_targets(schema: Schema, types: list[str]) -> None:
    targets = schema.target_event_types
    if targets is None:
        return
    if not targets:
        raise SchemaError("target_event_types is empty: there is nothing to predict", hint="null: every event")
    for name in targets:
        if name in schema.dropped_event_types:
            raise SchemaError(f"event type {name!r} is a target and dropped", hint="take it out of one of the two")
        if name not in types:
            raise SchemaError(f"target event type {name!r}: no event has it; {nearest(name, types)}")
    for name in schema.seen_items:
        if name not in (ANY_TYPE, *targets):
            raise SchemaError(f"seen_items.{name}: no such target event type; {nearest(name, targets)}")
