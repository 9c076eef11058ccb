"""Windowed attention on a GPU: one FlexAttention kernel over summaries and rows, with the masks and biases of the grid.

The keys lie in the order: shared summaries, summaries of blocks, rows. What a row sees of them, and the biases, are
those of `palate.model.window`; the kernel skips the tiles that nobody sees, so its time grows with the length (`tiles`
looks at all pairs once for a grid).
FlexAttention (Dong et al. 2024) has no backward pass on a processor, where `palate.model.window` works block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

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
    # A lambda, since FlexAttention counts arguments, which checks of shapes at run time would hide.
    attended: Tensor = _kernel()(
        query,
        seen.key,
        seen.value,
        score_mod=lambda x, s, h, q, k: seen.modify(x, s, h, q, k),  # noqa: PLW0108
        block_mask=tiles(grid) if grid.tiles is None else grid.tiles,
    )
    return attended


def tiles(grid: Grid) -> BlockMask:
    """Which tiles of rows and keys have anything to see: the same in all layers, so made once for a grid.

    Making it looks at all pairs once, in integers.
    """
    columns = _Columns.of(grid)
    places = grid.blocks * grid.span.block
    return create_block_mask(
        lambda s, h, q, k: columns.seen(s, q, k),  # noqa: ARG005
        grid.sequences,
        None,
        places,
        len(columns.kind),
        device=str(grid.slot.device),
    )


class _Columns(NamedTuple):
    """The ``K`` keys of a grid: vectors of shared summaries, of summaries of blocks, and rows."""

    grid: Grid
    kind: Int64[Tensor, "K"]
    block: Int64[Tensor, "K"]
    """Of rows and of summaries of blocks."""
    place: Int64[Tensor, "K"]
    """Of rows."""
    missing: Bool[Tensor, "b P"]
    """Places that lie before the view."""

    @classmethod
    def of(cls, grid: Grid) -> _Columns:
        """Those of a grid."""
        span, last, device = grid.span, grid.blocks - 1, grid.slot.device
        places = torch.arange(grid.blocks * span.block, device=device)
        vectors = [
            torch.arange(count, device=device).repeat_interleave(span.rank)
            for count in (span.summarised(last), span.exact(last))
        ]
        parts = ((vectors[0], SHARED), (vectors[1], OWN), (places, ROW))
        missing = torch.zeros(grid.sequences, len(places), dtype=torch.bool, device=device)
        if grid.missing is not None:
            missing[:, : span.block] = grid.missing
        return cls(
            grid,
            kind=torch.cat([torch.full_like(each, kind) for each, kind in parts]),
            block=torch.cat([*vectors, places // span.block]),
            place=torch.cat([*(torch.zeros_like(each) for each in vectors), places]),
            missing=missing,
        )

    def seen(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Whether row q of sequence s sees key k."""
        span = self.grid.span
        row, column, place = q // span.block, self.block[k], self.place[k]
        of_row = (place <= q) & (row - column <= span.back) & (~self.missing[s, place] | (place == q))
        of_own = (column < row - span.back) & (column >= row - span.back - span.own)
        of_shared = column == row - span.back - span.own - 1
        return torch.where(self.kind[k] == ROW, of_row, torch.where(self.kind[k] == OWN, of_own, of_shared))


@cache
def _kernel() -> Any:
    # A variant for one sequence, for as many as heads, for one tile and for several, of each model in the process;
    # beyond the limit attention would hold all pairs, so that has to be an error.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(flex_attention, dynamic=True, fullgraph=True)


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

    columns, r = _Columns.of(grid), span.rank
    kind, column_block, column_place = columns.kind, columns.block, columns.place
    weight = torch.cat(
        [
            grid.shared_weight[:, :ancient].repeat_interleave(r, 1),
            grid.weight[:, :old].repeat_interleave(r, 1),
            grid.weight.new_zeros(b, P),
        ],
        dim=1,
    ).to(key.dtype)

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
    return Seen(keys, values, columns.seen, modify)
