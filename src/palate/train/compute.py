"""What a training costs, and what the machine could do: operations, and the measured peak of matrix products."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from palate.model import SequenceModel
from palate.model.product import product
from palate.model.transformer import Transformer
from palate.tokens import Batch
from palate.train.device import PROCESSOR
from palate.words import FIRST_KNOWN


class Operations:
    """Floating-point operations of a step that are owed to real rows, without padding and recomputation.

    A matrix of n weights costs 2n operations a row forward and 4n backward; the item table and the heads cost that for
    each target, the matrices of metadata for each item; with a sampled softmax of so many ``draws`` for these. Later
    targets and what is not a matrix product are left out.
    Attention costs 12 D operations a block for each pair of rows that may see each other. Where rows see older ones
    through summaries, vectors of a summary count as rows, making one costs 18 D operations for each row that it stands
    for, and joining those of blocks 12 D for each.
    """

    def __init__(self, model: SequenceModel, draws: int | None = None) -> None:
        items, width = len(model.tower.id) - FIRST_KNOWN, model.tower.id.shape[1]
        items = items if draws is None else min(draws, items)
        heads = 0 if model.intents is None else _projections(model.intents)
        metadata = 0 if model.tower.metadata is None else _projections(model.tower.metadata)
        self.of_row = 6.0 * (_projections(model.embed) + _projections(model.encode))
        self._of_target = 6.0 * (items * width + heads)
        self._of_pair = 12.0 * width * len(model.encode.blocks)
        self._span = model.encode.span if isinstance(model.encode, Transformer) else None
        self._of_step = 6.0 * items * metadata

    def of(self, batch: Batch) -> float:
        """Those of a step with this batch."""
        real = batch.available > 0
        targets, pairs, start, sequence = int((batch.target > 0).sum()), 0.0, 0, 0
        for b, length in batch.rectangles:
            lengths = real[start : start + b * length].view(b, length).sum(1)
            if self._span is None:
                pairs += int((lengths * (lengths + 1) // 2).sum())
            else:
                seen = self._span.seen(batch.first[sequence : sequence + b], lengths)
                pairs += seen.pairs + self._span.rank * (1.5 * seen.pooled + seen.joined)
            start, sequence = start + b * length, sequence + b
        return self.of_row * int(real.sum()) + self._of_target * targets + self._of_pair * pairs + self._of_step


def _projections(part: nn.Module) -> int:
    """Weights of its linear layers."""
    return sum(layer.weight.numel() for layer in part.modules() if isinstance(layer, nn.Linear))


def measured_peak(
    seconds: float = 0.4,
    size: int | None = None,
    *,
    device: torch.device = PROCESSOR,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Operations a second of matrix products of ``size`` × ``size``, the best of several on this machine.

    The better of torch's own product and of the one that the model uses (`palate.model.product`).
    """
    on_processor = device.type == "cpu"
    size = size or (1024 if on_processor else 4096)
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    times = 1 if on_processor else 8  # a GPU has its next product waiting
    best = 0.0
    for multiply in (torch.mm, product):
        _until_done(multiply(a, b))
        until, mine = time.perf_counter() + seconds / 2, 0.0
        while not mine or time.perf_counter() < until:  # one at least, however busy the machine is
            start = time.perf_counter()
            for _ in range(times):
                found = multiply(a, b)
            _until_done(found)
            mine = times * 2 * size**3 / (time.perf_counter() - start)
            best = max(best, mine)
    return best


def _until_done(found: Tensor) -> None:
    """A GPU answers before it has worked; reading a number waits for it."""
    if found.device.type != "cpu":
        found[0, 0].item()
