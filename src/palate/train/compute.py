"""What a training costs, and what the machine could do: operations, and the measured peak of matrix products."""

from __future__ import annotations

import time

import torch
from torch import nn

from palate.model import SequenceModel
from palate.tokens import Batch
from palate.words import FIRST_KNOWN


def training_operations(model: SequenceModel, batch: Batch) -> float:
    """Floating-point operations of one step that are owed to real rows, without padding and recomputation.

    A matrix of n weights costs 2n operations a row forward and 4n backward; the item table and the heads cost that for
    each target, the matrices of metadata for each item. Later targets and what is not a matrix product are left out.
    Attention costs 12 D operations a block for each pair of rows that may see each other.
    """
    targets = int((batch.target > 0).sum())
    rows = int((batch.ids[:, 0] > 0).sum()) + sum(b for b, _ in batch.rectangles)
    matrices = sum(
        weight.numel() for name, weight in model.encode.named_parameters() if weight.ndim == 2 and "table" not in name
    )
    matrices += sum(weight.numel() for name, weight in model.embed.named_parameters() if "project" in name)
    width = model.tower.id.shape[1]
    pairs = sum(b * length * (length + 1) / 2 for b, length in batch.rectangles)
    blocks = len(model.encode.blocks)
    items = len(model.tower.id) - FIRST_KNOWN
    heads = 0 if model.intents is None else _projections(model.intents)
    metadata = 0 if model.tower.metadata is None else _projections(model.tower.metadata)
    products = rows * matrices + targets * (items * width + heads) + items * metadata
    return 6.0 * products + 12.0 * width * pairs * blocks


def _projections(part: nn.Module) -> int:
    """Weights of its linear layers."""
    return sum(layer.weight.numel() for layer in part.modules() if isinstance(layer, nn.Linear))


def measured_peak(seconds: float = 0.4, size: int = 1024) -> float:
    """Operations a second of float32 matrix products of ``size`` × ``size``, the best of several on this machine."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    torch.mm(a, b, out=out)
    best, until = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < until:  # one at least, however busy the machine is
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best
