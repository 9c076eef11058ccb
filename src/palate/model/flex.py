"""Windowed attention on a GPU: one FlexAttention kernel over summaries and rows, with the masks and biases of the grid.

The keys lie in the order: shared summaries, summaries of blocks, rows. What a row sees of them, and the biases, are
those of `palate.model.window`; the kernel skips the tiles that nobody sees, so its time grows with the length.
FlexAttention (Dong et al. 2024) has no backward pass on a processor, where `palate.model.window` works block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from palate.model.bias import PositionBias, TimeBias, bucket_scale
from palate.model.grid import Grid
from palate.model.summary import Summaries, of_grid

SHARED, OWN, ROW = 0, 1, 2


class Seen(NamedTuple):
    """Everything that can be seen, and how: ``K`` summary vectors and rows."""

    key: Float[Tensor, "b H K E"]
    value: Float[Tensor, "b H K E"]
    mask: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Of a sequence, a row and a key: whether it is seen."""
    modify: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    """Of a product, a sequence, a head, a row and a key: the logit."""


def flex_windowed_attention(
    query: Float[Tensor, "b H P E"],
    key: Float[Tensor, "b H P E"],
    value: Float[Tensor, "b H P E"],
    grid: Grid,
    position: PositionBias,
    time: TimeBias | None,
    summaries: Summaries,
) -> Float[Tensor, "b H P E"]:
    """`palate.model.window.windowed_attention` as one kernel."""
    seen = what_is_seen(key, value, grid, position, time, summaries)
    b, _, P, _ = query.shape
    # Lambdas, since FlexAttention counts arguments, which checks of shapes at run time would hide.
    blocks = create_block_mask(
        lambda s, h, q, k: seen.mask(s, q, k),  # noqa: ARG005
        b,
        None,
        P,
        seen.key.shape[2],
        device=str(query.device),
    )
    attended: Tensor = _kernel()(
        query,
        seen.key,
        seen.value,
        score_mod=lambda x, s, h, q, k: seen.modify(x, s, h, q, k),  # noqa: PLW0108
        block_mask=blocks,
    )
    return attended


@cache
def _kernel() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def what_is_seen(
    key: Float[Tensor, "b H P E"],
    value: Float[Tensor, "b H P E"],
    grid: Grid,
    position: PositionBias,
    time: TimeBias | None,
    summaries: Summaries,
) -> Seen:
    """The keys, the mask and the biases."""
    span, n = grid.span, grid.blocks
    b, _, P, _ = key.shape
    C, back, own = span.block, span.back, span.own
    old, ancient = span.exact(n - 1), span.summarised(n - 1)
    pooled, together = of_grid(summaries, grid, key, value)
    # Summaries have been averaged in a type of their own where products are lowered.
    keys = torch.cat([each.flatten(2, 3).to(key.dtype) for each in (together.key, pooled.key)] + [key], dim=2)
    values = torch.cat([each.flatten(2, 3).to(key.dtype) for each in (together.value, pooled.value)] + [value], dim=2)

    device, r = key.device, span.rank
    places = torch.arange(P, device=device)
    vectors = [torch.arange(count, device=device).repeat_interleave(r) for count in (ancient, old)]
    column_block = torch.cat([*vectors, places // C])
    column_place = torch.cat([*(torch.zeros_like(each) for each in vectors), places])
    kinds = [torch.full_like(each, kind) for each, kind in ((vectors[0], SHARED), (vectors[1], OWN), (places, ROW))]
    kind = torch.cat(kinds)
    weight = torch.cat(
        [
            grid.shared_weight[:, :ancient].repeat_interleave(r, 1),
            grid.weight[:, :old].repeat_interleave(r, 1),
            grid.weight.new_zeros(b, P),
        ],
        dim=1,
    ).to(key.dtype)
    missing = torch.zeros(b, P, dtype=torch.bool, device=device)
    if grid.missing is not None:
        missing[:, :C] = grid.missing

    def mask(s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        row, column, place = q // C, column_block[k], column_place[k]
        seen = (place <= q) & (row - column <= back) & (~missing[s, place] | (place == q))
        of_own = (column < row - back) & (column >= row - back - own)
        of_shared = column == row - back - own - 1
        return torch.where(kind[k] == ROW, seen, torch.where(kind[k] == OWN, of_own, of_shared))

    of_rows, of_blocks = position.table, summaries.position.table
    longest = of_rows.shape[1] - 1

    def with_place(score: Tensor, s: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        distance = (q - column_place[k]).clamp(0, longest)
        apart = torch.where(kind[k] == SHARED, own, (q // C - column_block[k] - back - 1).clamp(0, own))
        return score + torch.where(kind[k] == ROW, of_rows[h, distance], of_blocks[h, apart]) + weight[s, k]

    modify = with_place
    if time is not None and grid.times is not None:
        times, of_time, last = grid.times, time.table, time.table.shape[1] - 1
        scale = bucket_scale(time.table.shape[1])
        asks = times.asks.flatten(1)
        summarised = (times.shared_mean[:, :ancient], times.mean[:, :old])
        acted = torch.cat([*(each.repeat_interleave(r, 1) for each in summarised), times.acted.flatten(1)], dim=1)

        def with_time(score: Tensor, s: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            gap = (asks[s, q] - acted[s, k]).clamp(min=0).float() / 1000
            bucket = (gap.log1p() * scale).clamp(max=last).long()
            return with_place(score, s, h, q, k) + of_time[h, bucket]

        modify = with_time
    return Seen(keys, values, mask, modify)
