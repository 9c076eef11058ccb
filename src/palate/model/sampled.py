"""A step among a sample of the items: everything that a step touches, and nothing that is as long as the catalogue.

The batch and the catalogue are cut down to the items that the batch names and the negatives that were drawn, at the
moments of its rows. On these the model runs as it does on all: the tower embeds them, the heads read their metadata,
ages and gates are looked up for them alone. Only the choice among all items becomes one among the negatives.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from palate.model.loss import Choices
from palate.model.negatives import NegativeSampler
from palate.model.tower import MixedTable, point
from palate.tokens.batch import Batch, Catalogue
from palate.words import FIRST_KNOWN

SHAPES: Final = 256
"""Negatives are filled up to a multiple of so many: products of few shapes are faster (`palate.model.product`)."""
NEVER: Final = -1e30
"""The correction of what fills them up."""


class Part(NamedTuple):
    """A batch, and what it needs of the catalogue."""

    batch: Batch
    catalogue: Catalogue
    """Both of S items alone."""
    items: Int64[Tensor, "S"]
    """Their places in the whole catalogue, ascending."""

    @classmethod
    def of(cls, batch: Batch, catalogue: Catalogue, *, also: Int64[Tensor, "N"] | None = None, ages: bool) -> Part:
        """Cut both down to what the batch names and ``also`` these items, or to some item where that is none; without
        ``ages`` to one moment, since none is looked at."""
        items = batch.items() if also is None else torch.unique(torch.cat([batch.items(), also]))
        items = items if len(items) else items.new_zeros(1)
        points = _points(batch, catalogue) if ages else torch.zeros(1, dtype=torch.int64, device=items.device)
        return cls(batch.among(items), catalogue.take(items, points), items)


class SampledStep(NamedTuple):
    """A step of S items, of which N are negatives."""

    batch: Batch
    catalogue: Catalogue
    """Both of these items alone."""
    items: Int64[Tensor, "S"]
    """Their places in the whole catalogue, ascending."""
    negatives: Int64[Tensor, "N"]
    """Which of them were drawn, ascending; the last of them fills up the rest."""
    correction: Float[Tensor, "N"]
    """What the draw adds to their logits."""

    @classmethod
    def draw(cls, sampler: NegativeSampler, batch: Batch, catalogue: Catalogue, *, ages: bool) -> SampledStep:
        """Draw negatives for a batch, and cut batch and catalogue down to both (`Part.of`)."""
        drawn = sampler.draw(batch.target[batch.target >= FIRST_KNOWN] - FIRST_KNOWN)
        part = Part.of(batch, catalogue, also=drawn.items, ages=ages)
        negatives = torch.searchsorted(part.items, drawn.items)
        more = min(-len(negatives) % SHAPES, len(negatives) * SHAPES)
        return cls(
            *part,
            negatives=torch.cat([negatives, negatives[-1:].expand(more)]),
            correction=F.pad(drawn.correction, (0, more), value=NEVER),
        )

    def table(self, table: MixedTable) -> MixedTable:
        """The negatives' part of a table, their logits corrected."""
        among = self.negatives
        return MixedTable(
            id=table.id[among],
            id_bias=table.id_bias[among] + self.correction,
            meta=None if table.meta is None else table.meta[among],
            meta_bias=None if table.meta_bias is None else table.meta_bias[among] + self.correction,
            gate=None if table.gate is None else table.gate[:, among],
            bias=None if table.bias is None else table.bias[:, among],
        )

    def choices(self, choices: Choices) -> Choices:
        """Choices among all of the step's items as choices among its negatives."""
        column = torch.searchsorted(self.negatives, choices.target)
        found = self.negatives[column.clamp(max=len(self.negatives) - 1)] == choices.target
        return Choices(
            target=torch.where(found, column, -1),
            available=torch.searchsorted(self.negatives, choices.available),
            weight=choices.weight,
        )


def _points(batch: Batch, catalogue: Catalogue) -> Int64[Tensor, "U"]:
    """The catalogue's moments at which an item of the batch is looked at; some moment where none is."""
    carried = batch.key_time[batch.ids[:, 0] >= FIRST_KNOWN]
    asked = batch.query_time[batch.target >= FIRST_KNOWN]
    found: Tensor = torch.unique(point(catalogue, torch.cat([carried, asked])))
    return found if len(found) else found.new_zeros(1)
