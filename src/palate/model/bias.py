"""Relative biases of attention: how far back a row lies, and how long ago its action was.

Both are tables per head. A row t asks at its own moment; a key carries the action of the row before it, so the gap
between them is measured from the action's moment. Milliseconds are subtracted as integers before anything is
rounded.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from palate.model.lookup import look_up

LONGEST_GAP = 10 * 365.25 * 86_400.0
"""Seconds; longer gaps share the last bucket."""


class PositionBias(nn.Module):
    """A learned bias for each head and distance in rows; minus infinity for what comes later."""

    def __init__(self, heads: int, context: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, context))

    def forward(self, length: int) -> Float[Tensor, "1 H l l"]:
        """The bias of the first ``length`` rows among themselves."""
        rows = torch.arange(length, device=self.table.device)
        distance = rows[:, None] - rows[None, :]
        bias = self.table[:, distance.clamp(min=0)]
        return bias.masked_fill(distance < 0, -torch.inf).unsqueeze(0)

    def band(self, rows: int, columns: int) -> Float[Tensor, "H q k"]:
        """The bias of ``rows`` neighbours against the ``columns`` that end with the last of them.

        Distances beyond the table share its last entry: no view is so long.
        """
        row, column = torch.arange(rows, device=self.table.device), torch.arange(columns, device=self.table.device)
        distance = row[:, None] + columns - rows - column
        bias = self.table[:, distance.clamp(0, self.table.shape[1] - 1)]
        return bias.masked_fill(distance < 0, -torch.inf)

    def at(self, distance: Int64[Tensor, "b k"]) -> Float[Tensor, "b H k"]:
        """The bias of keys at these distances."""
        return self.table[:, distance.clamp(0, self.table.shape[1] - 1)].transpose(0, 1)


class BlockBias(nn.Module):
    """A learned bias for each head and distance in blocks; the last one for all that lies further back."""

    def __init__(self, heads: int, distances: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, distances))


class TimeBias(nn.Module):
    """A learned bias for each head and bucket of the logarithm of the gap."""

    def __init__(self, heads: int, buckets: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, buckets))

    def forward(self, buckets: Int64[Tensor, "b q k"]) -> Float[Tensor, "b H q k"]:
        """The bias of each pair."""
        return torch.stack([look_up(head, buckets) for head in self.table], dim=1)


def gap_buckets(
    query_time: Int64[Tensor, "b q"], key_time: Int64[Tensor, "b k"], buckets: int
) -> Int64[Tensor, "b q k"]:
    """floor(c · ln(1 + gap in seconds)), with c such that the longest gap falls into the last bucket."""
    gap = (query_time[:, :, None] - key_time[:, None, :]).clamp_(min=0).float().div_(1000)
    return gap.log1p_().mul_(bucket_scale(buckets)).clamp_(max=buckets - 1).long()


def bucket_scale(buckets: int) -> float:
    """The c of `gap_buckets`."""
    return (buckets - 1) / math.log1p(LONGEST_GAP)
