"""A sample of a column that does not depend on the order or the pieces in which its rows arrive.

Every row has a fixed 64-bit hash, and the rows of the lowest hashes are kept (bottom-k sampling: Cohen and Kaplan,
"Summarizing data using bottom-k sketches", PODC 2007). Up to ``MOST`` rows the sample is everything.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import mix, stable_hash

MOST = 1 << 20


class Sample:
    """Collects the values of the rows with the lowest hashes."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._hashes: list[NDArray[np.uint64]] = []
        self._values: list[NDArray[np.float64]] = []
        self._held = 0
        self._below = np.uint64(2**64 - 1)

    def add(self, hashes: NDArray[np.uint64], values: NDArray[np.float64]) -> None:
        """Offer rows; values that are not finite are left out."""
        chosen = np.isfinite(values) & (hashes <= self._below)
        self._hashes.append(hashes[chosen])
        self._values.append(values[chosen])
        self._held += len(self._hashes[-1])
        if self._held > 2 * self._most:
            self._trim()

    def values(self) -> NDArray[np.float64]:
        """The sample, in no order."""
        self._trim()
        return self._values[0]

    def _trim(self) -> None:
        hashes = np.concatenate([np.zeros(0, np.uint64), *self._hashes])
        values = np.concatenate([np.zeros(0), *self._values])
        if len(hashes) > self._most:
            order = np.lexsort((values, hashes))[: self._most]
            hashes, values = hashes[order], values[order]
            self._below = hashes[-1]
        self._hashes, self._values, self._held = [hashes], [values], len(hashes)


def row_hashes(users: pl.Series, begin: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A hash of each row's member and place in its history, ``[n]``; ``begin`` is where each row's member begins."""
    rows = np.arange(len(begin))
    starts = np.flatnonzero(begin == rows)
    lengths = np.diff(np.append(starts, len(begin)))
    member = np.repeat(stable_hash(users.gather(starts)), lengths)
    place = (rows - begin + 1).astype(np.uint64)
    return mix(member ^ mix(place))
