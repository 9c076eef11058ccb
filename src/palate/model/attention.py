"""Causal attention within rectangles, with an additive bias.

Legend: ``b`` sequences of a rectangle, ``l`` slots of each, ``H`` heads, ``E`` width of a head.

`biased_attention` is the fast path; `reference_attention` says the same plainly. `attention_at` is that of some rows,
to which the others are keys and values only: a member who is asked for has one such row, their last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from palate.model.lowered import lowered
from palate.tokens.batch import Rectangle


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


class Asking(NamedTuple):
    """Rows of a rectangle that ask: the ``among`` ones of all that are wanted."""

    among: slice
    sequence: Int64[Tensor, "n"]
    place: Int64[Tensor, "n"]
    """Within the sequence."""
    once: bool
    """Whether every sequence asks once."""


def parts(x: Float[Tensor, "T W"], sizes: Iterable[int]) -> list[Tensor]:
    """The slots of each rectangle, without the empty ones behind the last.

    Split, not sliced: the gradients of slices are as large as the whole, each.
    """
    sizes = list(sizes)
    return list(torch.split(x, [*sizes, len(x) - sum(sizes)])[:-1])


def asking(rows: Int64[Tensor, "N"], rectangles: Sequence[Rectangle]) -> Iterator[Asking]:
    """Which of these rows, ascending, each rectangle has."""
    start = 0
    for b, length in rectangles:
        stop = start + b * length
        low, high = torch.searchsorted(rows, torch.tensor([start, stop], device=rows.device)).tolist()
        own = rows[low:high] - start
        sequence = own // length
        once = high - low == b and torch.equal(sequence, torch.arange(b, device=rows.device))
        yield Asking(slice(low, high), sequence, own % length, once)
        start = stop


def attention_at(
    query: Float[Tensor, "n D"],
    both: Float[Tensor, "S W"],
    own: Asking,
    heads: int,
    mask: Float[Tensor, "n _ 1 l"] | Bool[Tensor, "n 1 1 l"],
) -> Float[Tensor, "n D"]:
    """Attention of a rectangle's rows that ask, to the keys and values of all its ``S`` slots."""
    n, D = query.shape
    length = mask.shape[-1]
    keys, values = both.view(-1, length, 2, heads, D // heads).permute(2, 0, 3, 1, 4)
    if not own.once:
        keys, values = keys[own.sequence], values[own.sequence]
    found = F.scaled_dot_product_attention(query.view(n, heads, 1, D // heads), keys, values, attn_mask=mask)
    return found.reshape(n, D)


class _BiasedAttention(torch.autograd.Function):
    @staticmethod
    @lowered
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
