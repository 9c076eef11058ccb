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


def on_grid(values: ArrayLike) -> Floats:
    """The nearest multiples of 1/128, as float32."""
    return (np.rint(np.asarray(values, dtype=np.float64) * GRID) / GRID).astype(np.float32)


def unit(vectors: NDArray[Any]) -> Doubles:
    """Vectors of length one along the last axis; the null vector stays."""
    # A plain sum, not a BLAS norm: its order is fixed.
    length = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=-1, keepdims=True))
    return np.asarray(vectors / np.where(length == 0, 1.0, length), dtype=np.float64)


def products(left: Floats, right: Floats) -> Floats:
    """Inner products [N, C] of ``left [N, K]`` and ``right [K, C]``, exact where both are on the grid.

    Not by BLAS: its threads wait for each other actively, which made thousands of small products ten times slower
    on a machine that had other work.
    """
    result: Floats = np.einsum("nk,kc->nc", left, right)
    return result


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
    cumulative = np.cumsum(weights, axis=1, dtype=np.float64)
    total = cumulative[:, -1]
    level = np.minimum(uniform * total, np.nextafter(total, 0))
    chosen = (cumulative <= level[:, None]).sum(axis=1)
    return np.where(total > 0, chosen, -1)
