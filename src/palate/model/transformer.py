"""Palate's encoder: a pre-norm causal transformer with gated residuals and relative biases.

Each sub-layer updates the state as x + σ(W x) · f(norm x): the gate can close where the update does not help.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from palate.model.attention import biased_attention
from palate.model.bias import PositionBias, TimeBias, gap_buckets
from palate.model.config import TransformerConfig
from palate.model.dropout import Dropout
from palate.model.fused import RMSNorm, gated, swiglu
from palate.model.product import ROWS, Linear, whole_rows
from palate.tokens.batch import Batch, Rectangle


class Transformer(nn.Module):
    """Blocks of attention and feed-forward, and a final norm."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.time_buckets = config.time_buckets if has_time else None
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, context=context, has_time=has_time) for _ in range(config.blocks))
        self.norm = RMSNorm(config.width)

    def forward(
        self, x: Float[Tensor, "T D"], batch: Batch, wanted: Int64[Tensor, "n"] | None = None
    ) -> Float[Tensor, "_ D"]:
        """Encode every row from the rows of its sequence up to itself; of all rows, or of ``wanted`` ones."""
        gaps = self._gaps(batch)
        T = len(x)
        x = self.dropout(whole_rows(x))
        for block in self.blocks:
            x = block(x, batch.rectangles, gaps)
        encoded: Tensor = self.norm(x[:T] if wanted is None else x[wanted])
        return encoded

    def _gaps(self, batch: Batch) -> list[Tensor] | None:
        """Buckets of the time gaps of each rectangle; computed once for all blocks."""
        if self.time_buckets is None:
            return None
        gaps, start = [], 0
        for b, length in batch.rectangles:
            stop = start + b * length
            query, key = batch.query_time[start:stop].view(b, length), batch.key_time[start:stop].view(b, length)
            gaps.append(gap_buckets(query, key, self.time_buckets))
            start = stop
        return gaps


class Block(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.attention = Gated(Attention(config, context=context, has_time=has_time), config)
        self.feed_forward = Gated(SwiGLU(config), config)

    def forward(
        self, x: Float[Tensor, "T D"], rectangles: tuple[Rectangle, ...], gaps: list[Tensor] | None
    ) -> Float[Tensor, "T D"]:
        """One block's update."""
        x = self.attention(x, rectangles, gaps)
        updated: Tensor = self.feed_forward(x)
        return updated


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
        updated: Tensor = self.update(self.norm(x), *context)
        return gated(x, updated, self.gate.weight, self.gate.bias, self.dropout.draw(updated))


class Attention(nn.Module):
    """Multi-head attention within each sequence."""

    def __init__(self, config: TransformerConfig, *, context: int, has_time: bool) -> None:
        super().__init__()
        self.heads = config.heads
        self.project_in = Linear(config.width, 3 * config.width, bias=False)
        self.project_out = Linear(config.width, config.width, bias=False)
        self.position = PositionBias(config.heads, context)
        self.time = TimeBias(config.heads, config.time_buckets) if has_time else None

    def forward(
        self, x: Float[Tensor, "T D"], rectangles: tuple[Rectangle, ...], gaps: list[Tensor] | None
    ) -> Float[Tensor, "T D"]:
        """Attend to the rows up to one's own."""
        T, D = x.shape
        projected = self.project_in(x)
        attended, start = [], 0
        sizes = [b * length for b, length in rectangles]
        # Split, not sliced: the gradients of slices are as large as the whole, each.
        parts = projected.split([*sizes, T - sum(sizes)])
        for number, (b, length) in enumerate(rectangles):
            query, key, value = (
                parts[number].view(b, length, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
            )
            bias = self.position(length)
            if self.time is not None and gaps is not None:
                bias = bias + self.time(gaps[number])
            out = biased_attention(query, key, value, bias)
            attended.append(out.transpose(1, 2).reshape(b * length, D))
            start += b * length
        assert start <= T < start + ROWS, f"rectangles hold {start} slots of {T}"
        if start < T:
            attended.append(x.new_zeros(T - start, D))
        together: Tensor = self.project_out(attended[0] if len(attended) == 1 else torch.cat(attended))
        return together


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
