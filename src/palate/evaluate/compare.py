"""Whether one ranking is better than another on the same queries: difference, interval and p-value.

The p-value is that of a randomisation test: if the two were alike, each member's summed difference would as soon have
the other sign. The signs are flipped at random, all queries of a member together, and p is the share of flips with
a difference at least as large as the observed one, (1 + count) / (1 + flips) (Smucker, Allan and Carterette, CIKM
2007; the added ones after Davison and Hinkley 1997, section 4.2.5).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from palate.config import Config
from palate.evaluate.intervals import Clusters, bootstrap_means, percentile_interval

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_BLOCK = 1 << 23
"""Signs held at once: 64 MB."""


class Difference(Config):
    """One metric of a ranking minus that of another, on the same queries."""

    value: float
    """This minus the other; positive where this is better."""
    low: float | None
    """Lower end of the interval; null with one member."""
    high: float | None
    """Upper end of the interval; null with one member."""
    p_value: float
    """Two-sided, by sign flips over members."""


def compare(
    values: Mapping[str, Floats],
    others: Mapping[str, Floats],
    members: Integers,
    *,
    resamples: int,
    flips: int,
    confidence: float,
    seed: int,
) -> dict[str, Difference]:
    """The difference of each metric named in both; arrays [n_queries], in the same order of queries."""
    names = [name for name in values if name in others]
    if not names or len(members) == 0:
        return {}
    table = np.stack([values[name] - others[name] for name in names], axis=1)
    mean = table.mean(axis=0)
    clusters = Clusters(members)
    p = sign_flip_p_values(clusters.sums(table), flips=flips, seed=seed)
    low: list[float | None] = [None] * len(names)
    high: list[float | None] = [None] * len(names)
    if len(clusters.sizes) > 1:
        means = bootstrap_means(table, clusters, resamples=resamples, seed=seed)
        lows, highs = percentile_interval(means, mean, confidence)
        low, high = [*map(float, lows)], [*map(float, highs)]
    return {
        name: Difference(value=float(mean[i]), low=low[i], high=high[i], p_value=float(p[i]))
        for i, name in enumerate(names)
    }


def sign_flip_p_values(sums: Floats, *, flips: int, seed: int) -> Floats:
    """Two-sided p-values [M] of the members' summed differences ``sums`` [n_members, M]."""
    sums = sums[(sums != 0).any(axis=1)]  # a member without a difference has none with the other sign either
    if len(sums) == 0:
        return np.ones(sums.shape[1])
    observed = np.abs(sums.sum(axis=0))
    tolerance = 1e-9 * np.abs(sums).sum(axis=0)  # sums in another order of the same terms are equal
    random = np.random.default_rng(seed)
    beyond = np.zeros(sums.shape[1])
    block = max(1, _BLOCK // len(sums))
    for start in range(0, flips, block):
        rows = min(block, flips - start)
        bits = random.integers(0, 256, size=(rows, (len(sums) + 7) // 8), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=len(sums)).astype(np.float64) * 2 - 1
        beyond += (np.abs(signs @ sums) >= observed - tolerance).sum(axis=0)
    return (1 + beyond) / (1 + flips)
