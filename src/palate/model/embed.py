"""Event embedders: a row's fields become one vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.dropout import Dropout
from palate.model.product import Linear
from palate.tokens.batch import Batch, FieldSpec, Side
from palate.words import PADDING, UNKNOWN


class FieldEmbedding(nn.Module):
    """One field: the embedding of its index (the mean over several), plus a direction for its scaled number."""

    def __init__(self, spec: FieldSpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.table = nn.Parameter(torch.randn(spec.size, width) * width**-0.5)
        self.slope = nn.Parameter(torch.zeros(width)) if spec.value is not None else None

    def forward(self, ids: Int32[Tensor, "T F"], values: Float[Tensor, "T N"]) -> Float[Tensor, "T W"]:
        """Embed the field's columns."""
        spec = self.spec
        own = ids[:, spec.start : spec.start + spec.width]
        if spec.width == 1:
            embedded = F.embedding(own[:, 0], self.table)
        else:
            there = (own != PADDING).unsqueeze(-1)
            embedded = (F.embedding(own, self.table) * there).sum(1) / there.sum(1).clamp(min=1)
        if self.slope is not None and spec.value is not None:
            embedded = embedded + values[:, spec.value, None] * self.slope
        return embedded


class EventEmbedder(nn.Module):
    """All fields, each with its own embedding, concatenated and projected; the first spec is the item's."""

    def __init__(self, specs: Sequence[FieldSpec], *, width: int, field_width: int) -> None:
        super().__init__()
        self.fields = nn.ModuleList(FieldEmbedding(spec, field_width) for spec in specs[1:])
        self.project = Linear(width + field_width * len(self.fields), width)

    def forward(self, batch: Batch, items: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """Embed every row; ``items`` are the embeddings of the items that the rows carry."""
        parts = [items, *(field(batch.ids, batch.values) for field in self.fields)]
        embedded: Tensor = self.project(torch.cat(parts, dim=-1))
        return embedded


class ItemEmbedder(nn.Module):
    """SASRec's input: the item alone, scaled by the root of the width, with dropout."""

    def __init__(self, *, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)

    def forward(self, batch: Batch, items: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """Embed every row; ``items`` are the embeddings of the items that the rows carry."""
        embedded: Tensor = self.dropout(items * items.shape[1] ** 0.5)
        return embedded


class HiddenRows(nn.Module):
    """Replaces one side of random rows by unknown in training, so that unknown has a meaning when it is met."""

    def __init__(self, specs: Sequence[FieldSpec], share: float) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("hides", _hiding(specs), persistent=False)
        self.hides: Int32[Tensor, "2 F"]
        self.register_buffer("hides_value", _hiding_values(specs), persistent=False)
        self.hides_value: Float[Tensor, "2 N"]

    def forward(self, batch: Batch) -> Batch:
        """The batch with less to see."""
        if not self.training or not self.share:
            return batch
        hidden = torch.rand(len(batch.ids), 2, device=batch.ids.device) < self.share
        ids, values = batch.ids, batch.values
        for side in range(2):
            rows = hidden[:, side, None]
            # What is padding stays padding: it says that there is nothing, not that it is unknown.
            ids = torch.where(rows & (self.hides[side] > 0) & (ids != PADDING), UNKNOWN, ids)
            values = torch.where(rows & (self.hides_value[side] > 0), 0.0, values)
        return batch._replace(ids=ids, values=values)


def _hiding(specs: Sequence[FieldSpec]) -> Int32[Tensor, "2 F"]:
    """For each side, which index columns it hides."""
    hides = torch.zeros(2, sum(spec.width for spec in specs), dtype=torch.int32)
    for spec in specs:
        hides[int(spec.side == Side.REQUEST_TIME), spec.start : spec.start + spec.width] = 1
    return hides


def _hiding_values(specs: Sequence[FieldSpec]) -> Float[Tensor, "2 N"]:
    """For each side, which number columns it hides."""
    hides = torch.zeros(2, sum(spec.value is not None for spec in specs))
    for spec in specs:
        if spec.value is not None:
            hides[int(spec.side == Side.REQUEST_TIME), spec.value] = 1
    return hides
