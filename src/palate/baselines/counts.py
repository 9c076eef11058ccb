"""How often each item had been chosen before each of many moments, without counting again for each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.baselines.matrix import target_columns
from palate.data.dataset import Dataset
from palate.words import TIMESTAMP

DAY_MS = 86_400_000
Integers = npt.NDArray[np.int64]


class RollingCounts:
    """Counts of target events by item, as they stood at any moment."""

    def __init__(self, times: Integers, columns: Integers, width: int) -> None:
        """``times`` in ms and catalogue ``columns`` of the events, in any order; ``width`` is V."""
        order = np.argsort(times, kind="stable")
        self._times = times[order]
        self._columns = columns[order]
        self._width = width

    @classmethod
    def of(cls, dataset: Dataset, catalogue: pl.Series, keep: npt.NDArray[np.bool_] | None = None) -> RollingCounts:
        """Of the target events of a dataset with time; all, or those where ``keep`` [n_events] is true."""
        columns = target_columns(dataset, catalogue)
        known = columns >= 0 if keep is None else keep & (columns >= 0)
        return cls(dataset.events[TIMESTAMP].to_numpy()[known], columns[known], len(catalogue))

    def before(self, moments: Integers) -> npt.NDArray[np.float32]:
        """The number of events of each item strictly before each moment: [len(moments), V].

        Counts once up to the earliest moment; from there each event is added at the first moment that it
        precedes, and a cumulative sum over the moments in time order carries it on.
        """
        distinct, place = np.unique(moments, return_inverse=True)
        counts = np.zeros((len(distinct), self._width), dtype=np.int32)
        if len(distinct) == 0:
            return counts.astype(np.float32)
        first, last = np.searchsorted(self._times, distinct[[0, -1]], side="left")
        counts[0] = np.bincount(self._columns[:first], minlength=self._width)
        reached = np.searchsorted(distinct, self._times[first:last], side="right")
        np.add.at(counts, (reached, self._columns[first:last]), 1)
        np.cumsum(counts, axis=0, out=counts)
        return counts.astype(np.float32)[place]
