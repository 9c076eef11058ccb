"""Windows: which rows of whose history are learned from, this epoch.

A history of r rows is cut into stretches of targets at offsets that differ each epoch, so that every target counts
once an epoch and sees other contexts in other epochs. Rows before a stretch may join as context without being
targets again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from palate.config import Config


class WindowConfig(Config):
    """How long histories are cut."""

    context: int = Field(default=200, ge=1)
    """Most rows of a window."""
    overlap: int = Field(default=0, ge=0)
    """Rows of context without targets at the start of a window, where the history has them."""
    slide: int = Field(default=1, ge=1)
    """Rows by which the view of a question moves on, once the history is longer than the context: it begins at the
    first multiple of so many rows, counted in the member's history, that lies within the context. More than 1 lets
    caches live that long, for up to slide - 1 rows less to see."""
    last_only: bool = False
    """Learn only from the last window of each member: histories are truncated, as many recommenders do."""
    open_runs: float = Field(default=0.25, ge=0, le=1)
    """Share of windows whose last run before the final target is shown cut short, where runs are merged."""
    windows_per_member: int | None = Field(default=None, ge=1)
    """At most so many windows of a member an epoch, drawn in proportion to their targets; none: all."""

    @model_validator(mode="after")
    def _overlap_leaves_targets(self) -> WindowConfig:
        if self.overlap >= self.context:
            raise ValueError(f"overlap {self.overlap} leaves no targets in a context of {self.context}")
        if self.slide > self.context:
            raise ValueError(f"a view that moves on by {self.slide} rows leaves nothing of a context of {self.context}")
        return self


@dataclass(frozen=True)
class Windows:
    """Rows ``[start, stop)`` of the store, targets from ``first_target`` on; arrays of one length."""

    start: NDArray[np.int64]
    first_target: NDArray[np.int64]
    stop: NDArray[np.int64]
    tail: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    """Rows ``[tail[0], tail[1])`` of the open runs' store that follow, each of them a target where it says so."""

    def take(self, places: NDArray[np.int64]) -> Windows:
        """The windows at these places."""
        tail = None if self.tail is None else (self.tail[0][places], self.tail[1][places])
        return Windows(self.start[places], self.first_target[places], self.stop[places], tail)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each window."""
        own = self.stop - self.start
        return own if self.tail is None else own + self.tail[1] - self.tail[0]

    @property
    def number(self) -> int:
        """Number of windows."""
        return len(self.start)


def training_windows(
    begin: NDArray[np.int64], end: NDArray[np.int64], config: WindowConfig, rng: np.random.Generator
) -> Windows:
    """Windows over the histories that lie in rows ``[begin, end)``, one pair a member.

    With stride s = context - overlap and a random offset o in [0, s), a history longer than the context has the
    stretches [0, o), [o, o + s), [o + s, o + 2s), … ; a shorter one is a single window.
    """
    if config.last_only:
        begin = np.maximum(begin, end - config.context)
    length = end - begin
    stride = config.context - config.overlap
    offset = np.where(length > config.context, rng.integers(0, stride, size=len(length)), 0)
    first = np.where(offset > 0, offset, np.minimum(length, stride))
    first = np.where(length <= config.context, length, first)
    pieces = np.where(length > 0, 1 + -(-(length - first) // stride), 0)

    member = np.repeat(np.arange(len(length)), pieces)
    piece = np.arange(len(member)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    low = np.where(piece == 0, 0, first[member] + (piece - 1) * stride)
    high = np.minimum(np.where(piece == 0, first[member], low + stride), length[member])
    if config.windows_per_member is not None:
        keep = _draw(member, pieces, high - low, config.windows_per_member, rng)
        member, low, high = member[keep], low[keep], high[keep]
    start = np.maximum(low - config.overlap, 0)
    start = np.where(length[member] <= config.context, 0, start)
    return Windows(begin[member] + start, begin[member] + low, begin[member] + high)


def view_start(place: NDArray[np.int64], context: int, slide: int = 1) -> NDArray[np.int64]:
    """Where the view of a row at ``place`` of its history begins (a place, too): see `WindowConfig.slide`.

    >>> view_start(np.array([2, 3, 4, 5, 6]), context=3, slide=2)
    array([0, 2, 2, 4, 4])
    """
    return np.where(place < context, 0, -(-(place + 1 - context) // slide) * slide)


def query_windows(
    row: NDArray[np.int64], begin: NDArray[np.int64], context: int, slide: int = 1
) -> tuple[Windows, NDArray[np.int64]]:
    """Windows that answer the queries at ``row`` (ascending) of histories that begin at ``begin``.

    Each query sees the rows from its `view_start` up to its own, at most ``context`` of them. Queries of one member
    whose views begin at the same row share a window, which gives the same answers for less. Returns the windows and the
    window of each query.
    """
    start = begin + view_start(row - begin, context, slide)
    shared = np.zeros(len(row), dtype=bool)  # answered by the window of the query before it
    if len(row):
        shared[1:] = (start[1:] == start[:-1]) & (begin[1:] == begin[:-1])
    window = np.cumsum(~shared) - 1
    last = np.flatnonzero(np.append(~shared[1:], True)) if len(row) else np.zeros(0, dtype=np.int64)
    first = np.flatnonzero(~shared)
    return Windows(start[first], row[first], row[last] + 1), window


def _draw(
    member: NDArray[np.int64],
    pieces: NDArray[np.int64],
    targets: NDArray[np.int64],
    most: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Places of at most ``most`` windows a member, without replacement, by their targets (Gumbel's top-k)."""
    keys = np.log(np.maximum(targets, 1e-9)) + rng.gumbel(size=len(targets))
    order = np.lexsort((-keys, member))
    begins = np.cumsum(pieces) - pieces
    kept: NDArray[np.int64] = np.sort(order[np.arange(len(order)) - begins[member[order]] < most])
    return kept
