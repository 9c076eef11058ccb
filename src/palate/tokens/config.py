"""Settings of the tokenizer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palate.config import Config
from palate.tokens.ages import AgeConfig
from palate.tokens.metadata import MetadataConfig


class TokenizerConfig(Config):
    """How events become tokens."""

    runs: Literal["auto", "keep", "merge", "last"] = "auto"
    """What becomes of neighbouring events that the schema calls a run. keep: a token each; merge: learned merges of
    them; last: one token that knows only the last event's outcome; auto: merge where the schema has
    ``one_target_a_run``, which merge and last need, else keep."""
    max_actions: int = Field(default=32, ge=1, le=4096)
    """Action symbols with ``runs: merge``: event types, one for those unseen in training, and learned merges of them;
    with ``runs: auto`` a log of more types has no merges."""
    least_merges: int = Field(default=20, ge=2)
    """A pair of adjacent actions that training runs hold fewer times is not merged."""
    max_categories: int = Field(default=10_000, ge=1)
    """Most frequent values that a category keeps; the others share the unknown index."""
    max_values: int = Field(default=8, ge=1)
    """Values kept of a cell with several."""
    buckets: int = Field(default=32, ge=2)
    """Quantile buckets of a number."""
    member_attributes: bool = True
    """Use the columns of the users table as request-time fields."""
    time_features: bool = True
    """Hour, weekday, month, trend and gap, where events have timestamps."""
    metadata: MetadataConfig = MetadataConfig()
    """How what is known of items is encoded."""
    ages: AgeConfig = AgeConfig()
    """How the age of items is counted."""
