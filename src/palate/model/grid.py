"""The grid of blocks that windowed attention lies on: who sees what, one by one or through a summary.

A member's rows are cut into blocks of ``block`` places, counted from the member's first row: whatever rows a batch
holds of a history, they fall into the same blocks. A row of block n sees, with w = `Span.back` and M = `Span.own`,

- one by one: the rows of its own block up to itself, and those of the w blocks before;
- through a summary of its own: each of the M blocks before those;
- through one summary: all rows of the view that are older.

So each earlier row of the view is seen exactly once. The first block of a view may lack its first rows: it stands for
those that are there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int16, Int64
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask

from palate.model.bias import gap_buckets
from palate.model.config import TransformerConfig


class Span(NamedTuple):
    """How far a row sees, in blocks."""

    block: int
    """Rows of a block."""
    back: int
    """Blocks before a row's own that it sees one by one."""
    own: int
    """Blocks before those with a summary of their own."""
    rank: int
    """Vectors of a summary."""

    @classmethod
    def of(cls, config: TransformerConfig) -> Span | None:
        """That of a configuration; none where attention is dense."""
        if config.window is None:
            return None
        return cls(block=config.block, back=config.window // config.block, own=config.summaries, rank=config.rank)

    @property
    def rows(self) -> int:
        """Most rows that a row sees one by one, itself included."""
        return (self.back + 1) * self.block

    def exact(self, block: int) -> int:
        """The first block that the rows of ``block`` see one by one."""
        return max(block - self.back, 0)

    def summarised(self, block: int) -> int:
        """The first block that they see through a summary of its own; all blocks before it share one."""
        return max(block - self.back - self.own, 0)

    def summaries(self, block: int) -> int:
        """How many summaries they see, the shared one included."""
        return self.exact(block) - self.summarised(block) + (self.summarised(block) > 0)

    def computed(self, length: int) -> int:
        """Pairs of a row and what it may see that are computed for a sequence of so many slots, at most: wherever it
        begins in its first block."""
        if length <= self.rows - self.block + 1:
            return length**2
        blocks = -(-(length + self.block - 1) // self.block)
        seen = (self.summaries(n) * self.rank + (n + 1 - self.exact(n)) * self.block for n in range(blocks))
        return self.block * sum(seen)

    def seen(self, first: Int64[Tensor, "b"], lengths: Int64[Tensor, "b"]) -> Seen:
        """What the rows of sequences see that begin at places ``first`` of their histories."""
        ahead = first % self.block
        place = torch.arange(int((ahead + lengths).max()) if len(first) else 0)
        block = place // self.block
        exact = (block - self.back).clamp(min=0)
        summarised = (exact - self.own).clamp(min=0)
        one_by_one = place - exact * self.block + 1
        vectors = (exact - summarised + (summarised > 0)) * self.rank

        def total(of_place: Tensor) -> Tensor:
            up_to = torch.nn.functional.pad(of_place.cumsum(0), (1, 0))
            return up_to[ahead + lengths] - up_to[ahead]

        # Rows that look back to the first block see what there is of it.
        missing = ahead * total((exact == 0).long())
        last = torch.where(lengths > 0, (ahead + lengths - 1) // self.block, 0)
        old, ancient = ((last - gone).clamp(min=0) for gone in (self.back, self.back + self.own))
        pooled = (old * self.block - ahead).clamp(min=0)
        return Seen(
            pairs=int((total(one_by_one + vectors) - missing).sum()),
            pooled=int(pooled.sum()),
            joined=int((ancient * (ancient + 1) // 2).sum()),
        )


class Seen(NamedTuple):
    """What windowed attention of some sequences comes to."""

    pairs: int
    """Of a row and a row or a summary's vector that it sees."""
    pooled: int
    """Rows that summaries are made of."""
    joined: int
    """Pairs of a block's summary and one that is shared by all blocks up to a later one."""


class Dense(NamedTuple):
    """A rectangle whose rows all see each other one by one."""

    sequences: int
    length: int
    gaps: Int64[Tensor, "b l l"] | None
    """Buckets of the time between rows and keys; none without time."""


class Times(NamedTuple):
    """Moments in milliseconds of what lies on a grid; the time of a summary is the mean over its rows."""

    asks: Int64[Tensor, "b n C"]
    acted: Int64[Tensor, "b n C"]
    mean: Int64[Tensor, "b n"]
    shared_mean: Int64[Tensor, "b n"]


class Grid(NamedTuple):
    """A rectangle of ``b`` sequences of ``l`` slots, laid on ``n`` blocks of ``C`` places."""

    span: Span
    sequences: int
    length: int
    blocks: int
    slot: Int64[Tensor, "S"]
    """Place of each slot among the b · n · C places."""
    missing: Bool[Tensor, "b C"] | None
    """Places of the first block that lie before the view; none where there are none at all."""
    weight: Float[Tensor, "b n"]
    """Logarithm of what a vector of each block's summary stands for: its rows there are, over the rank."""
    shared_weight: Float[Tensor, "b n"]
    """The same for all blocks up to each."""
    times: Times | None
    """Moments; none without time."""
    gaps: tuple[Int16[Tensor, "b C k"], ...] | None
    """For each block, buckets of the time to all that its rows see: summaries, the shared one first, then rows. None
    without time, and on a GPU, whose kernel makes them on the fly.
    """
    tiles: BlockMask | None = None
    """What a GPU's kernel need not look at (`palate.model.flex.tiles`); none where nobody made it."""


def dense_view(query_time: Int64[Tensor, "b l"], key_time: Int64[Tensor, "b l"], time_buckets: int | None) -> Dense:
    """What dense attention has to know of a rectangle."""
    gaps = None if time_buckets is None else gap_buckets(query_time, key_time, time_buckets)
    b, length = query_time.shape
    return Dense(b, length, gaps)


def grid_view(
    span: Span,
    first: Int64[Tensor, "b"],
    query_time: Int64[Tensor, "b l"],
    key_time: Int64[Tensor, "b l"],
    time_buckets: int | None,
) -> Grid | Dense:
    """What windowed attention has to know of a rectangle whose sequences begin at places ``first`` of their histories.

    Where no row has so many before it that one falls out of its window, that is what dense attention does.
    """
    b, length = query_time.shape
    C, ahead = span.block, first % span.block
    longest = int(ahead.max()) + length
    if longest <= span.rows:
        return dense_view(query_time, key_time, time_buckets)
    n = -(-longest // C)
    begin = torch.arange(b, device=first.device) * (n * C) + ahead
    slot = (begin[:, None] + torch.arange(length, device=first.device)).reshape(-1)
    missing = torch.arange(C, device=first.device) < ahead[:, None]
    rows = torch.full((b, n), C, device=first.device)
    rows[:, 0] -= ahead
    up_to = rows.cumsum(1)
    times = None if time_buckets is None else _times(slot, query_time, key_time, rows, C)
    gaps = None
    if times is not None and time_buckets is not None and not slot.is_cuda:
        gaps = _gaps(span, times, time_buckets)
    return Grid(
        span=span,
        sequences=b,
        length=length,
        blocks=n,
        slot=slot,
        missing=missing if bool(missing.any()) else None,
        weight=torch.log(rows / span.rank),
        shared_weight=torch.log(up_to / span.rank),
        times=times,
        gaps=gaps,
    )


def _times(slot: Tensor, query_time: Tensor, key_time: Tensor, rows: Tensor, C: int) -> Times:
    b, n = rows.shape
    asks = torch.zeros(b * n * C, dtype=torch.int64, device=slot.device)
    asks[slot] = query_time.reshape(-1)
    acted = torch.zeros_like(asks)
    acted[slot] = key_time.reshape(-1)
    asks, acted = asks.view(b, n, C), acted.view(b, n, C)
    total = acted.sum(-1)
    return Times(asks, acted, total // rows, total.cumsum(1) // rows.cumsum(1))


def _gaps(span: Span, times: Times, time_buckets: int) -> tuple[Tensor, ...]:
    found = []
    for block in range(times.mean.shape[1]):
        low, own = span.exact(block), span.summarised(block)
        together = times.shared_mean[:, own - 1 : own] if own else times.mean[:, :0]
        acted = times.acted[:, low : block + 1].flatten(1)
        keys = torch.cat([together, times.mean[:, own:low], acted], dim=1)
        found.append(gap_buckets(times.asks[:, block], keys, time_buckets).to(torch.int16))
    return tuple(found)


def lay(grid: Grid, slots: Float[Tensor, "S W"]) -> Float[Tensor, "b P W"]:
    """What lies in the slots of the rectangle, at its places; zeros elsewhere."""
    places = grid.sequences * grid.blocks * grid.span.block
    laid = slots
    if places > len(slots):
        laid = slots.new_zeros(places, slots.shape[1]).index_copy(0, grid.slot, slots)
    return laid.view(grid.sequences, -1, slots.shape[1])


def lift(grid: Grid, places: Float[Tensor, "b P W"]) -> Float[Tensor, "S W"]:
    """What lies at the places, in the slots of the rectangle."""
    flat = places.reshape(-1, places.shape[2])
    return flat if len(flat) == len(grid.slot) else F.embedding(grid.slot, flat)
