"""Age codes that are counted when they are asked for: where moments × items are too many to hold.

It stands in the place of the tensor ``[K, V]`` of codes, and is indexed as that is. What it holds is as long as the
table of counts: 16 bytes for each item and step in which it had an event, and 16 for each item.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Int16, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.tokens.batch import AGE_SHAPE

_LAUNCH, _VIEWS, _RECENT = AGE_SHAPE
VIEW_EDGES: Final = (1, 2, *(2**power + 1 for power in range(1, _VIEWS - 2)))
"""Views from which on the buckets 1, 2, … count."""
RECENT_EDGES: Final = tuple(int(np.ceil(2 ** (half / 2))) for half in range(_RECENT - 1))
"""The same of recent events."""


class AgeCounts:
    """The code of each of ``V`` items at each of ``K`` moments, from its events by steps of the grid."""

    def __init__(
        self,
        *,
        moments: NDArray[np.int64],
        launch: NDArray[np.float64],
        launch_edges: tuple[int, ...],
        item: NDArray[np.int64],
        step: NDArray[np.int64],
        events: NDArray[np.int64],
        window: int,
    ) -> None:
        """``item``, ``step`` (of the grid, from 0) and ``events`` are ordered by item, then step; a point of the grid
        knows the steps before it, and the last ``window`` of them are recent. ``launch`` is NaN where unknown."""
        self._shape = (len(moments), len(launch))
        self._span = len(moments) + 1
        self._moments = torch.from_numpy(moments)
        self._launch = torch.from_numpy(launch)
        self._launch_edges = torch.tensor(launch_edges, dtype=torch.float64)
        self._window = window
        self._key = torch.from_numpy(item * self._span + step)
        self._before = torch.from_numpy(np.concatenate([[0], np.cumsum(events)]))
        self._start = torch.from_numpy(np.searchsorted(item, np.arange(len(launch) + 1)))

    @property
    def shape(self) -> tuple[int, int]:
        """``K``, ``V``."""
        return self._shape

    def __getitem__(self, index: Tensor | tuple[Tensor, Tensor | int]) -> Int16[Tensor, "..."]:
        """The codes at ``points``, or of pairs of a point and an item, as a tensor would give them."""
        if isinstance(index, tuple):
            points, items = index
            return self._pairs(points, torch.as_tensor(items).expand_as(points))
        return self.grid(index, torch.arange(self.shape[1]))

    def grid(self, points: Int64[Tensor, "U"], items: Int64[Tensor, "S"]) -> Int16[Tensor, "U S"]:
        """The code of each of these items at each of these ascending points."""
        start = self._start[items]
        lengths = self._start[items + 1] - start
        of = torch.repeat_interleave(torch.arange(len(items)), lengths)
        entry = torch.arange(len(of)) - (lengths.cumsum(0) - lengths)[of] + start[of]
        step = self._key[entry] - items[of] * self._span
        events = (self._before[entry + 1] - self._before[entry]).int()
        views = self._counted(points, of, step + 1, events, len(items))
        recent = views - self._counted(points, of, step + 1 + self._window, events, len(items))
        return self._codes(self._moments[points][:, None] - self._launch[items], views, recent)

    def tensors(self) -> list[Tensor]:
        """Everything that decides a code."""
        return [self._moments, self._launch, self._key, self._before, torch.tensor(self._window)]

    @staticmethod
    def _counted(points: Tensor, of: Tensor, known: Tensor, events: Tensor, S: int) -> Tensor:
        """Events of each of ``S`` items that are ``known`` at each point ``[U, S]``."""
        place = torch.searchsorted(points, known)
        there = place < len(points)
        counts = torch.zeros(len(points) * S, dtype=torch.int32)
        counts.index_add_(0, place[there] * S + of[there], events[there])
        return counts.view(len(points), S).cumsum(0, dtype=torch.int32)

    def _pairs(self, points: Tensor, items: Tensor) -> Tensor:
        start = self._before[self._start[items]]
        key = items * self._span + points
        counted = [
            self._before[torch.searchsorted(self._key, key - past)] - start
            for past in (torch.zeros_like(points), points.clamp(max=self._window))
        ]
        return self._codes(self._moments[points] - self._launch[items], counted[0], counted[0] - counted[1])

    def _codes(self, age: Tensor, views: Tensor, recent: Tensor) -> Tensor:
        # What has yet to launch, or who knows when, is the youngest.
        launch = torch.bucketize(age, self._launch_edges, right=True).masked_fill_(age.isnan(), 0)
        launch.mul_(_VIEWS).add_(torch.bucketize(views, torch.tensor(VIEW_EDGES), right=True))
        launch.mul_(_RECENT).add_(torch.bucketize(recent, torch.tensor(RECENT_EDGES), right=True))
        return launch.to(torch.int16)
