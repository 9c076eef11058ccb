"""What an item's metadata say of it.

Each column is the mean of its values' embeddings, or a projection of its vector; a trunk reads all of them, and what it
makes is projected to the item as an input, as an output, and to a bias:

    trunk(v) = silu(Σ_k W_k c_k(v) + b),   c_k(v) = mean of E_k[value] over the values of column k, or P_k vector_k(v).

The matrix of a column can be multiplied with the embeddings of its values as well as with the items' columns:
W_k mean(E_k[value]) = mean((E_k W_kᵀ)[value]). Items are mostly more than values, so that is the order, and all columns
are one sum of rows for each item. A column of more values than the items have cells (a catalogue of a few items, at
serving) is multiplied item by item.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.config import TowerConfig
from palate.model.fused_metadata import described, rows
from palate.model.product import Linear, linear
from palate.tokens.batch import Catalogue, MetadataKind, MetadataSpec
from palate.words import PADDING, UNKNOWN


class MetadataEmbedding(nn.Module):
    """Every item's metadata as an input, as an output, and their bias."""

    def __init__(self, specs: Sequence[MetadataSpec], config: TowerConfig, *, width: int) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.width = config.metadata_width
        self.tables = nn.ParameterDict()
        self.projections = nn.ModuleDict()
        for number, spec in enumerate(self.specs):
            if spec.kind == MetadataKind.CATEGORY:
                self.tables[str(number)] = nn.Parameter(torch.randn(spec.size, self.width) * self.width**-0.5)
            else:
                self.projections[str(number)] = Linear(spec.width, self.width, bias=False)
        trunk = self.width * len(self.specs)
        self.trunk = Linear(trunk, width)
        self.input = Linear(width, width)
        self.output = Linear(width, width)
        self.bias = Linear(width, 1)
        for head in (self.input, self.output):
            # Metadata begin as loud as ids do.
            nn.init.normal_(head.weight, std=0.02 * width**-0.5 * 2)
            nn.init.zeros_(head.bias)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.bias.bias)
        self.hidden = config.metadata_dropout

    def forward(self, catalogue: Catalogue) -> tuple[Float[Tensor, "V D"], Float[Tensor, "V D"], Float[Tensor, "V"]]:
        """Metadata of every item as an input, as an output, and their bias."""
        catalogue = self._hide(catalogue) if self.training and self.hidden else catalogue
        heads = (self.input, self.output, self.bias)
        weight, bias = torch.cat([each.weight for each in heads]), torch.cat([each.bias for each in heads])
        found = self._described(catalogue, weight, bias)
        read, output, bias = torch.split(found, [len(each.weight) for each in heads], dim=1)
        return read, output, bias[:, 0]

    def column(self, number: int, catalogue: Catalogue) -> Float[Tensor, "V W"]:
        """One column of every item, before the trunk."""
        spec = self.specs[number]
        columns = slice(spec.start, spec.start + spec.width)
        if spec.kind == MetadataKind.VECTOR:
            projected: Tensor = self.projections[str(number)](catalogue.vectors[:, columns])
            return projected
        ids, table = catalogue.metadata[:, columns], self.tables[str(number)]
        if spec.width == 1:
            return F.embedding(ids[:, 0], table)
        return F.embedding_bag(ids, table, mode="mean", padding_idx=PADDING)

    def _described(
        self, catalogue: Catalogue, weight: Float[Tensor, "O D"], bias: Float[Tensor, "O"]
    ) -> Float[Tensor, "V O"]:
        """What the trunk makes of all columns, multiplied by the weight."""
        items, device = len(catalogue.counts), catalogue.counts.device
        vectors: list[int] = []
        cells: list[int] = []
        large: list[int] = []
        for number, spec in enumerate(self.specs):
            among = cells if spec.size <= items * spec.width else large
            (vectors if spec.kind == MetadataKind.VECTOR else among).append(number)
        plus: Tensor = self.trunk.bias
        values = plus.new_zeros(0, len(plus))
        index, share = torch.zeros(items, 0, dtype=torch.int64, device=device), plus.new_zeros(items, 0)
        if vectors or cells:
            tables: list[Tensor] = [self.projections[str(number)].get_parameter("weight").T for number in vectors]
            tables += [self.tables[str(number)] for number in cells]
            values = rows(self.trunk.weight, vectors + cells, *tables)
        if vectors:
            own = [self.specs[number] for number in vectors]
            numbers = sum(spec.width for spec in own)
            plus = linear(_cells(catalogue.vectors, own), values[:numbers].T, plus)
            values = values[numbers:]
        if cells:
            own = [self.specs[number] for number in cells]
            first = torch.tensor([0] + [spec.size for spec in own[:-1]], device=device).cumsum(0)
            index, share = _means(catalogue, own, first)
        for number in large:
            block = self.trunk.weight[:, self.width * number : self.width * (number + 1)]
            plus = plus + linear(self.column(number, catalogue), block)
        return described(values, index, share, plus, weight, bias)

    def _hide(self, catalogue: Catalogue) -> Catalogue:
        """Random cells as if the items table did not have them."""
        device = catalogue.counts.device
        hidden = torch.rand(len(self.specs), len(catalogue.counts), device=device) < self.hidden
        metadata, vectors = catalogue.metadata, catalogue.vectors
        for kind in MetadataKind:
            own = [(number, spec) for number, spec in enumerate(self.specs) if spec.kind == kind]
            if not own:
                continue
            if kind == MetadataKind.VECTOR and len(own) == 1:
                vectors = vectors.masked_fill(hidden[own[0][0], :, None], 0.0)
                continue
            number_of = torch.tensor([number for number, spec in own for _ in range(spec.width)], device=device)
            cells = hidden.index_select(0, number_of).T
            if kind == MetadataKind.VECTOR:
                vectors = vectors.masked_fill(cells, 0.0)
            else:
                unknown = [PADDING if place else UNKNOWN for _, spec in own for place in range(spec.width)]
                metadata = torch.where(cells, metadata.new_tensor(unknown), metadata)
        return catalogue._replace(metadata=metadata, vectors=vectors)


def _cells(table: Tensor, specs: Sequence[MetadataSpec]) -> Tensor:
    """The columns of these specs, side by side."""
    if sum(spec.width for spec in specs) == table.shape[1]:
        return table
    return torch.cat([table[:, spec.start : spec.start + spec.width] for spec in specs], dim=1)


def _means(
    catalogue: Catalogue, specs: Sequence[MetadataSpec], first: Int64[Tensor, "K"]
) -> tuple[Int64[Tensor, "V N"], Float[Tensor, "V N"]]:
    """Rows of the columns' tables, one table behind the other from ``first`` on, and the shares that make means."""
    ids = _cells(catalogue.metadata, specs).long().contiguous()
    widths = torch.tensor([spec.width for spec in specs], device=ids.device)
    column = torch.arange(len(specs), device=ids.device).repeat_interleave(widths)
    # A lone value counts, whichever it is; of several, those that are there.
    there = ((ids != PADDING) | (widths == 1)[column]).float()
    counts = torch.zeros(len(ids), len(specs), device=ids.device).index_add_(1, column, there)
    return ids + first[column], there / counts.clamp(min=1).index_select(1, column)
