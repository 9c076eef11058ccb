"""Looking numbers and rows up in small tables, with gradients that are faster than those of torch's indexing."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_BLOCK = 2**21
"""Numbers of a gradient that are spread over their rows at a time."""


def look_up(table: Float[Tensor, "C"], index: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``table[index]``."""
    found: Tensor = _LookUp.apply(table, index)  # type: ignore[no-untyped-call]
    return found


class Sums(NamedTuple):
    """Which rows of a table make each of ``V`` sums, in ``n`` entries, those of a sum side by side."""

    row: Int64[Tensor, "n"]
    share: Float[Tensor, "n"]
    """What the row is multiplied by."""
    sum: Int64[Tensor, "n"]
    """The sum that it belongs to, ascending."""
    start: Int64[Tensor, "V"]
    """Each sum's first entry."""


def sum_rows(table: Float[Tensor, "C D"], sums: Sums) -> Float[Tensor, "V D"]:
    """Σ share · row over the entries of each sum, without a gradient."""
    return F.embedding_bag(sums.row, table, sums.start, mode="sum", per_sample_weights=sums.share)


def spread_rows(gradient: Float[Tensor, "V D"], sums: Sums, size: int) -> Float[Tensor, "C D"]:
    """The gradient of the table of `sum_rows`, which has ``size`` rows, from that of the sums."""
    found = gradient.new_zeros(size, gradient.shape[1])
    block = max(_BLOCK // gradient.shape[1], 1)
    for rows, shares, of in zip(*(torch.split(each, block) for each in sums[:3]), strict=True):
        found.index_add_(0, rows, gradient.index_select(0, of).mul_(shares[:, None]))
    return found


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.size = len(table)
        # Four times as fast as ``table[index]``, and the same.
        return table.index_select(0, index.reshape(-1)).view(index.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        sums = torch.bincount(index.reshape(-1), weights=gradient.reshape(-1), minlength=ctx.size)
        return sums.to(gradient.dtype), None
