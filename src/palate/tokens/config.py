"""Settings of the tokenizer."""

from __future__ import annotations

from pydantic import Field

from palate.config import Config


class TokenizerConfig(Config):
    """How events become tokens."""

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
