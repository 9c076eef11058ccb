"""How sure a mean over queries is, when the queries of one member are alike: resample members, not queries.

Cluster bootstrap (Davison and Hinkley 1997, section 3.8): each resample draws as many members as there are, with
replacement, and takes the mean over all their queries. The interval is made of percentiles of these means.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from palate.config import Config

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_BLOCK = 1 << 23
"""Numbers held at once while members are drawn: 64 MB."""


class Estimate(Config):
    """A figure and its interval."""

    value: float
    """The mean over queries, or what the metric's own formula says."""
    low: float | None
    """Lower end of the interval; null where there is none (one member, or a figure that is no mean)."""
    high: float | None
    """Upper end of the interval; null where there is none."""


class Clusters:
    """Queries grouped by member."""

    def __init__(self, members: Integers) -> None:
        """``members`` [n_queries] holds a number for each query's member; the numbers may have gaps."""
        _, self.of_query = np.unique(members, return_inverse=True)
        self.sizes: Integers = np.bincount(self.of_query).astype(np.int64)

    def sums(self, values: Floats) -> Floats:
        """Each member's sum of ``values`` [n_queries, M]: [n_members, M]."""
        columns = [np.bincount(self.of_query, weights=column, minlength=len(self.sizes)) for column in values.T]
        return np.stack(columns, axis=1)


def bootstrap_means(values: Floats, clusters: Clusters, *, resamples: int, seed: int) -> Floats:
    """The means of ``values`` [n_queries, M] in each of ``resamples`` draws of members: [resamples, M].

    The draws depend on the seed and the number of members alone, so that all metrics of a table, and all
    tables on the same queries, see the same ones.
    """
    n = len(clusters.sizes)
    totals = np.column_stack([clusters.sums(values), clusters.sizes.astype(np.float64)])
    random = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = random.integers(0, n, size=(rows, n), dtype=np.int64)
        drawn += np.arange(rows)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        resampled = times.astype(np.float64) @ totals
        means[start : start + rows] = resampled[:, :-1] / resampled[:, -1:]
    return means


def percentile_interval(means: Floats, value: Floats, confidence: float) -> tuple[Floats, Floats]:
    """The central ``confidence`` share of bootstrap ``means`` [resamples, M], widened to hold ``value`` [M]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return np.minimum(low, value), np.maximum(high, value)


def estimates(
    values: Mapping[str, Floats], members: Integers, *, resamples: int, confidence: float, seed: int
) -> dict[str, Estimate]:
    """Mean and interval of each named array [n_queries]; no queries give no figures."""
    if not values or len(members) == 0:
        return {}
    table = np.stack(list(values.values()), axis=1)
    mean = table.mean(axis=0)
    clusters = Clusters(members)
    if len(clusters.sizes) == 1:
        return {name: Estimate(value=float(m), low=None, high=None) for name, m in zip(values, mean, strict=True)}
    means = bootstrap_means(table, clusters, resamples=resamples, seed=seed)
    low, high = percentile_interval(means, mean, confidence)
    return {
        name: Estimate(value=float(mean[i]), low=float(low[i]), high=float(high[i])) for i, name in enumerate(values)
    }
