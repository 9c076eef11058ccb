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
    """`reference_attention` for a ``bias`` that is minus infinity for what comes later than its row.

    The rows are taken in blocks, each with the keys up to its last row, so that little is computed for what can't be
    seen: with n blocks (1 + 1/n) / 2 of the square. Operations are in place.
    """
    attended: Tensor = _BiasedAttention.apply(query, key, value, bias)  # type: ignore[no-untyped-call]
    return attended


class _BiasedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        shape = b, H, rows, E = query.shape
        q, k, v = (each.reshape(b * H, rows, E) for each in (query, key, value))
        attended = torch.empty_like(q)
        blocks = []
        for start, stop in _blocks(rows):
            own = bias[:, :, start:stop, :stop].expand(b, H, stop - start, stop).reshape(b * H, stop - start, stop)
            weights = torch.baddbmm(own, q[:, start:stop], k[:, :stop].transpose(1, 2), alpha=1 / math.sqrt(E))
            torch.softmax(weights, -1, out=weights)
            torch.bmm(weights, v[:, :stop], out=attended[:, start:stop])
            blocks.append(weights)
        ctx.save_for_backward(q, k, v, attended, *blocks)
        ctx.shape, ctx.shared_bias = shape, bias.shape[0] != b
        return attended.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        q, k, v, attended, *blocks = ctx.saved_tensors
        b, H, rows, E = ctx.shape
        scale = 1 / math.sqrt(E)
        gradient = gradient.reshape(b * H, rows, E)
        along = (gradient * attended).sum(-1, keepdim=True)
        d_query, d_key, d_value = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        d_bias = None
        if ctx.needs_input_grad[3]:
            d_bias = torch.zeros(1 if ctx.shared_bias else b, H, rows, rows, dtype=q.dtype, device=q.device)
        for (start, stop), weights in zip(_blocks(rows), blocks, strict=True):
            above = gradient[:, start:stop]
            d_value[:, :stop].baddbmm_(weights.transpose(1, 2), above)
            d_scores = torch.bmm(above, v[:, :stop].transpose(1, 2))
            d_scores.sub_(along[:, start:stop]).mul_(weights)
            torch.bmm(d_scores, k[:, :stop], out=d_query[:, start:stop])
            d_key[:, :stop].baddbmm_(d_scores.transpose(1, 2), q[:, start:stop], alpha=scale)
            if d_bias is not None:
                found = d_scores.view(b, H, stop - start, stop)
                d_bias[:, :, start:stop, :stop] = found.sum(0, keepdim=True) if ctx.shared_bias else found
        shape = ctx.shape
        return d_query.mul_(scale).view(shape), d_key.view(shape), d_value.view(shape), d_bias


BLOCK = 100
"""Most rows of a block."""


def _blocks(rows: int) -> list[tuple[int, int]]:
    """Rows cut into blocks of like size."""
    size = -(-rows // -(-rows // BLOCK))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]
