"""SASRec's encoder (Kang and McAuley 2018), over the same batches: learned positions, LayerNorm, plain residuals."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.attention import asking, attention_at, parts
from palate.model.config import SasRecConfig
from palate.model.dropout import Dropout
from palate.model.product import Linear, linear, whole_rows
from palate.tokens.batch import Batch, Rectangle


class SasRec(nn.Module):
    """Positions are counted from a window's start."""

    def __init__(self, config: SasRecConfig, *, context: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(context, config.width) * 0.02)
        self.blocks = nn.ModuleList(SasRecBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, x: Float[Tensor, "T D"], batch: Batch, wanted: Int64[Tensor, "n"] | None = None
    ) -> Float[Tensor, "_ D"]:
        """Encode every row from the rows of its sequence up to itself; of all rows, or of ``wanted`` ones, ascending.

        Where one row of each sequence is wanted, the last block is worked out for these alone.
        """
        place = torch.cat([torch.arange(length, device=x.device).repeat(b) for b, length in batch.rectangles])
        x = x + F.embedding(place, self.positions)
        T = len(x)
        x = whole_rows(x)
        *before, last = self.blocks
        assert isinstance(last, SasRecBlock)
        for block in before:
            x = block(x, batch.rectangles)
        if wanted is None:
            x = last(x, batch.rectangles)[:T]
        elif len(wanted) > sum(b for b, _ in batch.rectangles):
            x = last(x, batch.rectangles)[wanted]
        else:
            x = last.at(x, batch.rectangles, wanted)
        encoded: Tensor = self.norm(x)
        return encoded


class SasRecBlock(nn.Module):
    """Attention and a two-layer network, each with its norm, dropout and residual."""

    def __init__(self, config: SasRecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        inner = round(config.width * config.expansion)
        self.norm_attention = nn.LayerNorm(config.width)
        self.project_in = Linear(config.width, 3 * config.width)
        self.project_out = Linear(config.width, config.width)
        self.norm_network = nn.LayerNorm(config.width)
        self.network = nn.Sequential(
            Linear(config.width, inner), nn.ReLU(), Dropout(config.dropout), Linear(inner, config.width)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "T D"], rectangles: tuple[Rectangle, ...]) -> Float[Tensor, "T D"]:
        """One block's update."""
        x = x + self.dropout(self._attend(self.norm_attention(x), rectangles))
        updated: Tensor = x + self.dropout(self.network(self.norm_network(x)))
        return updated

    def at(
        self, x: Float[Tensor, "T D"], rectangles: tuple[Rectangle, ...], rows: Int64[Tensor, "n"]
    ) -> Float[Tensor, "n D"]:
        """`forward` at some rows, ascending: the others are only looked at."""
        x, normed = x[rows], self.norm_attention(x)
        x = x + self.dropout(self._attend_at(normed, rectangles, rows))
        updated: Tensor = x + self.dropout(self.network(self.norm_network(x)))
        return updated

    def _attend_at(self, x: Tensor, rectangles: tuple[Rectangle, ...], rows: Tensor) -> Tensor:
        D = x.shape[1]
        weight, bias = self.project_in.weight, self.project_in.bias
        query, both = linear(x[rows], weight[:D], bias[:D]), linear(x, weight[D:], bias[D:])
        slots = parts(both, (b * length for b, length in rectangles))
        attended = []
        for own, part, (_, length) in zip(asking(rows, rectangles), slots, rectangles, strict=True):
            seen = torch.arange(length, device=rows.device) <= own.place[:, None]
            attended.append(attention_at(query[own.among], part, own, self.heads, seen[:, None, None]))
        together: Tensor = self.project_out(torch.cat(attended))
        return together

    def _attend(self, x: Float[Tensor, "T D"], rectangles: tuple[Rectangle, ...]) -> Float[Tensor, "T D"]:
        T, D = x.shape
        sizes = [b * length for b, length in rectangles]
        attended = []
        for (b, length), own in zip(rectangles, parts(self.project_in(x), sizes), strict=True):
            query, key, value = own.view(b, length, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
            out = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            attended.append(out.transpose(1, 2).reshape(b * length, D))
        if rest := T - sum(sizes):
            attended.append(x.new_zeros(rest, D))
        together: Tensor = self.project_out(torch.cat(attended))
        return together
