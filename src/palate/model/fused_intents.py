"""Heads over a state and the intent made of them, in few passes over memory, forward and backward.

No intent of a head alone is ever made: ⟨W_q h, p_k E_k⟩ is the sum over the classes of head k of p_c ⟨W_q h, E_c⟩, and
Σ_k α_k e_k that over all classes of α_k(c) p_c E_c. What the intent passes through behind that is one matrix.

Legend: ``C`` classes of all ``K`` heads, ``W`` the width of an intent. Classes lie first in memory, so that what is
summed over a head's few classes runs along its many rows.
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
    values: Float[Tensor, "C W"],
    query: Float[Tensor, "W D"],
    says: Float[Tensor, "D W"],
    head_bias: Float[Tensor, "K"],
    sizes: list[int],
) -> Fed:
    """What each head predicts, how well its prediction fits what the state asks for, and what all of them say."""
    scores = torch.split(F.linear(state, predict, bias), sizes, dim=1)
    intents = [own.softmax(1) @ embedding for own, embedding in zip(scores, torch.split(values, sizes), strict=True)]
    asked = F.linear(state, query)
    attention = (torch.stack([(asked * each).sum(1) for each in intents]) + head_bias[:, None]).softmax(0)
    intent = sum((share[:, None] * each for share, each in zip(attention, intents, strict=True)), torch.zeros(()))
    log_shares = torch.cat([own.log_softmax(1) for own in scores], dim=1)
    return log_shares.T, attention, state + F.linear(intent, says)


def feed(
    state: Float[Tensor, "R D"],
    predict: Float[Tensor, "C D"],
    bias: Float[Tensor, "C"],
    values: Float[Tensor, "C W"],
    query: Float[Tensor, "W D"],
    says: Float[Tensor, "D W"],
    head_bias: Float[Tensor, "K"],
    heads: Float[Tensor, "K C"],
    sizes: list[int],
) -> Fed:
    """`reference_feed`; ``heads`` has ones where a class is one of a head."""
    found: Fed = _Feed.apply(  # type: ignore[no-untyped-call]
        state, predict, bias, values, query, says, head_bias, heads, sizes
    )
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
        predict: Tensor,
        bias: Tensor,
        values: Tensor,
        query: Tensor,
        says: Tensor,
        head_bias: Tensor,
        heads: Tensor,
        sizes: list[int],
    ) -> Fed:
        log_shares = _log_softmax(torch.addmm(bias[:, None], predict, state.T), sizes)
        shares, asked = log_shares.exp(), torch.mm(query, state.T)
        fits = torch.mm(values, asked)
        attention = torch.addmm(head_bias[:, None], heads, shares * fits).softmax(0)
        weighted = torch.mm(heads.T, attention).mul_(shares)
        intent = torch.mm(weighted.T, values)
        ctx.save_for_backward(
            state, predict, values, query, says, heads, shares, asked, fits, attention, weighted, intent
        )
        ctx.sizes = sizes
        return log_shares, attention, torch.addmm(state, intent, says.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_log_shares: Tensor, d_attention: Tensor, d_out: Tensor) -> tuple[Tensor | None, ...]:
        state, predict, values, query, says, heads, shares, asked, fits, attention, weighted, intent = ctx.saved_tensors
        d_intent = torch.mm(d_out, says)
        d_weighted = torch.mm(values, d_intent.T)
        d_fit = torch.addmm(d_attention, heads, shares * d_weighted)
        d_fit.sub_((attention * d_fit).sum(0)).mul_(attention)
        d_fits = torch.mm(heads.T, d_fit).mul_(shares)
        d_asked = torch.mm(values.T, d_fits)
        # The gradient of a share times that share, which is that of its logarithm.
        d_scores = d_weighted.mul_(weighted).addcmul_(d_fits, fits).add_(d_log_shares)
        _of_softmax(d_scores, shares, ctx.sizes)
        return (
            torch.addmm(d_out, d_scores.T, predict).addmm_(d_asked.T, query),
            torch.mm(d_scores, state),
            d_scores.sum(1),
            torch.mm(weighted, d_intent).addmm_(d_fits, asked.T),
            torch.mm(d_asked, state),
            torch.mm(d_out.T, intent),
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
