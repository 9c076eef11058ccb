"""The exact softmax over all available items, without ever holding all logits.

With state h, item table W and bias c, the loss of target y is logsumexp(W h + c) - (W h + c)_y, summed over the
targets with their weights. The gradient of the logits is known as soon as the logits are, so one pass over chunks of
rows yields the loss and all gradients: three matrix products, and memory for one chunk's logits. Items are in order
of availability, so those of a row's moment are a prefix.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def reference_softmax_loss(
    state: Float[Tensor, "T D"],
    items: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"],
    target: Int64[Tensor, "T"],
    available: Int32[Tensor, "T"],
) -> Float[Tensor, ""]:
    """The sum over rows, plainly: ``target`` in [0, V), items at and beyond ``available`` masked."""
    logits = state @ items.T + bias
    beyond = torch.arange(len(items), device=state.device) >= available[:, None]
    return F.cross_entropy(logits.masked_fill(beyond, -torch.inf), target, reduction="sum")


def softmax_loss(
    state: Float[Tensor, "T D"],
    items: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"],
    target: Int64[Tensor, "T"],
    available: Int32[Tensor, "T"],
    *,
    logit_bytes: int,
) -> Float[Tensor, ""]:
    """`reference_softmax_loss` in memory for ``logit_bytes`` of logits (at least one row)."""
    rows = max(logit_bytes // (4 * max(len(items), 1)), 1)
    loss: Tensor = _SoftmaxLoss.apply(state, items, bias, target, available, rows)  # type: ignore[no-untyped-call]
    return loss


class _SoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, items: Tensor, bias: Tensor, target: Tensor, available: Tensor, rows: int
    ) -> Tensor:
        total = torch.zeros((), device=state.device, dtype=torch.float32)
        d_state = torch.empty_like(state)
        d_items = torch.zeros_like(items)
        d_bias = torch.zeros_like(bias)
        index = torch.arange(len(items), device=state.device, dtype=torch.int32)
        everywhere = bool((available >= len(items)).all())
        buffer = torch.empty(min(rows, len(state)), len(items), device=state.device, dtype=state.dtype)
        for start in range(0, len(state), rows):
            chunk = slice(start, start + rows)
            h, y = state[chunk], target[chunk, None]
            logits = torch.addmm(bias, h, items.T, out=buffer[: len(h)])
            if not everywhere:
                logits.masked_fill_(index >= available[chunk, None], -torch.inf)
            # Softmax in place; the loss is read off the target's probability before it becomes the gradient.
            chosen = logits.gather(1, y)
            normaliser = logits.logsumexp(1, keepdim=True)
            total += (normaliser - chosen).sum(dtype=torch.float32)
            gradient = logits.sub_(normaliser).exp_()
            gradient.scatter_add_(1, y, torch.full_like(chosen, -1))
            torch.mm(gradient, items, out=d_state[chunk])
            d_items.addmm_(gradient.T, h)
            d_bias += gradient.sum(0)
        ctx.save_for_backward(d_state, d_items, d_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        d_state, d_items, d_bias = ctx.saved_tensors
        return d_state * gradient, d_items * gradient, d_bias * gradient, None, None, None
