"""What is learned from in which order: a function of the seed and the epoch, so that a resumed training goes on
where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from palate.tokens import (
    Batch,
    Pack,
    Tokenizer,
    Windows,
    assemble,
    pack,
    rectangles,
    training_windows,
    with_open_runs,
)
from palate.train.config import PretrainConfig
from palate.train.material import Material
from palate.train.processes import ALONE, Processes

_BLOCK = 1 << 22
"""Rows of a store that are counted at a time."""


class Figures(NamedTuple):
    """What an epoch holds."""

    windows: int
    targets: int
    batches: int
    padding: float
    """Share of slots without a row."""
    masked_pairs: float
    """Share of attention's pairs, beyond the causal half, that touch padding."""


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """Batches of one epoch, in order."""

    windows: Windows
    packs: list[Pack]

    def figures(self, material: Material) -> Figures:
        """Count what the epoch holds."""
        lengths = self.windows.lengths
        slots = sum(b * length for pack in self.packs for b, length in pack.rectangles)
        pairs = sum(b * length**2 for pack in self.packs for b, length in pack.rectangles)
        targets = _targets(material.store.target, self.windows.first_target, self.windows.stop)
        if material.open_runs is not None and self.windows.tail is not None:
            targets += _targets(material.open_runs.store.target, *self.windows.tail)
        return Figures(
            windows=self.windows.number,
            targets=targets,
            batches=len(self.packs),
            padding=1 - float(lengths.sum()) / slots,
            masked_pairs=1 - float((lengths**2).sum()) / pairs,
        )


class BatchPlanner:
    """Plans epochs over the training events of a store."""

    def __init__(
        self, material: Material, tokenizer: Tokenizer, config: PretrainConfig, processes: Processes = ALONE
    ) -> None:
        """With several ``processes`` a batch is this one's share of it."""
        self._material = material
        self._processes = processes
        self._tokenizer = tokenizer
        self._config = config

    def epoch(self, number: int) -> EpochPlan:
        """The plan of epoch ``number``; the same every time it is asked for."""
        material = self._material
        rng = np.random.default_rng([self._config.seed, number])
        windows = training_windows(material.begin, material.end, self._config.windows, rng)
        if material.open_runs is not None:
            windows = with_open_runs(windows, material.store, material.open_runs, self._config.windows, rng)
        packs = list(pack(windows.lengths, self._config.packing, rng))
        return EpochPlan(windows=windows, packs=packs)

    def figures(self, plan: EpochPlan) -> Figures:
        """What the epoch holds."""
        return plan.figures(self._material)

    def batch(self, plan: EpochPlan, number: int) -> Batch:
        """This process's share of batch ``number`` of an epoch; the shares of all are the batch."""
        whole = plan.packs[number]
        own = share_of(whole, plan.windows.lengths, self._processes)
        batch, _ = assemble(
            self._material.store,
            plan.windows,
            own or Pack(whole.windows[-1:], rectangles(plan.windows.lengths[whole.windows[-1:]])),
            post_columns=self._tokenizer.post_columns,
            post_values=self._tokenizer.post_values,
            tails=None if self._material.open_runs is None else self._material.open_runs.store,
        )
        return batch if own is not None else without_targets(batch)


def share_of(pack: Pack, lengths: NDArray[np.int64], processes: Processes) -> Pack | None:
    """One process's windows of a pack, every so-manieth, so that the shares are of like size; none where there are
    fewer windows than processes. ``lengths`` are those of all windows."""
    if processes.world == 1:
        return pack
    windows = pack.windows[processes.rank :: processes.world]
    return Pack(windows, rectangles(lengths[windows])) if len(windows) else None


def without_targets(batch: Batch) -> Batch:
    """A batch to go through the motions with: who has nothing to learn still has to add up gradients with others."""
    return batch._replace(
        target=torch.zeros_like(batch.target),
        outcome=torch.zeros_like(batch.outcome),
        familiar=torch.zeros_like(batch.familiar),
        weight=torch.zeros_like(batch.weight),
        shown=torch.zeros_like(batch.shown),
    )


def _targets(target: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64]) -> int:
    """Targets in the rows ``[start, stop)``; a block of the store is in memory at a time."""
    found = 0
    for low in range(0, len(target), _BLOCK):
        before = np.concatenate([[0], np.cumsum(target[low : low + _BLOCK] > 0)])
        first, last = (np.clip(rows - low, 0, len(before) - 1) for rows in (start, stop))
        found += int((before[last] - before[first]).sum())
    return found
