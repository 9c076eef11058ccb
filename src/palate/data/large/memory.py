"""How much is worked on at a time, so that the memory suffices."""

from __future__ import annotations

from typing import Final

from palate.data.large.config import PrepareConfig

_BASE: Final = 400 << 20
"""Bytes of the process itself: Python, Polars, Arrow and what their allocators keep back."""
_COPIES_OF_A_PIECE: Final = 10
"""A piece as it is read, cleaned, shaped, ordered and written, in bytes of its rows."""
_COPIES_OF_A_RANGE: Final = 8
"""A range as it is read, converted, sorted, compared and written."""


def piece_rows(row_bytes: float, config: PrepareConfig) -> int:
    """Rows of the source that each worker reads at a time."""
    return min(max(int(_share(config) / (_COPIES_OF_A_PIECE * row_bytes)), 10_000), 2_000_000)


def partitions(row_bytes: float, rows: int, config: PrepareConfig) -> int:
    """Ranges of members, so many that each worker can sort one."""
    # A row carries its place in the source, and ranges differ in size.
    needed = (row_bytes + 8) * rows * _COPIES_OF_A_RANGE * 1.25
    return min(max(int(-(-needed // _share(config))), 1), 60_000)


def _share(config: PrepareConfig) -> float:
    return max(config.memory - _BASE, config.memory / 4) / config.workers
