"""Packing: windows into batches, and each batch into rectangles with almost no padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from palate.config import Config
from palate.tokens.batch import Rectangle

MAX_PADDING = 0.04
"""Most padding of a rectangle, as a share of its slots."""


class PackConfig(Config):
    """What makes a batch."""

    batch_tokens: int = Field(default=1024, ge=1)
    """Most rows of a batch; a longer window is a batch by itself."""
    batch_sequences: int | None = Field(default=None, ge=1)
    """Most windows of a batch."""
    pool_batches: int = Field(default=32, ge=1)
    """Windows of about so many batches are sorted by length together, so that a batch holds like lengths."""


class Pack(NamedTuple):
    """One batch: which windows, longest first, and the rectangles that hold them."""

    windows: NDArray[np.int64]
    rectangles: tuple[Rectangle, ...]


def pack(lengths: NDArray[np.int64], config: PackConfig, rng: np.random.Generator) -> Iterator[Pack]:
    """Every window once, in random batches of like length.

    The windows are shuffled and drawn into pools; a pool is sorted by length, cut into batches, and its batches
    shuffled.
    """
    if not len(lengths):
        return
    order = rng.permutation(len(lengths))
    for pool in _pools(order, lengths, config):
        by_length = pool[np.argsort(-lengths[pool], kind="stable")]
        cuts = _cuts(lengths[by_length], config)
        batches = np.split(by_length, cuts)
        for place in rng.permutation(len(batches)):
            windows = batches[place]
            yield Pack(windows, rectangles(lengths[windows]))


def pack_in_order(lengths: NDArray[np.int64], batch_tokens: int) -> Iterator[Pack]:
    """Every window once, longest first: for reading, where order does not matter."""
    order = np.argsort(-lengths, kind="stable")
    for windows in np.split(order, _cuts(lengths[order], PackConfig(batch_tokens=batch_tokens))):
        if len(windows):
            yield Pack(windows, rectangles(lengths[windows]))


def rectangles(lengths: NDArray[np.int64], max_padding: float = MAX_PADDING) -> tuple[Rectangle, ...]:
    """Cut descending lengths into rectangles whose padding stays within ``max_padding`` of their slots.

    >>> rectangles(np.array([8, 8, 3]))
    (Rectangle(sequences=2, length=8), Rectangle(sequences=1, length=3))
    """
    found = []
    start = 0
    total = np.concatenate([[0], np.cumsum(lengths)])
    while start < len(lengths):
        height = lengths[start]
        slots = height * np.arange(1, len(lengths) - start + 1)
        padding = slots - (total[start + 1 :] - total[start])
        within = padding <= max_padding * slots
        # Padding only grows as shorter ones join, so what fits is a prefix up to the last place that fits.
        count = int(np.flatnonzero(within)[-1]) + 1
        found.append(Rectangle(count, int(height)))
        start += count
    return tuple(found)


def _pools(order: NDArray[np.int64], lengths: NDArray[np.int64], config: PackConfig) -> list[NDArray[np.int64]]:
    """Cut the shuffled windows where about ``pool_batches`` batches are full."""
    cost = lengths[order] / config.batch_tokens
    if config.batch_sequences is not None:
        cost = np.maximum(cost, 1 / config.batch_sequences)
    pool = (np.cumsum(cost) - cost) // config.pool_batches
    return np.split(order, np.flatnonzero(np.diff(pool)) + 1)


def _cuts(lengths: NDArray[np.int64], config: PackConfig) -> list[int]:
    """Where batches of descending lengths begin, but for the first."""
    cuts: list[int] = []
    start, total = 0, np.concatenate([[0], np.cumsum(lengths)])
    while True:
        stop = int(np.searchsorted(total, total[start] + config.batch_tokens, side="right")) - 1
        stop = max(stop, start + 1)
        if config.batch_sequences is not None:
            stop = min(stop, start + config.batch_sequences)
        if stop >= len(lengths):
            return cuts
        cuts.append(stop)
        start = stop
