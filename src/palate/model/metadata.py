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
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.config import TowerConfig
from palate.model.fused_metadata import Instead, described, rows
from palate.model.lookup import Sums
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
        self._kept: _Kept | None = None

    def forward(self, catalogue: Catalogue) -> tuple[Float[Tensor, "V D"], Float[Tensor, "V D"], Float[Tensor, "V"]]:
        """Metadata of every item as an input, as an output, and their bias."""
        hidden = None
        if self.training and self.hidden:
            hidden = torch.rand(len(self.specs), len(catalogue.counts), device=catalogue.counts.device) < self.hidden
        heads = (self.input, self.output, self.bias)
        weight, bias = torch.cat([each.weight for each in heads]), torch.cat([each.bias for each in heads])
        found = self._described(catalogue, hidden, weight, bias)
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
        self,
        catalogue: Catalogue,
        hidden: Bool[Tensor, "K V"] | None,
        weight: Float[Tensor, "O D"],
        bias: Float[Tensor, "O"],
    ) -> Float[Tensor, "V O"]:
        """What the trunk makes of all columns that are not ``hidden`` of an item, multiplied by the weight."""
        items = len(catalogue.counts)
        vectors: list[int] = []
        cells: list[int] = []
        large: list[int] = []
        for number, spec in enumerate(self.specs):
            if spec.kind == MetadataKind.VECTOR:
                vectors.append(number)
            elif spec.size <= items * spec.width:
                cells.append(number)
            else:
                large.append(number)
        plus: Tensor = self.trunk.bias
        values = plus.new_zeros(0, len(plus))
        if vectors or cells:
            tables: list[Tensor] = [self.projections[str(number)].get_parameter("weight").T for number in vectors]
            tables += [self.tables[str(number)] for number in cells]
            values = rows(self.trunk.weight, vectors + cells, *tables)
        if vectors:
            numbers = [self._numbers(number, catalogue, hidden) for number in vectors]
            width = sum(self.specs[number].width for number in vectors)
            plus = linear(numbers[0] if len(numbers) == 1 else torch.cat(numbers, dim=1), values[:width].T, plus)
            values = values[width:]
        for number in large:
            block = self.trunk.weight[:, self.width * number : self.width * (number + 1)]
            column = self.column(number, catalogue)
            if hidden is not None:
                column = torch.where(hidden[number, :, None], self.tables[str(number)][UNKNOWN], column)
            plus = plus + linear(column, block)
        sums, instead = self._means(catalogue.metadata, cells).hiding(hidden)
        return described(values, sums, instead, plus, weight, bias)

    def _numbers(self, number: int, catalogue: Catalogue, hidden: Bool[Tensor, "K V"] | None) -> Float[Tensor, "V N"]:
        """The vectors of a column, zero where it is hidden."""
        spec = self.specs[number]
        found = catalogue.vectors
        if spec.width < found.shape[1]:
            found = found[:, spec.start : spec.start + spec.width]
        return found if hidden is None else found.masked_fill(hidden[number, :, None], 0.0)

    def _means(self, metadata: Int32[Tensor, "V F"], columns: list[int]) -> _Means:
        """`_Means.of` a catalogue; steps that are scored among all items have the same one."""
        if not self.training or torch.is_inference(metadata):
            return _Means.of(metadata, self.specs, columns)
        if self._kept is None or self._kept.of is not metadata or self._kept.version != metadata._version:
            self._kept = _Kept(metadata, metadata._version, _Means.of(metadata, self.specs, columns))
        return self._kept.means


class _Means(NamedTuple):
    """Which rows of the columns' tables, one table behind the other, make each item's means."""

    sums: Sums
    place: Int64[Tensor, "n"]
    """Column and item of each entry, as a place in what may be hidden."""
    columns: Int64[Tensor, "H"]
    unknown: Int64[Tensor, "H"]
    """Each column's row where it is hidden."""

    @staticmethod
    def of(metadata: Int32[Tensor, "V F"], specs: Sequence[MetadataSpec], columns: list[int]) -> _Means:
        """Of some columns of a catalogue."""
        device = metadata.device
        cells, first_rows = [], list(accumulate((specs[number].size for number in columns), initial=0))
        for number, first_row in zip(columns, first_rows, strict=False):
            spec = specs[number]
            cells += [(spec.start + place, number, first_row) for place in range(spec.width)]
        at, column, first = torch.tensor(cells, dtype=torch.int64).reshape(-1, 3).T.contiguous().to(device)
        ids = metadata.index_select(1, at).long()
        lone = torch.tensor([spec.width == 1 for spec in specs], device=device)
        # A lone value counts, whichever it is; of several, those that are there.
        there = (ids != PADDING) | lone[column]
        counts = torch.zeros(len(ids), len(specs), device=device).index_add_(1, column, there.float())
        item, cell = there.nonzero(as_tuple=True)
        of = column[cell]
        start = there.sum(1).cumsum(0) - there.sum(1)
        sums = Sums(row=(ids + first)[item, cell], share=counts[item, of].reciprocal(), sum=item, start=start)
        unknown = torch.tensor(first_rows[:-1], dtype=torch.int64, device=device) + UNKNOWN
        return _Means(sums, of * len(ids) + item, torch.tensor(columns, dtype=torch.int64, device=device), unknown)

    def hiding(self, hidden: Bool[Tensor, "K V"] | None) -> tuple[Sums, Instead | None]:
        """The sums as if the items table did not have the ``hidden`` columns of items, and what stands there."""
        if hidden is None or not len(self.columns):
            return self.sums, None
        share = self.sums.share.masked_fill(hidden.view(-1).index_select(0, self.place), 0.0)
        where = hidden.index_select(0, self.columns).T.to(share.dtype)
        return self.sums._replace(share=share), Instead(self.unknown, where)


class _Kept(NamedTuple):
    """The means of the catalogue that was described last in training."""

    of: Int32[Tensor, "V F"]
    version: int
    """Counts what was changed in place."""
    means: _Means
