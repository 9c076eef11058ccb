"""The parts of a schema that follow from what members do: targets, one target a run, seen items, split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from palate.data.adjacent import run_starts
from palate.data.codes import repeats
from palate.data.fit import nearest
from palate.data.report import Findings
from palate.data.rule import SplitRule
from palate.data.schema import ANY_TYPE, Schema, SeenItems
from palate.errors import SchemaError
from palate.words import EVENT_TYPE

_REPEATS_ALLOWED: Final = 0.1
"""Share of a target type's events on an item the member already had, above which seen items stay candidates."""

_RUNS: Final = 0.2
"""Share of the target events that go on with a run, above which only the first event of a run is a target."""

_NOT_WANTED: Final = re.compile(
    r"^unknown$|impression|exposure|shown|trailer|preview|hover|scroll|search|login|logout|page_?view|dislike|thumbs?_?down|"
    r"hide|skip|remove|delete|unsubscribe|unfollow|cancel|return|refund|block|report"
)
"""Names of event types that don't say that a member wants the item."""


@dataclass(frozen=True)
class BehaviourFacts:
    """What members do, by event type (without types: by `ANY_TYPE`); the facts of groups of members add up."""

    events: Counter[str]
    repeats: Counter[str]
    """Events on an item that the member had before by an event of the same type; a trailer makes no repeat."""
    continuing: Counter[str]
    """Events that go on with a run of the same item (or group, by the schema)."""
    typed: bool

    @classmethod
    def of(cls, events: pl.DataFrame, schema: Schema, items: pl.DataFrame | None) -> BehaviourFacts:
        """The facts of sorted events, of all members or of some."""
        typed = EVENT_TYPE in events.columns
        counted: Counter[str] = Counter()
        continuing: Counter[str] = Counter()
        if typed:
            counted.update(dict(events[EVENT_TYPE].value_counts().iter_rows()))
            goes_on = events.filter(~pl.Series(run_starts(events, schema, items)))
            continuing.update(dict(goes_on[EVENT_TYPE].value_counts().iter_rows()))
        repeated: Counter[str] = Counter()
        # A schema that states targets as null has one policy for all of them.
        if typed and not ("target_event_types" in schema.model_fields_set and schema.target_event_types is None):
            for (name,), frame in events.partition_by(EVENT_TYPE, as_dict=True).items():
                repeated[str(name)] = int(repeats(frame).sum())
        else:
            repeated[ANY_TYPE] = int(repeats(events).sum())
            counted[ANY_TYPE] = events.height
            continuing[ANY_TYPE] = int((~run_starts(events, schema, items)).sum())
        return cls(counted, repeated, continuing, typed)

    def __add__(self, other: BehaviourFacts) -> BehaviourFacts:
        # The sum of two Counters would forget the zeros.
        events, repeated, continuing = Counter(self.events), Counter(self.repeats), Counter(self.continuing)
        events.update(other.events)
        repeated.update(other.repeats)
        continuing.update(other.continuing)
        return BehaviourFacts(events, repeated, continuing, self.typed)

    @property
    def types(self) -> list[str]:
        """The event types, ascending."""
        return sorted(name for name in self.events if name != ANY_TYPE) if self.typed else []

    def repeat_share(self, name: str) -> float:
        """Share of the events of a type that are repeats."""
        return self.repeats[name] / self.events[name] if self.events[name] else 0.0

    def continuing_share(self, names: Sequence[str]) -> float:
        """Share of the events of some types that go on with a run."""
        events = sum(self.events[name] for name in names)
        return sum(self.continuing[name] for name in names) / events if events else 0.0


def complete_behaviour(schema: Schema, facts: BehaviourFacts, *, has_time: bool, findings: Findings) -> Schema:
    """The schema with targets, seen-items policies and split, inferred where it doesn't state them.

    Stated event types that no event has are a `SchemaError`.
    """
    given = schema.model_fields_set
    changes: dict[str, object] = {}
    types = facts.types
    targets = schema.target_event_types
    if "target_event_types" not in given and types:
        targets = tuple(name for name in types if not _NOT_WANTED.search(name.lower())) or tuple(types)
        changes["target_event_types"] = targets
        inputs = [name for name in types if name not in targets]
        findings.note(f"targets are {', '.join(targets)}" + (f"; input only: {', '.join(inputs)}" if inputs else ""))
    _check_targets(schema.model_copy(update=changes), types)
    keys = (ANY_TYPE,) if targets is None else targets
    if "one_target_a_run" not in given and (share := facts.continuing_share(keys)) > _RUNS:
        changes["one_target_a_run"] = True
        findings.note(
            f"{share:.0%} of the target events go on with a run of events on one item: only the first event of a run "
            "is a target; to predict each of them, set one_target_a_run: false in schema.yaml"
        )
    if missing := [key for key in keys if key not in schema.seen_items and ANY_TYPE not in schema.seen_items]:
        seen: dict[str, SeenItems] = dict(schema.seen_items)
        for key in missing:
            seen[key] = "allow" if facts.repeat_share(key) > _REPEATS_ALLOWED else "exclude"
        changes["seen_items"] = seen
    if "split" not in given:
        changes["split"] = SplitRule(kind="temporal" if has_time else "leave_one_out")
    elif schema.split.kind == "temporal" and not has_time:
        raise SchemaError(
            "split is temporal, but the events have positions instead of times", hint="use kind: leave_one_out"
        )
    return schema.model_copy(update=changes)


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
