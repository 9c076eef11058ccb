"""Age codes that are counted when they are asked for: where moments × items are too many to hold.

It stands in the place of the tensor ``[K, V]`` of codes, and is indexed as that is. What it holds is as long as the
table of counts: 24 bytes for each item and step in which it had an event, and 16 for each item.
"""

from __future__ import annotations

import copy
import itertools
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64, Int16, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.tokens.batch import AGE_SHAPE, DEMAND_STEPS, LEAST_DEMAND

_LAUNCH, _VIEWS, _DEMAND = AGE_SHAPE
VIEW_EDGES: Final = (1, 2, *(2**power + 1 for power in range(1, _VIEWS - 2)))
"""Views from which on the buckets 1, 2, … count."""


def demand_levels(
    item: NDArray[np.int64], step: NDArray[np.int64], events: NDArray[np.int64], half_life: float, items: int
) -> NDArray[np.float64]:
    """What is known of an item's demand from each entry on, ``[n]``, the entries in ascending order of ``step``.

    With events e_i in the steps s_i it is the level L = log₂ Σ e_i 2^(s_i / h); at a point p, which knows the steps
    before it, the logarithm of the demand is L - (p - 1) / h: an event of the step before counts 1.
    """
    level, levels = np.full(items, -np.inf), np.empty(len(item))
    bounds = np.flatnonzero(np.diff(step, prepend=-1, append=-1))
    for begin, end in itertools.pairwise(bounds):
        own = item[begin:end]
        level[own] = np.logaddexp2(level[own], np.log2(events[begin:end]) + step[begin] / half_life)
        levels[begin:end] = level[own]
    return levels


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
        half_life: float,
    ) -> None:
        """``item``, ``step`` (of the grid, from 0) and ``events`` are ordered by item, then step; a point of the grid
        knows the steps before it. ``half_life`` is in steps, ``launch`` is NaN where unknown."""
        self._shape = (len(moments), len(launch))
        self._span = len(moments) + 1
        self._moments = torch.from_numpy(moments)
        self._launch = torch.from_numpy(launch)
        self._launch_edges = torch.tensor(launch_edges, dtype=torch.float64)
        self._view_edges = torch.tensor(VIEW_EDGES)
        self._half_life = half_life
        by_step = np.argsort(step, kind="stable")
        levels = np.empty(len(item))
        levels[by_step] = demand_levels(item[by_step], step[by_step], events[by_step], half_life, len(launch))
        self._level = torch.from_numpy(levels)
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
            return self._pairs(points, torch.as_tensor(items, device=points.device).expand_as(points))
        return self.grid(index, torch.arange(self.shape[1], device=index.device))

    def grid(self, points: Int64[Tensor, "U"], items: Int64[Tensor, "S"]) -> Int16[Tensor, "U S"]:
        """The code of each of these items at each of these ascending points."""
        start = self._start[items]
        lengths = self._start[items + 1] - start
        of = torch.repeat_interleave(torch.arange(len(items), device=items.device), lengths)
        entry = torch.arange(len(of), device=items.device) - (lengths.cumsum(0) - lengths)[of] + start[of]
        step = self._key[entry] - items[of] * self._span
        events = (self._before[entry + 1] - self._before[entry]).int()
        views = self._counted(points, of, step + 1, events, len(items))
        level = self._reached(points, of, step + 1, self._level[entry], len(items))
        demand = level - ((points - 1).double() / self._half_life)[:, None]
        return self._codes(self._moments[points][:, None] - self._launch[items], views, demand)

    def to(self, device: torch.device) -> AgeCounts:
        """The same in the memory of a device."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(other, name, value.to(device))
        return other

    def tensors(self) -> list[Tensor]:
        """Everything that decides a code."""
        return [self._moments, self._launch, self._key, self._before, self._level]

    @staticmethod
    def _counted(points: Tensor, of: Tensor, known: Tensor, events: Tensor, S: int) -> Tensor:
        """Events of each of ``S`` items that are ``known`` at each point ``[U, S]``."""
        place = torch.searchsorted(points, known)
        there = place < len(points)
        counts = torch.zeros(len(points) * S, dtype=torch.int32, device=points.device)
        counts.index_add_(0, place[there] * S + of[there], events[there])
        return counts.view(len(points), S).cumsum(0, dtype=torch.int32)

    @staticmethod
    def _reached(points: Tensor, of: Tensor, known: Tensor, level: Tensor, S: int) -> Tensor:
        """The level of each of ``S`` items that is known at each point ``[U, S]``; levels rise from entry to entry."""
        place = torch.searchsorted(points, known)
        there = place < len(points)
        levels = torch.full((len(points) * S,), -torch.inf, dtype=torch.float64, device=points.device)
        levels.scatter_reduce_(0, place[there] * S + of[there], level[there], "amax")
        return levels.view(len(points), S).cummax(0).values

    def _pairs(self, points: Tensor, items: Tensor) -> Tensor:
        start = self._start[items]
        known = torch.searchsorted(self._key, items * self._span + points)
        level = self._level[(known - 1).clamp(min=0)].masked_fill(known == start, -torch.inf)
        demand = level - (points - 1).double() / self._half_life
        views = self._before[known] - self._before[start]
        return self._codes(self._moments[points] - self._launch[items], views, demand)

    def _codes(self, age: Tensor, views: Tensor, demand: Float64[Tensor, "..."]) -> Tensor:
        # What has yet to launch, or who knows when, is the youngest.
        launch = torch.bucketize(age, self._launch_edges, right=True).masked_fill_(age.isnan(), 0)
        launch.mul_(_VIEWS).add_(torch.bucketize(views, self._view_edges, right=True))
        bucket = torch.floor((demand - LEAST_DEMAND) * DEMAND_STEPS) + 1
        launch.mul_(_DEMAND).add_(bucket.clamp(0, _DEMAND - 1).long())
        return launch.to(torch.int16)
