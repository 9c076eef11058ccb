"""Numbers on a grid, and draws: what makes equal settings give equal bytes on any number of threads.

All vectors that enter a utility are multiples of 1/128. A product of two is then a multiple of 2⁻¹⁴, and as long
as the sum of their sizes stays under 1,024, float32 holds every partial sum exactly. The inner products are
therefore the same in whatever order a matrix library adds them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GRID: Final = 128
"""Steps of the grid in a unit of utility."""
_TILE: Final = 64
_ONE_THREAD: Final = 1 << 18
"""Multiplications up to which OpenBLAS takes one thread."""


def on_grid(values: ArrayLike) -> Floats:
    """The nearest multiples of 1/128, as float32."""
    given = np.asarray(values)
    exact = given if given.dtype == np.float32 else given.astype(np.float64)  # times a power of two: exact in either
    return np.asarray(np.rint(exact * GRID) / GRID, dtype=np.float32)


def unit(vectors: NDArray[Any]) -> Doubles:
    """Vectors of length one along the last axis; the null vector stays."""
    # A plain sum, not a BLAS norm: its order is fixed.
    length = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=-1, keepdims=True))
    return np.asarray(vectors / np.where(length == 0, 1.0, length), dtype=np.float64)


def products(left: Floats, right: Floats) -> Floats:
    """Inner products [N, C] of ``left [N, K]`` and ``right [K, C]``, exact where both are on the grid.

    In products so small that a matrix library makes them with one thread: its threads wait for each other actively,
    which made thousands of them ten times slower on a machine that had other work.
    """
    (N, K), C = left.shape, right.shape[1]
    if not N:
        return np.empty((0, C), dtype=np.float32)
    high = min(_TILE, N)
    wide = max(1, min(C, _ONE_THREAD // (K * high)))
    padded = np.zeros((-(-N // high), high, K), dtype=np.float32)
    padded.reshape(-1, K)[:N] = left
    result = np.empty((len(padded) * high, C), dtype=np.float32)
    whole = C // wide * wide
    tiles = right[:, :whole].reshape(K, -1, wide).transpose(1, 0, 2)
    out = result[:, :whole].reshape(len(padded), high, -1, wide).transpose(0, 2, 1, 3)
    np.matmul(padded[:, None], tiles, out=out)
    if whole < C:
        np.matmul(padded, right[:, whole:], out=result.reshape(len(padded), high, C)[:, :, whole:])
    return result[:N]


def batched_products(left: Doubles, right: Doubles) -> Doubles:
    """Products [N, K, C] of ``left [N, K, A]`` and ``right [N, A, C]``, each by one thread, as in `products`."""
    N, K, A = left.shape
    C = right.shape[2]
    high = max((rows for rows in range(1, K + 1) if K % rows == 0 and rows * A * C <= _ONE_THREAD), default=1)
    tiles = np.matmul(left.reshape(N, K // high, high, A), right[:, None])
    return np.asarray(tiles.reshape(N, K, C))


def mix(weights: NDArray[Any], vectors: NDArray[Any]) -> Doubles:
    """``weights [N, C] @ vectors [C, D]`` summed in a fixed order, for the few products off the grid."""
    total = np.zeros((len(weights), vectors.shape[1]))
    for column in range(vectors.shape[0]):
        total += weights[:, column, None] * vectors[column]
    return total


def softmax(logits: NDArray[Any]) -> Doubles:
    """Probabilities along the last axis."""
    weights = np.exp(np.asarray(logits, dtype=np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def draw(weights: NDArray[Any], uniform: Doubles) -> Ints:
    """One column a row, with probability in proportion to its weight, by inverting the cumulative sum.

    ``weights [N, C]`` ≥ 0, ``uniform [N]`` in [0, 1). A row without any weight gives -1.
    """
    chosen = Cumulative(weights).draw(np.arange(len(weights)), uniform[:, None])[:, 0]
    return np.where(np.asarray(weights, dtype=np.float64).sum(axis=1) > 0, chosen, -1)


class Cumulative:
    """Rows of weights, to be drawn from many times; every row has some weight."""

    def __init__(self, weights: NDArray[Any]) -> None:
        """``weights [R, C]`` ≥ 0."""
        self._columns = weights.shape[1]
        # One ascending line: row r lies between the ends of rows r - 1 and r.
        self._flat = np.array(weights, dtype=np.float64).ravel()
        np.cumsum(self._flat, out=self._flat)
        self._ends = self._flat[self._columns - 1 :: self._columns]
        self._before = np.concatenate([np.zeros(1), self._ends[:-1]])

    def draw(self, row: Ints, uniform: NDArray[Any]) -> Ints:
        """Independent draws ``[N, k]``: number n makes its k draws from row ``row[n]``."""
        before, end = self._before[row, None], self._ends[row, None]
        level = np.minimum(before + uniform * (end - before), np.nextafter(end, 0))
        place = np.searchsorted(self._flat, level.ravel(), side="right").reshape(level.shape)
        return np.asarray((place - self._columns * row[:, None]).clip(0, self._columns - 1))


def segment_starts(lengths: Ints) -> Ints:
    """Where each of consecutive segments starts."""
    return np.asarray(lengths.cumsum() - lengths)


def within(lengths: Ints) -> Ints:
    """Number of each element within its segment, of consecutive segments of these lengths."""
    return np.asarray(np.arange(int(lengths.sum())) - np.repeat(segment_starts(lengths), lengths))
