"""The position-wise parts of a block, each in few passes over memory, forward and backward.

Beside the products a block is bound by memory: autograd keeps and reads again what each small operation made. Here the
gradients are written down, by hand, so that little is kept and most is done in place. Each function has a plain
reference of the same value and gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from palate.model.dropout import Keep
from palate.model.lowered import lowered
from palate.model.product import product, product_of_rows


def reference_gated(
    x: Float[Tensor, "T D"],
    update: Float[Tensor, "T D"],
    weight: Float[Tensor, "D D"],
    bias: Float[Tensor, "D"],
    keep: Keep | None,
) -> Float[Tensor, "T D"]:
    """x + σ(W x + b) · drop(update)."""
    kept = update if keep is None else update * keep.mask * keep.scale
    return x + torch.sigmoid(F.linear(x, weight, bias)) * kept


def gated(
    x: Float[Tensor, "T D"],
    update: Float[Tensor, "T D"],
    weight: Float[Tensor, "D D"],
    bias: Float[Tensor, "D"],
    keep: Keep | None,
) -> Float[Tensor, "T D"]:
    """`reference_gated`."""
    mask, scale = (None, 1.0) if keep is None else keep
    found: Tensor = _Gated.apply(x, update, weight, bias, mask, scale)  # type: ignore[no-untyped-call]
    return found


def reference_swiglu(
    x: Float[Tensor, "T D"], into: Float[Tensor, "N D"], out: Float[Tensor, "D I"]
) -> Float[Tensor, "T D"]:
    """W (silu(A x) · B x), with A and B stacked in ``into`` (N = 2 I; Shazeer 2020)."""
    gate, linear = F.linear(x, into).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * linear, out)


def swiglu(x: Float[Tensor, "T D"], into: Float[Tensor, "N D"], out: Float[Tensor, "D I"]) -> Float[Tensor, "T D"]:
    """`reference_swiglu`."""
    found: Tensor = _SwiGLU.apply(x, into, out)  # type: ignore[no-untyped-call]
    return found


class RMSNorm(nn.RMSNorm):
    """x / √(mean x² + ε) · w, with w in place of a bias: `torch.nn.RMSNorm` over the last axis."""

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """Normalise each row."""
        found: Tensor = _RMSNorm.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return found


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, update: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, scale: float
    ) -> Tensor:
        # What is updated keeps its type, however few bits the update has.
        low = update.dtype
        with torch.autocast(x.device.type, enabled=False):
            state, weight = x.to(low), weight.to(low)
            share = product(state, weight.T, bias.to(low)).sigmoid_()
            if mask is not None:
                share.mul_(mask)
            ctx.save_for_backward(state, update, weight, share)
            ctx.scale = scale
            return torch.addcmul(x, share.to(x.dtype), update.to(x.dtype), value=scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, update, weight, share = ctx.saved_tensors
        d_update = gradient.to(x.dtype) * share
        # σ' = σ (1 - σ); where a number was dropped the share is 0, and so is this.
        d_gate = d_update * update
        d_gate.addcmul_(d_gate, share, value=-1)
        if x.dtype == gradient.dtype:
            d_x = product(d_gate, weight * ctx.scale, gradient)
        else:
            d_x = gradient + product(d_gate, weight * ctx.scale)
        d_weight = product_of_rows(d_gate, x) * ctx.scale
        return d_x, d_update.mul_(ctx.scale), d_weight, d_gate.sum(0) * ctx.scale, None, None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    @lowered
    def forward(ctx: Any, x: Tensor, into: Tensor, out: Tensor) -> Tensor:
        both = product(x, into.T)
        gate, linear = both.chunk(2, dim=1)
        inner = F.silu(gate).mul_(linear)
        ctx.save_for_backward(x, into, out, both, inner)
        return product(inner, out.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        x, into, out, both, inner = ctx.saved_tensors
        gate, linear = both.chunk(2, dim=1)
        d_out = product_of_rows(gradient, inner)
        d_inner = product(gradient, out)
        d_both = torch.empty_like(both)
        d_gate, d_linear = d_both.chunk(2, dim=1)
        torch.mul(d_inner, F.silu(gate), out=d_linear)
        torch.ops.aten.silu_backward.grad_input(d_inner.mul_(linear), gate, grad_input=d_gate)
        return product(d_both, into), product_of_rows(d_both, x), d_out


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        mean = torch.linalg.vector_norm(x, dim=1, keepdim=True).square_().div_(x.shape[1])
        inverse = mean.add_(torch.finfo(x.dtype).eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        found: Tensor = (x * inverse).mul_(weight)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, inverse = ctx.saved_tensors
        both = gradient * x
        along = (both @ weight)[:, None] * inverse.square() / x.shape[1]
        d_weight = inverse[:, 0] @ both
        d_x = torch.mul(gradient, weight, out=both).addcmul_(x, along, value=-1).mul_(inverse)
        return d_x, d_weight
