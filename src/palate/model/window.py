"""Windowed attention: rows one by one within a window of blocks, summaries of all blocks before it.

`windowed_attention` is the fast path, block by block: its time and memory grow with the length, not with its square.
`reference_windowed_attention` says the same with dense scores and masks, without any grid. What a row of block n sees
is said in `palate.model.grid`. The logit of a summary's vector is

    ⟨query, key⟩ / √E + ln(rows it stands for / rank) + c[h, distance in blocks] + g[h, time bucket of its mean time],

so that a summary counts as much as the rows that it replaces: rows that are all alike get the attention
that they would have got one by one.

Legend: ``b`` sequences, ``n`` blocks of ``C`` places (P = n · C), ``H`` heads of width ``E``, ``r`` vectors a summary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from palate.model.bias import PositionBias, TimeBias, gap_buckets
from palate.model.grid import Grid, Span
from palate.model.lowered import lowered
from palate.model.summary import Summaries, of_grid


def windowed_attention(
    query: Float[Tensor, "b H P E"],
    key: Float[Tensor, "b H P E"],
    value: Float[Tensor, "b H P E"],
    grid: Grid,
    position: PositionBias,
    time: TimeBias | None,
    summaries: Summaries,
) -> Float[Tensor, "b H P E"]:
    """Attend block by block; what stands at places outside of the view has no meaning."""
    span = grid.span
    pooled, together = of_grid(summaries, grid, key, value)
    attended: Tensor = _Windowed.apply(  # type: ignore[no-untyped-call]
        query,
        key,
        value,
        pooled.key,
        pooled.value,
        together.key,
        together.value,
        position.band(span.block, span.rows),
        None if time is None else time.table,
        summaries.position.table,
        grid,
    )
    return attended


def reference_windowed_attention(
    query: Float[Tensor, "H l E"],
    key: Float[Tensor, "H l E"],
    value: Float[Tensor, "H l E"],
    first: int,
    query_time: Int64[Tensor, "l"],
    key_time: Int64[Tensor, "l"],
    span: Span,
    position: PositionBias,
    time: TimeBias | None,
    summaries: Summaries,
) -> Float[Tensor, "H l E"]:
    """The same for one sequence that begins at place ``first`` of its history."""
    scale = 1 / math.sqrt(query.shape[-1])
    place = first + torch.arange(query.shape[1])
    block = place // span.block
    row, column = place[:, None], place
    visible = (column <= row) & (block[:, None] - block <= span.back)
    bias = position.table[:, (row - column).clamp(0, position.table.shape[1] - 1)]
    if time is not None:
        bias = bias + time.table[:, gap_buckets(query_time[None], key_time[None], time.table.shape[1])[0]]
    logits = [(query @ key.transpose(1, 2) * scale + bias).masked_fill(~visible, -torch.inf)]
    values = [value]
    pool = summaries.query @ key.transpose(1, 2) * scale + summaries.place[:, :, place % span.block]

    def summarise(members: Tensor, seen_by: Tensor, distance: Tensor) -> None:
        """Append the vectors of a summary of the rows ``members``, for the rows ``seen_by`` at a distance each."""
        weights = pool.masked_fill(~members, -torch.inf).softmax(-1)
        own = query @ (weights @ key).transpose(1, 2) * scale + math.log(int(members.sum()) / span.rank)
        added = summaries.position.table[:, distance.clamp(0, span.own)]
        if time is not None:
            mean = key_time[members].sum() // members.sum()
            added = added + time.table[:, gap_buckets(query_time[None], mean[None, None], time.table.shape[1])[0, :, 0]]
        logits.append((own + added[..., None]).masked_fill(~seen_by[:, None], -torch.inf))
        values.append(weights @ value)

    for each in torch.unique(block).tolist():
        distance = block - each - span.back - 1
        summarise(block == each, (distance >= 0) & (distance < span.own), distance)
        summarise(block <= each, distance == span.own, distance)
    return torch.cat(logits, dim=-1).softmax(-1) @ torch.cat(values, dim=1)


class _Windowed(torch.autograd.Function):
    @staticmethod
    @lowered
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        own_key: Tensor,
        own_value: Tensor,
        shared_key: Tensor,
        shared_value: Tensor,
        band: Tensor,
        time: Tensor | None,
        position: Tensor,
        grid: Grid,
    ) -> Tensor:
        C, E = grid.span.block, query.shape[-1]
        attended = torch.empty_like(query)
        kept = []
        for block in range(grid.blocks):
            rows = slice(block * C, (block + 1) * C)
            seen = _seen(key, own_key, shared_key, grid.span, block)
            weights = _bias(band, time, position, grid, block).flatten(0, 1)
            weights.baddbmm_(query[:, :, rows].flatten(0, 1), seen.transpose(1, 2), alpha=1 / math.sqrt(E))
            torch.softmax(weights, -1, out=weights)
            values = _seen(value, own_value, shared_value, grid.span, block)
            attended[:, :, rows] = torch.bmm(weights, values).view(*query.shape[:2], C, E)
            kept.append(weights)
        ctx.save_for_backward(query, key, value, own_key, own_value, shared_key, shared_value, attended, *kept)
        ctx.grid, ctx.shapes = grid, (band.shape, None if time is None else time.shape, position.shape)
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, own_key, own_value, shared_key, shared_value, attended, *kept = ctx.saved_tensors
        grid: Grid = ctx.grid
        span, C, (b, H, _, E) = grid.span, grid.span.block, query.shape
        d_query = torch.empty_like(query)
        d_key, d_value = torch.zeros_like(key), torch.zeros_like(value)
        d_own = torch.zeros_like(own_key), torch.zeros_like(own_value)
        d_shared = torch.zeros_like(shared_key), torch.zeros_like(shared_value)
        d_band, d_position = (query.new_zeros(ctx.shapes[place]) for place in (0, 2))
        d_time = None if ctx.shapes[1] is None else query.new_zeros(ctx.shapes[1])
        for block, weights in enumerate(kept):
            rows = slice(block * C, (block + 1) * C)
            given = gradient[:, :, rows].flatten(0, 1)
            values = _seen(value, own_value, shared_value, span, block)
            d_scores = torch.bmm(given, values.transpose(1, 2))
            d_scores.sub_((given * attended[:, :, rows].flatten(0, 1)).sum(-1, keepdim=True)).mul_(weights)
            _scatter(torch.bmm(weights.transpose(1, 2), given), d_value, d_own[1], d_shared[1], span, block)
            _bias_gradient(d_scores.view(b, H, C, -1), d_band, d_time, d_position, grid, block)
            d_scores.mul_(1 / math.sqrt(E))
            seen = _seen(key, own_key, shared_key, span, block)
            d_query[:, :, rows] = torch.bmm(d_scores, seen).view(b, H, C, E)
            turned = torch.bmm(d_scores.transpose(1, 2), query[:, :, rows].flatten(0, 1))
            _scatter(turned, d_key, d_own[0], d_shared[0], span, block)
        return d_query, d_key, d_value, *d_own, *d_shared, d_band, d_time, d_position, None


def _seen(rows: Tensor, own: Tensor, together: Tensor, span: Span, block: int) -> Float[Tensor, "bH k E"]:
    """All that a block sees, in the order of `Grid.gaps`; vectors of a summary lie together."""
    low, first = span.exact(block), span.summarised(block)
    parts = [rows[:, :, low * span.block : (block + 1) * span.block]]
    if low > first:
        parts.insert(0, own[:, :, first:low].flatten(2, 3))
    if first:
        parts.insert(0, together[:, :, first - 1])
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)).flatten(0, 1)


def _scatter(found: Tensor, rows: Tensor, own: Tensor, together: Tensor, span: Span, block: int) -> None:
    """Add gradients to what `_seen` put together."""
    low, first = span.exact(block), span.summarised(block)
    found = found.view(*rows.shape[:2], -1, rows.shape[-1])
    start = 0
    if first:
        together[:, :, first - 1] += found[:, :, : span.rank]
        start = span.rank
    if low > first:
        stop = start + (low - first) * span.rank
        seen = own[:, :, first:low]
        seen += found[:, :, start:stop].view(seen.shape)
        start = stop
    rows[:, :, low * span.block : (block + 1) * span.block] += found[:, :, start:]


def _bias(band: Tensor, time: Tensor | None, position: Tensor, grid: Grid, block: int) -> Float[Tensor, "b H C k"]:
    """What is added to the products."""
    span, H = grid.span, len(band)
    count, rows = span.summaries(block), (block + 1 - span.exact(block)) * span.block
    bias = band.new_empty(grid.sequences, H, span.block, count * span.rank + rows)
    of_rows = bias[..., count * span.rank :]
    of_rows.copy_(band[..., -rows:])
    if grid.missing is not None and span.exact(block) == 0:
        hidden = grid.missing[:, None, None]
        if block == 0:  # a row before the view sees itself: something has to be seen
            hidden = hidden & ~torch.eye(span.block, dtype=torch.bool, device=hidden.device)
        of_rows[..., : span.block].masked_fill_(hidden, -torch.inf)
    if count:
        vectors = bias[..., : count * span.rank].view(*bias.shape[:3], count, span.rank)
        weight = _summary_weight(grid, block)
        vectors.copy_((position[:, :count].flip(-1)[None, :, None, :] + weight[:, None, None, :])[..., None])
    if time is not None and grid.gaps is not None:
        gaps = grid.gaps[block].int()
        for head in range(H):
            added = time[head].index_select(0, gaps.view(-1)).view(gaps.shape)
            of_rows[:, head] += added[..., count:]
            if count:
                vectors[:, head] += added[..., :count, None]
    return bias


def _bias_gradient(
    d_scores: Tensor, d_band: Tensor, d_time: Tensor | None, d_position: Tensor, grid: Grid, block: int
) -> None:
    """Add the gradient of `_bias` to those of its tables."""
    span = grid.span
    count = span.summaries(block)
    of_rows = d_scores[..., count * span.rank :]
    of_vectors = None
    if count:
        of_vectors = d_scores[..., : count * span.rank].view(*d_scores.shape[:3], count, span.rank).sum(-1)
    d_band[..., -of_rows.shape[-1] :] += of_rows.sum(0)
    if of_vectors is not None:
        d_position[:, :count] += of_vectors.sum((0, 2)).flip(-1)
    if d_time is not None and grid.gaps is not None:
        gaps = grid.gaps[block].int()
        together = of_rows if of_vectors is None else torch.cat([of_vectors, of_rows], dim=-1)
        for head in range(len(d_time)):
            weights = together[:, head].reshape(-1)
            d_time[head] += torch.bincount(gaps.view(-1), weights=weights, minlength=d_time.shape[1])


def _summary_weight(grid: Grid, block: int) -> Float[Tensor, "b m"]:
    low, first = grid.span.exact(block), grid.span.summarised(block)
    together = grid.shared_weight[:, first - 1 : first] if first else grid.weight[:, :0]
    return torch.cat([together, grid.weight[:, first:low]], dim=1)
