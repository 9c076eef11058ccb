"""The schema: what each column is, what is predicted, what is dropped; a file that a user corrects.

Written as ``schema.yaml`` with a comment above each part, read back the same. A schema may be partial: what it
leaves out is inferred from the tables.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Self

import yaml
from pydantic import Field, model_validator

from palate.config import Config
from palate.data.rule import RunRule, SplitRule
from palate.data.times import TimeUnit
from palate.errors import ConfigError, SchemaError

SCHEMA_VERSION: Final = 1
SCHEMA_FILE: Final = "schema.yaml"
ANY_TYPE: Final = "*"

SeenItems = Literal["exclude", "allow"]
Merge = Literal["first", "last", "sum", "max"]


class Role(StrEnum):
    """When a column is known, and of whom it speaks."""

    REQUEST_TIME = "request_time"
    POST_ACTION = "post_action"
    ITEM_METADATA = "item_metadata"
    USER_ATTRIBUTE = "user_attribute"
    IGNORE = "ignore"


class Kind(StrEnum):
    """What a column's values are."""

    CATEGORICAL = "categorical"
    MULTI_CATEGORICAL = "multi_categorical"
    NUMERIC = "numeric"
    TIMESTAMP = "timestamp"
    TEXT = "text"
    VECTOR = "vector"


class Column(Config):
    """One column of a table."""

    role: Role
    """When it is known: request_time, post_action (events), item_metadata (items), user_attribute (users), ignore."""
    kind: Kind
    """What its values are."""
    separator: str = Field(default="|", min_length=1)
    """What stands between the values of a multi_categorical cell of text."""
    duration: bool = False
    """A numeric column that can't be negative; negative values are repaired to null."""
    merge: Merge | None = None
    """What a token of several events keeps of an event column; null: first for request_time, sum for a duration, max
    for other numbers, last for the rest."""

    @model_validator(mode="after")
    def _duration_is_a_number(self) -> Self:
        if self.duration and self.kind != Kind.NUMERIC:
            raise ValueError("only a numeric column can be a duration")
        if self.merge in ("sum", "max") and self.kind != Kind.NUMERIC:
            raise ValueError(f"only numbers have a {self.merge}")
        if self.merge not in (None, "first") and self.role == Role.REQUEST_TIME:
            raise ValueError("what was known at request time is that of the first event: anything else would leak")
        return self

    @property
    def kept(self) -> Merge:
        """What a token of several events keeps of this column."""
        if self.merge is not None:
            return self.merge
        if self.role == Role.REQUEST_TIME:
            return "first"
        if self.kind == Kind.NUMERIC:
            return "sum" if self.duration else "max"
        return "last"


class Schema(Config):
    """Roles and kinds of the columns, targets, and the rules of reading."""

    version: int = SCHEMA_VERSION
    """Version of this file's form."""
    events: dict[str, Column] = Field(default={})
    """Columns of events besides the fixed ones (ids, time, event_type, event_id, session_id, impressions, order)."""
    items: dict[str, Column] = Field(default={})
    """Columns of items besides item_id, launch_time and available_until."""
    users: dict[str, Column] = Field(default={})
    """Columns of users besides user_id."""
    timestamp_unit: TimeUnit | None = None
    """Unit of numbers in events.timestamp: s, ms, us or ns; null: by magnitude."""
    target_event_types: tuple[str, ...] | None = None
    """Event types that the model learns to predict; all others are input only; null: every event is a target."""
    dropped_event_types: tuple[str, ...] = ()
    """Event types whose rows are left out of everything."""
    least_values: dict[str, float] = Field(default={})
    """Events whose number in such a column is lower are left out of everything: plays of a few seconds, say."""
    runs: RunRule = RunRule()
    """Which neighbouring events of a member belong together."""
    one_target_a_run: bool = False
    """Only the first event of a run is a target (where the run has an event of a target type): each target is then the
    next different item."""
    duplicate_events: Literal["drop", "keep"] = "drop"
    """Rows equal in every column, time included: drop all but the first, or keep them."""
    session_gap_seconds: float = Field(default=1800, gt=0)
    """A longer pause starts a new session, where there is no session_id."""
    seen_items: dict[str, SeenItems] = Field(default={})
    """Whether an item that the member has already had may be recommended, per target type ("*": no types)."""
    split: SplitRule = SplitRule()
    """How training, validation and test are separated."""

    def seen_policy(self, event_type: str | None = None) -> SeenItems:
        """The seen-items policy of a target type; without a type, "allow" where any type allows it."""
        if event_type is None:
            return "allow" if "allow" in self.seen_items.values() else "exclude"
        return self.seen_items.get(event_type, self.seen_items.get(ANY_TYPE, "exclude"))

    def columns(self, table: Literal["events", "items", "users"]) -> dict[str, Column]:
        """The columns of one table."""
        return {"events": self.events, "items": self.items, "users": self.users}[table]

    def with_role(self, table: Literal["events", "items", "users"], role: Role) -> dict[str, Kind]:
        """Names and kinds of the columns of a table that have this role, in the schema's order."""
        return {name: column.kind for name, column in self.columns(table).items() if column.role == role}

    @classmethod
    def parse(cls, content: dict[str, object], *, source: str) -> Self:
        """Validate a mapping; a `SchemaError` names ``source`` and every setting that is wrong."""
        version = content.get("version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise SchemaError(
                f"{source}: unknown schema version {version!r}",
                hint=f"this version of Palate reads version {SCHEMA_VERSION}",
            )
        try:
            return super().parse(content, source=source)
        except ConfigError as error:
            raise SchemaError(error.message, hint=error.hint) from error

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read ``schema.yaml``; what can't be read is a `SchemaError`."""
        try:
            return super().from_yaml(path)
        except ConfigError as error:
            raise SchemaError(error.message, hint=error.hint) from error

    def to_yaml(self) -> str:
        """The whole schema as YAML, a comment above each part."""
        content = self.model_dump(mode="json")
        for table in ("events", "items", "users"):
            content[table] = {
                name: column.model_dump(mode="json", exclude_defaults=True)
                for name, column in self.columns(table).items()
            }
        parts = [_HEADER]
        for name, value in content.items():
            comment = Schema.model_fields[name].description or ""
            parts.append(f"\n# {' '.join(comment.split())}\n" + _dump(name, value))
        return "".join(parts)

    def write(self, path: Path) -> None:
        """Write the schema as YAML."""
        path.write_text(self.to_yaml(), encoding="utf-8")


_HEADER: Final = (
    "# What Palate takes each column for. Correct what is wrong; lines that are left out are inferred.\n"
    "# Roles: request_time (known before the item is chosen: device, page), post_action (known only afterwards:\n"
    "# rating, duration), item_metadata, user_attribute, ignore.\n"
    "# Kinds: categorical, multi_categorical (several values in a cell), numeric, timestamp, text, vector.\n"
)


def _dump(name: str, value: object) -> str:
    if isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values()):
        lines = [f"{name}:\n"]
        for key, entry in value.items():
            flow = yaml.safe_dump(
                {key: entry}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10_000
            )
            lines.append(f"  {flow}")
        return "".join(lines)
    flow_style = isinstance(value, list)
    text: str = yaml.safe_dump(
        {name: value}, sort_keys=False, allow_unicode=True, default_flow_style=None if flow_style else False
    )
    return text
