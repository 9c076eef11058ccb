"""Palate's encoder: a pre-norm causal transformer with gated residuals and relative biases.

Each sub-layer updates the state as x + σ(W x) · f(norm x): the gate can close where the update does not help.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.attention import asking, attention_at, biased_attention, parts
from palate.model.bias import PositionBias, TimeBias
from palate.model.cache import Folded, MemberCache
from palate.model.config import TransformerConfig
from palate.model.dropout import Dropout
from palate.model.flex import flex_windowed_attention, tiles
from palate.model.fused import RMSNorm, gated, swiglu
from palate.model.grid import Dense, Grid, Span, dense_view, grid_view, lay, lift
from palate.model.product import ROWS, Linear, linear, whole_rows
from palate.model.step import Past, attend_to_past, gather
from palate.model.storage import Precision, Rows
from palate.model.summary import Pooled, Summaries
from palate.model.window import windowed_attention
from palate.tokens.batch import Batch, Rectangle


class Transformer(nn.Module):
    """Blocks of attention and feed-forward, and a final norm."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.time_buckets = config.time_buckets if has_time else None
        self.span = Span.of(config)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, context=context, has_time=has_time) for _ in range(config.blocks))
        self.norm = RMSNorm(config.width)

    def forward(
        self,
        x: Float[Tensor, "T D"],
        batch: Batch,
        wanted: Int64[Tensor, "n"] | None = None,
        *,
        kept: list[Tensor] | None = None,
    ) -> Float[Tensor, "_ D"]:
        """Encode every row from the rows of its sequence up to itself; of all rows, or of ``wanted`` ones.

        Each layer appends the keys and values of the rows to ``kept``, ``[T, 2 D]``; some empty rows
        may follow.
        """
        views = self._views(batch)
        T = len(x)
        x = self.dropout(whole_rows(x))
        *blocks, last = self.blocks
        assert isinstance(last, Block)
        for block in blocks:
            x = block(x, views, kept)
        few = wanted is not None and len(wanted) <= sum(view.sequences for view in views)
        if wanted is not None and few and all(isinstance(view, Dense) for view in views):
            # Rows that are not wanted are keys and values of the last block, and nothing else. Where a sequence has
            # several that are, its keys and values would be copied for each.
            x = last.at(x, views, wanted)
        else:
            x = last(x, views, kept)
            x = x[:T] if wanted is None else x[wanted]
        encoded: Tensor = self.norm(x)
        return encoded

    def new_cache(self, precision: Precision, *, start: int) -> MemberCache:
        """The cache of a member whose view begins at place ``start``, without a row."""
        first = self.attentions[0]
        return MemberCache(Rows(precision, len(self.blocks), first.heads, first.head_width), start=start)

    def read(self, cache: MemberCache, x: Float[Tensor, "T D"], batch: Batch) -> Float[Tensor, "T D"]:
        """Commit the first rows of a view, all at once: one sequence, whose batch says where the view begins."""
        assert cache.start == cache.stop == int(batch.first), "an empty cache, and the rows of its view"
        kept: list[Tensor] = []
        encoded: Tensor = self(x, batch, kept=kept)
        heads = self.attentions[0].heads
        rows = torch.stack([each[: len(x)].view(len(x), 2, heads, -1) for each in kept]).permute(2, 0, 3, 1, 4)
        cache.append(rows, batch.key_time)
        self._fold(cache)
        return encoded

    def step(
        self,
        caches: Sequence[MemberCache],
        x: Float[Tensor, "B D"],
        query_time: Int64[Tensor, "B"],
        key_time: Int64[Tensor, "B"],
        *,
        commit: bool,
    ) -> Float[Tensor, "B D"]:
        """Encode the next row of each member; ``commit`` puts it into its cache, without it nothing is kept."""
        past = gather(caches, query_time, key_time, time_buckets=self.time_buckets)
        found = []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, key, value = block.step(x, past, number)
            found.append(torch.stack([key, value]))
        if commit:
            rows = torch.stack(found, dim=1)  # [2, N, B, H, E]
            for number, cache in enumerate(caches):
                cache.append(rows[:, :, number, :, None], key_time[number, None])
                self._fold(cache)
        encoded: Tensor = self.norm(x)
        return encoded

    @property
    def attentions(self) -> list[Attention]:
        """Those of the blocks."""
        found = [part for part in self.modules() if isinstance(part, Attention)]
        assert len(found) == len(self.blocks)
        return found

    def _fold(self, cache: MemberCache) -> None:
        """Replace the rows of blocks that the next row no longer sees one by one by their summaries."""
        if self.span is None or not (blocks := cache.due(self.span)):
            return
        C, ahead = self.span.block, cache.first % self.span.block
        count = blocks * C - ahead
        rows = F.pad(cache.rows.read()[:, :, :, :count], (0, 0, ahead, 0))
        rows = rows.view(*rows.shape[:3], blocks, C, -1)
        missing = torch.arange(C) < ahead
        pooled: list[Pooled] = []
        for number, attention in enumerate(self.attentions):
            assert attention.summaries is not None
            pooled.append(attention.summaries(*rows[:, number, None], missing[None] if ahead else None))
        time = F.pad(cache.rows.time[:count], (ahead, 0)).view(blocks, C)
        each = torch.full((blocks,), C)
        each[0] -= ahead
        folded = Folded(
            weight=torch.cat([layer.weight for layer in pooled]),
            vectors=torch.stack([torch.cat([getattr(layer, what) for layer in pooled]) for what in ("key", "value")]),
            rows=each,
            time=time.sum(1),
        )
        cache.fold(folded, self.span)

    def _views(self, batch: Batch) -> tuple[Dense | Grid, ...]:
        """What the attention of all blocks has to know of each rectangle."""
        views: list[Dense | Grid] = []
        start = sequence = 0
        for b, length in batch.rectangles:
            stop = start + b * length
            query, key = batch.query_time[start:stop].view(b, length), batch.key_time[start:stop].view(b, length)
            if self.span is None:
                views.append(dense_view(query, key, self.time_buckets))
            else:
                first = batch.first[sequence : sequence + b]
                view = grid_view(self.span, first, query, key, self.time_buckets)
                if isinstance(view, Grid) and query.is_cuda:
                    view = view._replace(tiles=tiles(view))
                views.append(view)
            start, sequence = stop, sequence + b
        return tuple(views)


class Block(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.attention = Gated(Attention(config, context=context, has_time=has_time), config)
        self.feed_forward = Gated(SwiGLU(config), config)

    def forward(
        self, x: Float[Tensor, "T D"], views: tuple[Dense | Grid, ...], kept: list[Tensor] | None
    ) -> Float[Tensor, "T D"]:
        """One block's update."""
        x = self.attention(x, views, kept)
        updated: Tensor = self.feed_forward(x)
        return updated

    def at(
        self, x: Float[Tensor, "T D"], views: tuple[Dense | Grid, ...], rows: Int64[Tensor, "n"]
    ) -> Float[Tensor, "n D"]:
        """`forward` at some rows, ascending, of dense views: the others are only looked at."""
        attention = self.attention.update
        assert isinstance(attention, Attention)
        found = self.attention.join(x[rows], attention.at(self.attention.norm(x), views, rows))
        updated: Tensor = self.feed_forward(found)
        return updated

    def step(self, x: Float[Tensor, "B D"], past: Past, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """The same for one row of each member; also the rows' keys and values, ``[B, H, E]``."""
        attention = self.attention.update
        assert isinstance(attention, Attention)
        query, key, value = attention.heads_of(self.attention.norm(x))
        x = self.attention.join(x, attention.step(query, key, value, past, layer))
        return self.feed_forward(x), key, value


class Gated(nn.Module):
    """x + σ(W x) · f(norm x)."""

    def __init__(self, update: nn.Module, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = RMSNorm(config.width)
        self.gate = Linear(config.width, config.width)
        self.update = update
        self.dropout = Dropout(config.dropout)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)

    def forward(self, x: Float[Tensor, "T D"], *context: object) -> Float[Tensor, "T D"]:
        """Update the state."""
        return self.join(x, self.update(self.norm(x), *context))

    def join(self, x: Float[Tensor, "T D"], update: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """The state with an update, as far as the gate lets it through."""
        return gated(x, update, self.gate.weight, self.gate.bias, self.dropout.draw(update))


class Attention(nn.Module):
    """Multi-head attention within each sequence, to all rows before or to a window of them and to summaries."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.heads, self.head_width = config.heads, config.width // config.heads
        self.project_in = Linear(config.width, 3 * config.width, bias=False)
        self.project_out = Linear(config.width, config.width, bias=False)
        span = Span.of(config)
        self.position = PositionBias(config.heads, context if span is None else min(context, span.rows))
        self.time = TimeBias(config.heads, config.time_buckets) if has_time else None
        self.summaries = None if span is None else Summaries(span, heads=config.heads, head_width=self.head_width)

    def forward(
        self, x: Float[Tensor, "T D"], views: tuple[Dense | Grid, ...], kept: list[Tensor] | None
    ) -> Float[Tensor, "T D"]:
        """Attend to the rows up to one's own."""
        T, D = x.shape
        projected = self.project_in(x)
        if kept is not None:
            kept.append(projected[:, D:])
        attended, start = [], 0
        for own, view in zip(parts(projected, (view.sequences * view.length for view in views)), views, strict=True):
            attended.append(self._dense(own, view) if isinstance(view, Dense) else self._windowed(own, view))
            start += len(own)
        assert start <= T < start + ROWS, f"rectangles hold {start} slots of {T}"
        if start < T:
            attended.append(x.new_zeros(T - start, D))
        together: Tensor = self.project_out(attended[0] if len(attended) == 1 else torch.cat(attended))
        if self.training and self.summaries is not None and not any(isinstance(view, Grid) for view in views):
            # Several processes add up gradients of all parameters, whether one of them had a long history or not.
            together = together + 0.0 * sum(parameter.sum() for parameter in self.summaries.parameters())
        return together

    def at(
        self, x: Float[Tensor, "T D"], views: tuple[Dense | Grid, ...], rows: Int64[Tensor, "n"]
    ) -> Float[Tensor, "n D"]:
        """`forward` at some rows, ascending, of dense views."""
        D, weight = x.shape[1], self.project_in.weight
        query, both = linear(x[rows], weight[:D]), linear(x, weight[D:])
        rectangles = [Rectangle(view.sequences, view.length) for view in views]
        slots = parts(both, (b * length for b, length in rectangles))
        attended = []
        for own, part, view in zip(asking(rows, rectangles), slots, views, strict=True):
            assert isinstance(view, Dense)
            bias = self.position(view.length)[0, :, own.place].transpose(0, 1).unsqueeze(2)
            if self.time is not None and view.gaps is not None:
                bias = bias + self.time(view.gaps[own.sequence, own.place].unsqueeze(1))
            attended.append(attention_at(query[own.among], part, own, self.heads, bias))
        together: Tensor = self.project_out(torch.cat(attended))
        return together

    def heads_of(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "3 B H E"]:
        """Queries, keys and values of rows."""
        split: Tensor = self.project_in(x).view(len(x), 3, self.heads, self.head_width).transpose(0, 1)
        return split

    def step(
        self,
        query: Float[Tensor, "B H E"],
        key: Float[Tensor, "B H E"],
        value: Float[Tensor, "B H E"],
        past: Past,
        layer: int,
    ) -> Float[Tensor, "B D"]:
        """What the next row of each member takes from the past."""
        found = attend_to_past(query, key, value, past, layer, self.position, self.time, self.summaries)
        out: Tensor = self.project_out(found.flatten(1))
        return out

    def _dense(self, projected: Float[Tensor, "S W"], view: Dense) -> Float[Tensor, "S D"]:
        b, length = view.sequences, view.length
        query, key, value = self._split(projected.view(b, length, -1))
        bias = self.position(length)
        if self.time is not None and view.gaps is not None:
            bias = bias + self.time(view.gaps)
        return _joined(biased_attention(query, key, value, bias)).flatten(0, 1)

    def _windowed(self, projected: Float[Tensor, "S W"], view: Grid) -> Float[Tensor, "S D"]:
        assert self.summaries is not None
        query, key, value = self._split(lay(view, projected)).contiguous()
        attend = flex_windowed_attention if query.is_cuda else windowed_attention
        out = attend(query, key, value, view, self.position, self.time, self.summaries)
        return lift(view, _joined(out))

    def _split(self, projected: Float[Tensor, "b l W"]) -> Float[Tensor, "3 b H l E"]:
        b, length, _ = projected.shape
        return projected.view(b, length, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)


def _joined(heads: Float[Tensor, "b H l E"]) -> Float[Tensor, "b l D"]:
    return heads.transpose(1, 2).flatten(2)


class SwiGLU(nn.Module):
    """W (silu(A x) · B x) (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        inner = -(-int(config.width * config.expansion) // 16) * 16
        self.project_in = Linear(config.width, 2 * inner, bias=False)
        self.project_out = Linear(inner, config.width, bias=False)

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """Position by position."""
        return swiglu(x, self.project_in.weight, self.project_out.weight)
