"""Heads over a state and the intent made of them, in few passes over memory, forward and backward.

What an intent passes through without a nonlinearity is multiplied beforehand: ⟨W_q h, p_k E_k⟩ is the sum over the
classes of head k of p_c ⟨h, a_c⟩ with a_c = E_c W_q, and W_o W_v Σ_k α_k e_k is the sum over all classes of
α_k(c) p_c s_c with s_c = W_o W_v E_c. No intent of a head alone is ever made.

Legend: ``C`` classes of all ``K`` heads. Classes lie first in memory, so that what is summed over a head's few classes
runs along its many rows.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Fed = tuple[Float[Tensor, "C R"], Float[Tensor, "K R"], Float[Tensor, "R D"]]
"""Log-probabilities, the attention over heads, the state joined by the intent."""


def reference_feed(
    state: Float[Tensor, "R D"],
    predict: Float[Tensor, "C D"],
    bias: Float[Tensor, "C"],
    asks: Float[Tensor, "C D"],
    says: Float[Tensor, "C D"],
    head_bias: Float[Tensor, "K"],
    sizes: list[int],
) -> Fed:
    """What each head predicts, how well its prediction fits what the state asks for, and what all of them say."""
    scores = torch.split(F.linear(state, predict, bias), sizes, dim=1)
    shares = [own.softmax(1) for own in scores]
    fits = torch.split(F.linear(state, asks), sizes, dim=1)
    fit = torch.stack([(p * own).sum(1) for p, own in zip(shares, fits, strict=True)]) + head_bias[:, None]
    attention = fit.softmax(0)
    weighted = torch.cat([p * share[:, None] for p, share in zip(shares, attention, strict=True)], dim=1)
    log_shares = torch.cat([own.log_softmax(1) for own in scores], dim=1)
    return log_shares.T, attention, state + weighted @ says


def feed(
    state: Float[Tensor, "R D"],
    predict: Float[Tensor, "C D"],
    bias: Float[Tensor, "C"],
    asks: Float[Tensor, "C D"],
    says: Float[Tensor, "C D"],
    head_bias: Float[Tensor, "K"],
    heads: Float[Tensor, "K C"],
    sizes: list[int],
) -> Fed:
    """`reference_feed`; ``heads`` has ones where a class is one of a head."""
    both = torch.cat([predict, asks])
    found: Fed = _Feed.apply(state, both, bias, says, head_bias, heads, sizes)  # type: ignore[no-untyped-call]
    return found


def log_softmax_within(scores: Float[Tensor, "C R"], sizes: list[int]) -> Float[Tensor, "C R"]:
    """The logarithm of each class's probability within its head, head after head."""
    found: Tensor = _LogSoftmaxWithin.apply(scores, sizes)  # type: ignore[no-untyped-call]
    return found


class _Feed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        both: Tensor,
        bias: Tensor,
        says: Tensor,
        head_bias: Tensor,
        heads: Tensor,
        sizes: list[int],
    ) -> Fed:
        scores, fits = torch.mm(both, state.T).chunk(2)
        log_shares = _log_softmax(scores.add_(bias[:, None]), sizes)
        shares = log_shares.exp()
        attention = torch.addmm(head_bias[:, None], heads, shares * fits).softmax(0)
        weighted = torch.mm(heads.T, attention).mul_(shares)
        ctx.save_for_backward(state, both, says, heads, shares, fits, attention, weighted)
        ctx.sizes = sizes
        return log_shares, attention, torch.addmm(state, weighted.T, says)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_log_shares: Tensor, d_attention: Tensor, d_out: Tensor) -> tuple[Tensor | None, ...]:
        state, both, says, heads, shares, fits, attention, weighted = ctx.saved_tensors
        d_weighted = torch.mm(says, d_out.T)
        d_fit = torch.addmm(d_attention, heads, shares * d_weighted)
        d_fit.sub_((attention * d_fit).sum(0)).mul_(attention)
        d_both = torch.empty(len(both), len(state), dtype=state.dtype, device=state.device)
        d_scores, d_fits = d_both.chunk(2)
        torch.mul(torch.mm(heads.T, d_fit), shares, out=d_fits)
        # The gradient of a share times that share, which is that of its logarithm.
        torch.mul(weighted, d_weighted, out=d_scores).addcmul_(d_fits, fits).add_(d_log_shares)
        _of_softmax(d_scores, shares, ctx.sizes)
        return (
            torch.addmm(d_out, d_both.T, both),
            torch.mm(d_both, state),
            d_scores.sum(1),
            torch.mm(weighted, d_out),
            d_fit.sum(1),
            None,
            None,
        )


class _LogSoftmaxWithin(torch.autograd.Function):
    """One gradient for all heads: those of slices would each be as wide as all of them."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, sizes: list[int]) -> Tensor:
        found = _log_softmax(scores, sizes)
        ctx.save_for_backward(found)
        ctx.sizes = sizes
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (found,) = ctx.saved_tensors
        back = gradient.clone()
        _of_softmax(back, found.exp(), ctx.sizes)
        return back, None


def _log_softmax(scores: Float[Tensor, "C R"], sizes: list[int]) -> Float[Tensor, "C R"]:
    return torch.cat([own.log_softmax(0) for own in torch.split(scores, sizes)])


def _of_softmax(gradient: Float[Tensor, "C R"], shares: Float[Tensor, "C R"], sizes: list[int]) -> None:
    """Turn the gradient of the logarithms of shares into that of the scores, in place."""
    for own, share in zip(torch.split(gradient, sizes), torch.split(shares, sizes), strict=True):
        own.addcmul_(share, own.sum(0), value=-1)
