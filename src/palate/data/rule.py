"""How a log is divided, into parts and into runs; separate from the dividing, so that the schema can hold it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from palate.config import Config


class SplitRule(Config):
    """How training, validation and test are separated."""

    kind: Literal["temporal", "leave_one_out", "none"] = "temporal"
    """temporal: by two moments for all; leave_one_out: each member's last targets; none: everything trains."""
    train_share: float = Field(default=0.8, gt=0, le=1)
    """Share of the events, by time, before the first cut (temporal)."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the events, by time, between the two cuts (temporal); the rest tests."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.train_share + self.validation_share > 1 + 1e-9:
            raise ValueError("train_share and validation_share together exceed 1")
        return self


class RunRule(Config):
    """What makes neighbouring events of a member a run."""

    by: Literal["item", "group"] = "item"
    """Consecutive events on the same item, or on items of the same group_id."""
    gap_seconds: float = Field(default=1800, gt=0)
    """A longer pause between the end of an event and the next one ends a run; without timestamps nothing does."""
