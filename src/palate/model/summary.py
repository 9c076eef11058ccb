"""Summaries of blocks of keys and values: a few vectors that stand for many rows.

A vector of a block's summary is a mean over its rows, weighted by the softmax of ⟨u, key⟩ / √E + a, with a learned u
and a learned a for each place of the block; the key and the value are averaged alike. The summary that old blocks share
is the same mean over all of their rows. So a summary is A K and A V with an r × C matrix A that depends on the keys:
low-rank attention (Wang et al. 2020, Linformer), but causal, block by block, and with weights that see the content.

Legend: ``b`` sequences, ``n`` blocks of ``C`` places, ``H`` heads of width ``E``, ``r`` vectors a summary.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from palate.model.bias import BlockBias
from palate.model.grid import Grid, Span


class Pooled(NamedTuple):
    """Summaries of blocks."""

    weight: Float[Tensor, "b H n r"]
    """Logarithm of the sum of the weights, by which summaries are averaged together."""
    key: Float[Tensor, "b H n r E"]
    value: Float[Tensor, "b H n r E"]


class Summaries(nn.Module):
    """What a summary pays attention to, and how far back it counts."""

    def __init__(self, span: Span, *, heads: int, head_width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(heads, span.rank, head_width))
        self.place = nn.Parameter(torch.zeros(heads, span.rank, span.block))
        self.position = BlockBias(heads, span.own + 1)

    def forward(
        self, key: Float[Tensor, "b H n C E"], value: Float[Tensor, "b H n C E"], missing: Bool[Tensor, "b C"] | None
    ) -> Pooled:
        """The summary of each block; ``missing`` are places of the first one that hold nothing."""
        scores = self.query[:, None] @ key.transpose(-1, -2) / math.sqrt(key.shape[-1]) + self.place[:, None]
        if missing is not None:
            hidden = torch.zeros(len(key), 1, key.shape[2], 1, key.shape[3], dtype=torch.bool, device=key.device)
            hidden[:, 0, 0, 0] = missing
            scores = scores.masked_fill(hidden, -torch.inf)
        weights = scores.softmax(-1)
        return Pooled(scores.logsumexp(-1), weights @ key, weights @ value)


def shared(pooled: Pooled, blocks: int) -> Pooled:
    """For each of the first ``blocks`` blocks, the summary of all up to it."""
    weight = pooled.weight[:, :, :blocks].transpose(2, 3)
    later = torch.ones(blocks, blocks, dtype=torch.bool, device=weight.device).triu(1)
    logits = weight[..., None, :].expand(*weight.shape, blocks).masked_fill(later, -torch.inf)
    weights = logits.softmax(-1)
    key, value = (
        (weights @ each[:, :, :blocks].transpose(2, 3)).transpose(2, 3) for each in (pooled.key, pooled.value)
    )
    return Pooled(logits.logsumexp(-1).transpose(2, 3), key, value)


def of_grid(
    summaries: Summaries, grid: Grid, key: Float[Tensor, "b H P E"], value: Float[Tensor, "b H P E"]
) -> tuple[Pooled, Pooled]:
    """All summaries that a row of the grid sees: those of blocks, and for each block that of all up to it."""
    b, H, _, E = key.shape
    last, blocks = grid.blocks - 1, (b, H, grid.blocks, grid.span.block, E)
    old = grid.span.exact(last)
    pooled: Pooled = summaries(key.view(blocks)[:, :, :old], value.view(blocks)[:, :, :old], grid.missing)
    return pooled, shared(pooled, grid.span.summarised(last))
