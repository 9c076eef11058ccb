"""How a log is prepared."""

from __future__ import annotations

import os
from typing import Final

from pydantic import Field

from palate.config import Config

DEFAULT_MEMORY: Final = 2 << 30
LEAST_MEMORY: Final = 512 << 20


def _cores() -> int:
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4)


class PrepareConfig(Config):
    """Settings of `palate.data.prepare`. None of them but ``part_rows`` changes a byte of what is written."""

    memory: int = Field(default=DEFAULT_MEMORY, ge=LEAST_MEMORY)
    """Bytes that the process may hold at its peak, the tables of items and members not counted."""
    workers: int = Field(default_factory=_cores, ge=1)
    """Pieces that are worked on at a time; more of them are smaller."""
    part_rows: int = Field(default=1_000_000, ge=1)
    """Events after which a new part begins, at the next member."""
    piece_rows: int | None = Field(default=None, ge=1)
    """Rows of the source that are read at a time; null: as many as the memory allows."""
    partitions: int | None = Field(default=None, ge=1)
    """Ranges of members that are sorted apart; null: as few as the memory allows."""
