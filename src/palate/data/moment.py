"""A moment in messages."""

from __future__ import annotations

from datetime import UTC, datetime


def as_moment(milliseconds: int) -> str:
    """``2026-01-31 20:00``, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
