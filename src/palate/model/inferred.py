"""What an item without an id is taken for, judged by the items that have one.

The trunk of the item tower learns metadata by descent, together with ids, and with a few hundred titles it learns each
by heart. So for an item outside training it gives way to a posterior mean: the vectors of trained items are regressed
on their metadata, each column with a strength that is chosen by leaving titles out (`palate.train.new_items` fits it).
What is left is linear: each value of a column has an embedding of its own, and an item's vector is

    mean + Σ_columns Σ_values w_v E_v / √(Σ_values w_v²),        w_v = ln((1 + n) / (1 + n_v)),

n_v of the n trained items having the value. A column that is a vector is scaled to length 1 and multiplied. A value
that says little about other titles has a small embedding, and an item of which nothing is known is the mean item.

What was learned of an id can be out of date soon, where tastes and titles drift. So trained items may be taken for what
their metadata say as well: with a `trust` t all scores are t times those of ids and metadata and 1 - t times those of a
catalogue in which no item has an id. There `demand` has a bias of its own, and what is inferred of an item is
multiplied by a `loudness`; the time since launch and the events before have no bias there, since they depend on when
the log began. Validation chooses t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from palate.tokens.batch import AGE_SHAPE, Catalogue, MetadataKind, MetadataSpec
from palate.words import FIRST_KNOWN


class Inferred(NamedTuple):
    """Of ``n`` items: what the tower's metadata would be."""

    input: Float[Tensor, "n D"]
    output: Float[Tensor, "n D"]
    bias: Float[Tensor, "n"]


class InferredItems(nn.Module):
    """Embeddings of values that were fitted and not descended to; `fitted` says whether they are there."""

    def __init__(self, specs: Sequence[MetadataSpec], *, width: int) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.width = width
        for number, spec in enumerate(self.specs):
            rows = spec.size if spec.kind == MetadataKind.CATEGORY else spec.width
            self.register_buffer(f"values_{number}", torch.zeros(rows, 2 * width + 1))
            if spec.kind == MetadataKind.CATEGORY:
                self.register_buffer(f"weights_{number}", torch.zeros(spec.size))
        self.register_buffer("mean", torch.zeros(2 * width + 1))
        self.mean: Tensor
        self.register_buffer("trust", torch.ones(()))
        self.trust: Float[Tensor, ""]
        self.register_buffer("demand", torch.zeros(AGE_SHAPE[2]))
        self.demand: Float[Tensor, "d"]
        self.register_buffer("loudness", torch.ones(()))
        self.loudness: Float[Tensor, ""]
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.fitted: Bool[Tensor, ""]

    def forward(self, catalogue: Catalogue) -> Inferred:
        """What the items of a catalogue are taken for; only their metadata are read."""
        total = self.mean.expand(len(catalogue.metadata), -1)
        for number, spec in enumerate(self.specs):
            columns, values = slice(spec.start, spec.start + spec.width), self.values(number)
            if spec.kind == MetadataKind.VECTOR:
                total = total + F.normalize(catalogue.vectors[:, columns]) @ values
                continue
            ids = catalogue.metadata[:, columns]
            shares = F.normalize(self.weights(number)[ids])
            total = total + F.embedding_bag(ids, values, per_sample_weights=shares, mode="sum")
        D = self.width
        return Inferred(total[:, :D], total[:, D : 2 * D], total[:, 2 * D])

    def values(self, number: int) -> Tensor:
        """Embeddings of the values of a column, or the matrix of its vector."""
        return self.get_buffer(f"values_{number}")

    def weights(self, number: int) -> Float[Tensor, "n"]:
        """What each value of a category counts; 0 for padding and unknown."""
        return self.get_buffer(f"weights_{number}")

    def weigh(self, catalogue: Catalogue) -> None:
        """Set the weights of values by how rare they are among the trained items of ``catalogue``."""
        n = catalogue.trained
        for number, spec in enumerate(self.specs):
            if spec.kind == MetadataKind.CATEGORY:
                ids = catalogue.metadata[:n, spec.start : spec.start + spec.width].long()
                having = torch.bincount(ids.reshape(-1), minlength=spec.size)
                weights = torch.log((1 + n) / (1 + having.double())).float()
                weights[:FIRST_KNOWN] = 0
                self.weights(number).copy_(weights)
