"""Settings of a conversion."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from palate.config import Config


class Format(StrEnum):
    """Foreign formats."""

    MOVIELENS = "movielens"
    PERSONALIZE = "personalize"
    RECBOLE = "recbole"


class ConvertConfig(Config):
    """How a foreign source is read."""

    format: Format | None = None
    """movielens, personalize or recbole; null: found in the files."""
    strict: bool = False
    """Repairs become errors."""
    interactions_schema: Path | None = None
    """Personalize: Avro schema of the interactions, if it does not lie beside them."""
    items_schema: Path | None = None
    """Personalize: Avro schema of the items."""
    users_schema: Path | None = None
    """Personalize: Avro schema of the users."""
    user_column: str | None = None
    """RecBole: column of the member; null: user_id, or session_id where there is none."""
    item_column: str | None = None
    """RecBole: column of the item; null: item_id."""
    time_column: str | None = None
    """RecBole: column of the time; null: timestamp."""
