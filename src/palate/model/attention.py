"""Causal attention within rectangles, with an additive bias.

Legend: ``b`` sequences of a rectangle, ``l`` slots of each, ``H`` heads, ``E`` width of a head.

`biased_attention` is the fast path; `reference_attention` says the same plainly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def reference_attention(
    query: Float[Tensor, "b H l E"],
    key: Float[Tensor, "b H l E"],
    value: Float[Tensor, "b H l E"],
    bias: Float[Tensor, "c H l l"],
) -> Float[Tensor, "b H l E"]:
    """Softmax of scaled products plus ``bias`` (``c`` is b, or 1 for a bias shared by all), times the values."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
    return scores.softmax(-1) @ value


def biased_attention(
    query: Float[Tensor, "b H l E"],
    key: Float[Tensor, "b H l E"],
    value: Float[Tensor, "b H l E"],
    bias: Float[Tensor, "c H l l"],
) -> Float[Tensor, "b H l E"]:
    """`reference_attention` with one score matrix alive at a time and its operations in place."""
    attended: Tensor = _BiasedAttention.apply(query, key, value, bias)  # type: ignore[no-untyped-call]
    return attended


class _BiasedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        b, H, rows, E = query.shape
        weights = torch.baddbmm(
            bias.expand(b, H, rows, rows).reshape(b * H, rows, rows) if bias.shape[0] == b else _tile(bias, b),
            query.reshape(b * H, rows, E),
            key.reshape(b * H, rows, E).transpose(1, 2),
            alpha=1 / math.sqrt(E),
        )
        torch.softmax(weights, -1, out=weights)
        attended = torch.bmm(weights, value.reshape(b * H, rows, E)).view(b, H, rows, E)
        ctx.save_for_backward(query, key, value, weights, attended)
        ctx.shared_bias = bias.shape[0] != b
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        query, key, value, weights, attended = ctx.saved_tensors
        b, H, rows, E = query.shape
        flat = (b * H, rows, E)
        gradient = gradient.reshape(flat)
        d_value = torch.bmm(weights.transpose(1, 2), gradient)
        d_scores = torch.bmm(gradient, value.reshape(flat).transpose(1, 2))
        d_scores.sub_((gradient * attended.view(flat)).sum(-1, keepdim=True)).mul_(weights)
        d_query = torch.bmm(d_scores, key.reshape(flat)).mul_(1 / math.sqrt(E))
        d_key = torch.bmm(d_scores.transpose(1, 2), query.reshape(flat)).mul_(1 / math.sqrt(E))
        d_bias = None
        if ctx.needs_input_grad[3]:
            d_bias = d_scores.view(b, H, rows, rows)
            d_bias = d_bias.sum(0, keepdim=True) if ctx.shared_bias else d_bias
        shape = (b, H, rows, E)
        return d_query.view(shape), d_key.view(shape), d_value.view(shape), d_bias


def _tile(bias: Tensor, b: int) -> Tensor:
    """One bias for each of ``b`` sequences, as baddbmm wants it."""
    _, H, rows, columns = bias.shape
    return bias.expand(b, H, rows, columns).reshape(b * H, rows, columns)
