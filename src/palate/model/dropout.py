"""Dropout whose random numbers cost little: 16 bits of a draw decide about a number, four numbers a draw.

`torch.nn.Dropout` draws one number after the other from a Bernoulli distribution on processors that are not Intel's,
which took a tenth of a training step. The share is rounded to a multiple of 2^-16 and what is kept is scaled by the
rounded one, so that means stay. Numbers still come from torch's random state alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 1 << 16


class Keep(NamedTuple):
    """What dropout leaves of a tensor: x ↦ x · mask · scale."""

    mask: Float[Tensor, "..."]
    """1 where a number is kept, else 0."""
    scale: float


class Dropout(nn.Module):
    """`torch.nn.Dropout`, by 16 bits a number."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Drop in training."""
        keep = self.draw(x)
        return x if keep is None else x * keep.mask * keep.scale

    def draw(self, like: Float[Tensor, "..."]) -> Keep | None:
        """What is kept of a tensor of this shape; none where that is all of it."""
        return draw(like, self.share) if self.training and self.share else None


def draw(like: Float[Tensor, "..."], share: float) -> Keep:
    """Drop each number with probability ``share`` < 1, rounded to 16 bits, and never all of them."""
    dropped = min(round(share * _LEVELS), _LEVELS - 1)
    n = like.numel()
    draws = torch.empty(-(-n // 4), dtype=torch.int64, device=like.device).random_(-(1 << 63), None)
    lanes = draws.view(torch.int16)[:n].view(like.shape)
    # 0 below the threshold and 1 from it on, by arithmetic: booleans take several times as long.
    threshold = dropped - _LEVELS // 2
    mask = (
        lanes.clamp_(threshold - 1, threshold).sub_(threshold - 1).to(like.dtype) if dropped else torch.ones_like(like)
    )
    return Keep(mask, _LEVELS / (_LEVELS - dropped))
