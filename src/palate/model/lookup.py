"""Looking numbers and rows up in small tables, with gradients that are faster than those of torch's indexing."""

from __future__ import annotations

from typing import Any

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


def sum_rows(
    table: Float[Tensor, "C D"], index: Int64[Tensor, "V N"], weight: Float[Tensor, "V N"]
) -> Float[Tensor, "V D"]:
    """``(table[index] * weight[..., None]).sum(1)``, without a gradient."""
    if not index.shape[1]:
        return table.new_zeros(len(index), table.shape[1])
    return F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)


def spread_rows(
    gradient: Float[Tensor, "V D"], index: Int64[Tensor, "V N"], weight: Float[Tensor, "V N"], size: int
) -> Float[Tensor, "C D"]:
    """The gradient of the table of `sum_rows`, which has ``size`` rows, from that of the sums."""
    found = gradient.new_zeros(size, gradient.shape[1])
    block = max(_BLOCK // max(index.shape[1] * gradient.shape[1], 1), 1)
    for rows, shares, part in zip(*(torch.split(each, block) for each in (index, weight, gradient)), strict=True):
        found.index_add_(0, rows.reshape(-1), (shares[..., None] * part[:, None]).flatten(0, 1))
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
