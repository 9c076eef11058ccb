"""Looking further than the next target: a state for each of the n targets ahead, all from the row that asks.

The state for the target j places further is h + U(silu(V h) · o_j), scored by the same tower. A row sees nothing of
what comes after it, the request-time fields of later rows included. After multi-token prediction (Gloeckle et al.
2024), with a low price: a share of the rows learns one later target each step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.config import NextConfig
from palate.model.product import Linear


class Later(NamedTuple):
    """Later targets to learn, ``M`` of them."""

    row: Int64[Tensor, "M"]
    """Which of the R rows asks."""
    offset: Int64[Tensor, "M"]
    """How many places behind the next target it lies, from 1."""
    target: Int64[Tensor, "M"]
    """Which of the R rows it is the target of."""


class Ahead(nn.Module):
    """States for later targets."""

    def __init__(self, config: NextConfig, *, width: int) -> None:
        super().__init__()
        self.n, self.share = config.n, config.share
        self.offset = nn.Parameter(torch.ones(config.n - 1, width) + 0.1 * torch.randn(config.n - 1, width))
        self.down = Linear(width, width)
        self.up = Linear(width, width, bias=False)

    def forward(self, state: Float[Tensor, "M D"], offset: Int64[Tensor, "M"]) -> Float[Tensor, "M D"]:
        """The state for the target ``offset`` places behind the next one."""
        update: Tensor = self.up(F.silu(self.down(state)) * F.embedding(offset - 1, self.offset))
        return state + update

    def draw(self, sequence: Int64[Tensor, "R"]) -> Later:
        """A later target within the sequence for a share of the rows; ``sequence`` numbers that of each row."""
        R = len(sequence)
        row = (torch.rand(R, device=sequence.device) < self.share).nonzero()[:, 0]
        offset = torch.randint(1, self.n, (len(row),), device=sequence.device)
        target = row + offset
        there = target < R
        there &= sequence[target.clamp(max=R - 1)] == sequence[row]
        return Later(row[there], offset[there], target[there])
