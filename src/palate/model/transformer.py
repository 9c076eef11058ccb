"""Palate's encoder: a pre-norm causal transformer with gated residuals and relative biases.

Each sub-layer updates the state as x + σ(W x) · f(norm x): the gate can close where the update does not help.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.attention import biased_attention
from palate.model.bias import PositionBias, TimeBias
from palate.model.config import TransformerConfig
from palate.model.flex import flex_windowed_attention
from palate.model.grid import Dense, Grid, Span, dense_view, grid_view, lay, lift
from palate.model.summary import Summaries
from palate.model.window import windowed_attention
from palate.tokens.batch import Batch


class Transformer(nn.Module):
    """Blocks of attention and feed-forward, and a final norm."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.time_buckets = config.time_buckets if has_time else None
        self.span = Span.of(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, context=context, has_time=has_time) for _ in range(config.blocks))
        self.norm = nn.RMSNorm(config.width)

    def forward(self, x: Float[Tensor, "T D"], batch: Batch) -> Float[Tensor, "T D"]:
        """Encode every row from the rows of its sequence up to itself."""
        views = self._views(batch)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, views)
        encoded: Tensor = self.norm(x)
        return encoded

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
                views.append(grid_view(self.span, first, query, key, self.time_buckets))
            start, sequence = stop, sequence + b
        return tuple(views)


class Block(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.attention = Gated(Attention(config, context=context, has_time=has_time), config)
        self.feed_forward = Gated(SwiGLU(config), config)

    def forward(self, x: Float[Tensor, "T D"], views: tuple[Dense | Grid, ...]) -> Float[Tensor, "T D"]:
        """One block's update."""
        x = self.attention(x, views)
        updated: Tensor = self.feed_forward(x)
        return updated


class Gated(nn.Module):
    """x + σ(W x) · f(norm x)."""

    def __init__(self, update: nn.Module, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width)
        self.gate = nn.Linear(config.width, config.width)
        self.update = update
        self.dropout = nn.Dropout(config.dropout)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)

    def forward(self, x: Float[Tensor, "T D"], *context: object) -> Float[Tensor, "T D"]:
        """Update the state."""
        updated: Tensor = self.dropout(self.update(self.norm(x), *context))
        return torch.addcmul(x, torch.sigmoid(self.gate(x)), updated)


class Attention(nn.Module):
    """Multi-head attention within each sequence, to all rows before or to a window of them and to summaries."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.heads = config.heads
        self.project_in = nn.Linear(config.width, 3 * config.width, bias=False)
        self.project_out = nn.Linear(config.width, config.width, bias=False)
        span = Span.of(config)
        self.position = PositionBias(config.heads, context if span is None else min(context, span.rows))
        self.time = TimeBias(config.heads, config.time_buckets) if has_time else None
        self.summaries = (
            None if span is None else Summaries(span, heads=config.heads, head_width=config.width // config.heads)
        )

    def forward(self, x: Float[Tensor, "T D"], views: tuple[Dense | Grid, ...]) -> Float[Tensor, "T D"]:
        """Attend to the rows up to one's own."""
        T = len(x)
        projected = self.project_in(x)
        attended, start = [], 0
        for view in views:
            stop = start + view.sequences * view.length
            own = projected[start:stop]
            out = self._dense(own, view) if isinstance(view, Dense) else self._windowed(own, view)
            attended.append(out)
            start = stop
        assert start == T, f"rectangles hold {start} slots of {T}"
        together: Tensor = self.project_out(attended[0] if len(attended) == 1 else torch.cat(attended))
        return together

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
        b, length, W = projected.shape
        return projected.view(b, length, 3, self.heads, W // 3 // self.heads).permute(2, 0, 3, 1, 4)


def _joined(heads: Float[Tensor, "b H l E"]) -> Float[Tensor, "b l D"]:
    return heads.transpose(1, 2).flatten(2)


class SwiGLU(nn.Module):
    """W (silu(A x) · B x) (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        inner = -(-int(config.width * config.expansion) // 16) * 16
        self.project_in = nn.Linear(config.width, 2 * inner, bias=False)
        self.project_out = nn.Linear(inner, config.width, bias=False)

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """Position by position."""
        gate, linear = self.project_in(x).chunk(2, dim=-1)
        out: Tensor = self.project_out(F.silu(gate) * linear)
        return out
