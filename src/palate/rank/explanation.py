"""The answer to "why this item, or why not", typed; one JSON object.

Effects are changes in log-odds, ln p / (1 - p), where p is the item's probability among the candidates of the moment:
positive where it would be less probable without what the row names.
"""

from __future__ import annotations

from pydantic import Field

from palate.config import Config


class Rule(Config):
    """One rule that decides whether an item may be recommended."""

    name: str
    """known, launch, end or seen."""
    passed: bool
    """False where it hides the item."""
    detail: str
    """What was found, in words."""


class Standing(Config):
    """Where the item stands for the member at the moment."""

    score: float
    """As `palate recommend` gives it."""
    probability: float
    """Softmax of the scores of the candidates, and of the item itself where it is none."""
    log_odds: float
    """Of that probability."""
    rank: int | None
    """Among the candidates, from 1; null where the item is none."""
    candidates: int
    """Items that may be recommended to the member at the moment."""
    rank_of_all: int
    """Among all items that the run can score, without any rule."""
    items: int
    """Those items."""
    log_odds_without_history: float
    """The same if the member had no event; what is left is what suits anybody at the moment."""


class EventEffect(Config):
    """Past events with one item, or with one group of items, left out together."""

    what: str
    """External id of the item, or of the group."""
    is_group: bool
    """Whether it is a group, of whose items the member had several."""
    title: str | None
    """Title of the item, or of the group's last one, where items have one."""
    events: int
    """How many events were left out."""
    types: dict[str, int]
    """How many of each type; empty where events have none."""
    first: int | None
    """Milliseconds of the first one; null without time."""
    last: int | None
    """Milliseconds of the last one."""
    effect: float
    """Log-odds with these events minus without."""


class IntentEffect(Config):
    """One head of the model, and what it did for the item."""

    head: str
    """Its name."""
    predicted: str
    """Its most probable class."""
    probability: float
    """Of that class."""
    own: tuple[str, ...]
    """The item's own classes for the member at the moment, where they are known before it is chosen."""
    own_probability: float | None
    """Of these together."""
    attention: float | None
    """Share of the head in the intent; null where intents don't reach the items."""
    effect: float | None
    """Log-odds with the head in the intent minus without; null where intents don't reach the items."""


class ColumnEffect(Config):
    """One column of the item's metadata."""

    column: str
    """Its name."""
    value: str | None
    """The item's value; null where unknown."""
    effect: float
    """Log-odds with the value minus with an unknown one."""


class Part(Config):
    """One summand of the item's score."""

    name: str
    """id, metadata, popularity or age."""
    value: float
    """What it adds to the score."""
    above_mean: float
    """The same, minus its mean over the candidates."""


class Age(Config):
    """How new the item is, as the model sees it; null is what it doesn't see."""

    id_share: float | None
    """The gate: how much of the score is that of the id, the rest that of metadata; null without metadata."""
    training_events: int | None
    """Training events with it, by which the gate goes; null without metadata, and where it goes by the moment."""
    days_since_launch: float | None
    """Days from its launch, or its first event, to the moment; null where unknown as well."""
    events: str | None
    """Events with it before the moment, as a bucket; those of training where there is no time."""
    demand: float | None
    """Events before the moment, each counting half after a half-life; about."""
    counted_to: int | None
    """Milliseconds up to which both are counted; null without time."""


class Explanation(Config):
    """Why an item is, or is not, recommended to a member."""

    user_id: int | str
    """The member."""
    item_id: int | str
    """The item."""
    title: str | None
    """Its title, where items have one."""
    moment: int | None
    """Milliseconds; null without time."""
    rules: tuple[Rule, ...]
    """Every rule; the item is a candidate where all are passed."""
    standing: Standing | None
    """Null where the run can't score the item."""
    events: tuple[EventEffect, ...] = Field(default=())
    """By effect, the one that spoke most for the item first."""
    intents: tuple[IntentEffect, ...] = Field(default=())
    """In the order of the heads."""
    metadata: tuple[ColumnEffect, ...] = Field(default=())
    """By effect, the highest first."""
    parts: tuple[Part, ...] = Field(default=())
    """They add up to the score."""
    age: Age | None = None
    """Null where the model sees none of it."""
    notes: tuple[str, ...] = Field(default=())
    """What could not be said, and why."""

    @property
    def hidden_by(self) -> tuple[Rule, ...]:
        """The rules that keep the item from being recommended."""
        return tuple(rule for rule in self.rules if not rule.passed)

    def to_json(self) -> str:
        """One JSON object, indented, with a line break at its end."""
        return self.model_dump_json(indent=2) + "\n"
