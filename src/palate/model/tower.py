"""The item tower: what an item's id and its metadata say, mixed by the item's age.

The score of item v at moment t is, with the state h and the gate g of v's age at t,

    g (⟨h, id_v⟩ + b_v) + (1 - g) (⟨h, meta_v⟩ + m_v) + c,

where c is a bias of the age alone: what is new, or much acted on lately, is chosen more often, whatever it is. There
is no nonlinearity behind the mix, so that scoring the catalogue is two matrix products. An item that was not in
training has g = 0: it is scored by the same code, from what is known of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.config import TowerConfig
from palate.model.inferred import InferredItems
from palate.model.lookup import look_up
from palate.model.metadata import MetadataEmbedding
from palate.model.rows import take_rows
from palate.tokens.batch import AGE_SHAPE, DEMAND_STEPS, LEAST_DEMAND, Catalogue, MetadataSpec
from palate.words import FIRST_KNOWN

_LAUNCH, _VIEWS, _DEMAND = AGE_SHAPE
_CORNERS = (_DEMAND - 1) // DEMAND_STEPS + 3
"""Of the polygon of demand; the first is that of no demand."""
_LITTLE_DEMAND = 0.25
"""Added to the demand before its logarithm is taken: where there is less, it says little."""


_NO_DEMAND = 0.5
"""What the bias of an item without any demand starts at: that of half an event."""


class ItemTables(NamedTuple):
    """The tower's output for a catalogue of ``V`` items, of which the first ``R`` have an id; ``C`` age codes."""

    id: Float[Tensor, "I D"]
    """Embeddings of ids, the reserved indices included: I = R + 2."""
    id_bias: Float[Tensor, "R"]
    meta_in: Float[Tensor, "V D"] | None
    """Metadata as an input; none where items have no metadata."""
    meta_out: Float[Tensor, "V D"] | None
    """Metadata as an output."""
    meta_bias: Float[Tensor, "V"] | None
    share: Float[Tensor, "V"] | None
    """g of each item; with metadata, where it goes by training."""
    gate: Float[Tensor, "C"] | None
    """g of each age code; with metadata, where it goes by the moment."""
    age_bias: Float[Tensor, "2 C"] | None
    """c of each age code, for items with an id and for those without; where ages are used."""
    trust: Float[Tensor, ""]
    """What the gate of an output is multiplied by."""
    without_id: Bool[Tensor, "V"] | None
    """Items that have no id, or go without it in this step of training; none where every item goes with its id."""
    unseen: Bool[Tensor, "V"] | None
    """Those that in this step go without their events as well."""

    def taking_for_new(self, items: Bool[Tensor, "V"], unseen: Bool[Tensor, "V"] | None = None) -> ItemTables:
        """The tables in which these items go without their id, and the ``unseen`` of them without their events."""
        share = None if self.share is None else self.share.masked_fill(items, 0.0)
        without_id = items if self.without_id is None else self.without_id | items
        return self._replace(share=share, without_id=without_id, unseen=unseen)


class MixedTable(NamedTuple):
    """Scores of rows with moments ``u`` of U: see `palate.model.loss`."""

    id: Float[Tensor, "V D"]
    id_bias: Float[Tensor, "V"]
    meta: Float[Tensor, "V D"] | None
    meta_bias: Float[Tensor, "V"] | None
    gate: Float[Tensor, "G V"] | None
    bias: Float[Tensor, "U V"] | None


class ItemTower(nn.Module):
    """Embeddings of ids and metadata, and the gate between them."""

    def __init__(
        self, config: TowerConfig, specs: Sequence[MetadataSpec], *, size: int, width: int, has_time: bool
    ) -> None:
        super().__init__()
        self.config = config
        self.id_dropout = config.id_dropout or 0.0
        self.id = nn.Parameter(torch.randn(size, width) * 0.02)
        self.id_bias = nn.Parameter(torch.zeros(size - FIRST_KNOWN))
        self.metadata = MetadataEmbedding(specs, config, width=width) if specs and config.metadata else None
        # What is inferred stands for an item's mixture, of which a gate of the moment has many.
        infers = self.metadata is not None and config.gate == "training"
        self.inferred = InferredItems(specs, width=width) if infers else None
        self.gate = AgeTable(launch=config.gate == "moment", views=True, demand=False) if self.metadata else None
        if self.gate is not None:
            self.gate.start(views=[-2.0 + min(0.5 * bucket, 4.0) for bucket in range(_VIEWS)])
        ages = config.ages and has_time
        self.age_bias = AgeTable(launch=True, views=True, demand=True) if ages else None
        self.carried = CarriedAge(width) if ages else None
        # Demand has to say of an item without an id what the bias of its id would.
        self.new_age_bias = AgeTable(launch=True, views=True, demand=True) if ages and self.metadata else None

    @property
    def reads_ages(self) -> bool:
        """Whether anything goes by the age of items at a moment."""
        return self.age_bias is not None or (self.gate is not None and self.config.gate == "moment")

    def forward(self, catalogue: Catalogue, items: Int64[Tensor, "S"] | None = None) -> ItemTables:
        """The tables of a catalogue; in training some items are treated as if they were new.

        Where it is a part of the whole one, ``items`` are the places of its items there, ascending: then the gradient
        of the tables of ids is of these rows alone (`palate.model.rows`).
        """
        there = self._described(catalogue)
        without_id = unseen = None
        if len(catalogue.counts) > catalogue.trained:
            without_id = torch.arange(len(catalogue.counts), device=self.id.device) >= catalogue.trained
        if self.training and self.metadata is not None and self.id_dropout:
            drawn = torch.rand(len(catalogue.metadata), device=self.id.device)
            dropped, unseen = drawn < self.id_dropout, drawn < self.id_dropout / 2
            without_id = dropped if without_id is None else without_id | dropped
        share = gate = biases = None
        if self.gate is not None and self.config.gate == "moment":
            gate = torch.sigmoid(self.gate())
        elif self.gate is not None:
            assert self.gate.views is not None
            share = _without(look_up(torch.sigmoid(self.gate.views), _taught(catalogue)), without_id)
        if self.age_bias is not None:
            biases = age_values([each for each in (self.age_bias, self.new_age_bias) if each is not None])
        meta_in, meta_out, meta_bias = there
        ids: Tensor = self.id
        id_bias: Tensor = self.id_bias
        if items is not None:
            items = items[: catalogue.trained]
            reserved = torch.arange(FIRST_KNOWN, device=items.device)
            ids = take_rows(ids, torch.cat([reserved, items + FIRST_KNOWN]))
            id_bias = take_rows(id_bias, items)
        tables = ItemTables(
            id=ids,
            id_bias=id_bias,
            meta_in=meta_in,
            meta_out=meta_out,
            meta_bias=meta_bias,
            share=share,
            gate=gate,
            age_bias=biases,
            trust=torch.ones((), device=self.id.device),
            without_id=without_id,
            unseen=unseen,
        )
        return tables if self.training else self._distrusted(tables, catalogue)

    def _distrusted(self, tables: ItemTables, catalogue: Catalogue) -> ItemTables:
        """Trained items as far as their ids are trusted: the rest is what is inferred of them.

        With the gate g and the trust t the score t (g id + (1 - g) meta) + (1 - t) inferred is that of the gate t g.
        All items share t times the scores of ids that are trusted and 1 - t times those of a catalogue without ids.
        """
        if self.inferred is None or not self.inferred.fitted or self.inferred.trust == 1:
            return tables
        assert tables.share is not None
        assert tables.meta_out is not None
        assert tables.meta_bias is not None
        trust, known = self.inferred.trust, catalogue.trained
        loudness = self.inferred.loudness
        gate = tables.share[:known]
        own = (trust * (1 - gate) / (1 - trust * gate).clamp(min=1e-6))[:, None]
        inferred = self.inferred(catalogue)
        output = torch.lerp(loudness * inferred.output[:known], tables.meta_out[:known], own)
        bias = torch.lerp(loudness * inferred.bias[:known], tables.meta_bias[:known], own[:, 0])
        new = torch.lerp(loudness, torch.ones_like(loudness), trust)
        ages = tables.age_bias
        if ages is not None:
            ages = torch.lerp(self.inferred.demand.repeat(_LAUNCH * _VIEWS), ages, trust)
        return tables._replace(
            meta_out=torch.cat([output, new * tables.meta_out[known:]]),
            meta_bias=torch.cat([bias, new * tables.meta_bias[known:]]),
            age_bias=ages,
            trust=trust,
        )

    def _described(self, catalogue: Catalogue) -> tuple[Tensor, Tensor, Tensor] | tuple[None, None, None]:
        """Metadata as an input, as an output, and their bias; of items without an id what is inferred of them."""
        if self.metadata is None:
            return None, None, None
        known = catalogue.trained
        if known == len(catalogue.counts) or self.inferred is None or not self.inferred.fitted:
            described: tuple[Tensor, Tensor, Tensor] = self.metadata(catalogue)
            return described
        trained = catalogue._replace(
            metadata=catalogue.metadata[:known], vectors=catalogue.vectors[:known], counts=catalogue.counts[:known]
        )
        new = catalogue._replace(metadata=catalogue.metadata[known:], vectors=catalogue.vectors[known:])
        read, output, bias = (torch.cat(pair) for pair in zip(self.metadata(trained), self.inferred(new), strict=True))
        return read, output, bias

    def mixed(
        self, tables: ItemTables, catalogue: Catalogue
    ) -> tuple[Float[Tensor, "V D"], Float[Tensor, "V D"], Float[Tensor, "V"]]:
        """Every item as an input, as an output, and its bias, at the gate of its training events."""
        assert tables.meta_in is not None
        assert tables.meta_out is not None
        assert tables.meta_bias is not None
        assert tables.share is not None
        ids, bias = _padded_ids(tables, catalogue)
        share = tables.share[:, None]
        return (
            torch.lerp(tables.meta_in, ids, share),
            torch.lerp(tables.meta_out, ids, share),
            torch.lerp(tables.meta_bias, bias, tables.share),
        )

    def start_at_popularity(self, counts: Int64[Tensor, "R"]) -> None:
        """Begin with biases for popularity: the logarithm of an item's share of the training events; where there are
        ages, half of that and half the logarithm of its demand, and all of the latter for an item without an id.
        """
        share = torch.log((counts.double() + 1) / (counts.sum() + len(counts)))
        share -= share.mean()
        with torch.no_grad():
            self.id_bias.copy_(share if self.age_bias is None else share / 2)
        for table, part in ((self.age_bias, 0.5), (self.new_age_bias, 1.0)):
            if table is not None:
                table.start_at_demand(part)

    def inputs(
        self, tables: ItemTables, catalogue: Catalogue, item: Int32[Tensor, "T"], moment: Int64[Tensor, "T"]
    ) -> Float[Tensor, "T D"]:
        """Embeddings of items as events of a history, each at the age that it had at its ``moment``."""
        return self.aged(self.items(tables, catalogue, item, moment), tables, catalogue, item, moment)

    def aged(
        self,
        items: Float[Tensor, "T D"],
        tables: ItemTables,
        catalogue: Catalogue,
        item: Int32[Tensor, "T"],
        moment: Int64[Tensor, "T"],
    ) -> Float[Tensor, "T D"]:
        """What `items` are, joined by how old they were."""
        if self.carried is None:
            return items
        place = (item.long() - FIRST_KNOWN).clamp(min=0)
        carried: Tensor = self.carried(catalogue.ages[point(catalogue, moment), place].long())
        return items + carried * (item >= FIRST_KNOWN).unsqueeze(-1)

    def items(
        self, tables: ItemTables, catalogue: Catalogue, item: Int32[Tensor, "T"], moment: Int64[Tensor, "T"]
    ) -> Float[Tensor, "T D"]:
        """What they are; that depends on the moment only where the gate does."""
        if tables.meta_in is None:
            return F.embedding(item.clamp(max=len(tables.id) - 1), tables.id)
        ids, _ = _padded_ids(tables, catalogue)
        if tables.share is not None:
            mixed = torch.lerp(tables.meta_in, ids, tables.share[:, None])
            return F.embedding(item, torch.cat([tables.id[:FIRST_KNOWN], mixed]))
        place = (item.long() - FIRST_KNOWN).clamp(min=0)
        codes = catalogue.ages[point(catalogue, moment), place].long()
        assert tables.gate is not None
        gate = _without(tables.gate[codes], None if tables.without_id is None else tables.without_id[place])
        gate = gate.masked_fill(item < FIRST_KNOWN, 1.0).unsqueeze(-1)
        own = F.embedding(item, torch.cat([tables.id[:FIRST_KNOWN], ids]))
        return torch.lerp(F.embedding(place, tables.meta_in), own, gate)

    def output(self, tables: ItemTables, catalogue: Catalogue, points: Int64[Tensor, "U"]) -> MixedTable:
        """What scores the catalogue at the moments ``points`` of it."""
        ids, bias = _padded_ids(tables, catalogue)
        return MixedTable(
            id=ids,
            id_bias=bias,
            meta=tables.meta_out,
            meta_bias=tables.meta_bias,
            gate=self._gates(tables, catalogue, points),
            bias=self._age_biases(tables, catalogue, points),
        )

    def _gates(
        self, tables: ItemTables, catalogue: Catalogue, points: Int64[Tensor, "U"]
    ) -> Float[Tensor, "G V"] | None:
        """The share of the id; a single row where it is the same at all moments."""
        if tables.share is not None:
            gates = tables.share[None]
        elif tables.gate is not None:
            gates = _without(look_up(tables.gate, catalogue.ages[points].long()), tables.without_id)
        else:
            return None
        return gates if self.training else gates * tables.trust

    def _age_biases(
        self, tables: ItemTables, catalogue: Catalogue, points: Int64[Tensor, "U"]
    ) -> Float[Tensor, "U V"] | None:
        if tables.age_bias is None:
            return None
        codes = catalogue.ages[points].int()
        if tables.unseen is not None:
            columns = tables.unseen.nonzero()[:, 0]
            own = codes.index_select(1, columns)
            codes.index_copy_(1, columns, own - own % (_VIEWS * _DEMAND))
        if tables.without_id is None or len(tables.age_bias) == 1:
            return look_up(tables.age_bias[0], codes)
        codes += tables.without_id.int() * tables.age_bias.shape[1]
        return look_up(tables.age_bias.reshape(-1), codes)


class AgeTable(nn.Module):
    """One number for each age code: the sum of those of its parts.

    That of the demand d is s ln(d + 1/4) with a slope s, which goes on where no training has been, and a polygon with a
    corner at each power of two.
    """

    def __init__(self, *, launch: bool, views: bool, demand: bool) -> None:
        super().__init__()
        self.launch = nn.Parameter(torch.zeros(_LAUNCH)) if launch else None
        self.views = nn.Parameter(torch.zeros(_VIEWS)) if views else None
        self.demand = nn.Parameter(torch.zeros(_CORNERS)) if demand else None
        self.slope = nn.Parameter(torch.zeros(1)) if demand else None
        self.polygon: Tensor
        if demand:
            self.register_buffer("polygon", _polygon(), persistent=False)

    def start(self, *, views: Sequence[float]) -> None:
        """Set the numbers of the views."""
        assert self.views is not None
        with torch.no_grad():
            self.views.copy_(torch.tensor(views))

    def start_at_demand(self, part: float) -> None:
        """Say ``part`` of the logarithm of the demand, and nothing else."""
        assert self.demand is not None
        assert self.slope is not None
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.slope.fill_(part)
            self.demand[0] = part * math.log(_NO_DEMAND / _LITTLE_DEMAND)

    def forward(self) -> Float[Tensor, "C"]:
        """The sums, in the order of the codes."""
        return age_values([self])[0]


def age_values(tables: Sequence[AgeTable]) -> Float[Tensor, "n C"]:
    """What tables of the same parts say of each age code."""

    def of_all(parts: Sequence[nn.Parameter | None]) -> Tensor:
        return torch.stack([part for part in parts if part is not None])

    first = tables[0]
    total = torch.zeros(len(tables), *AGE_SHAPE, device=next(first.parameters()).device)
    if first.launch is not None:
        total = total + of_all([each.launch for each in tables])[:, :, None, None]
    if first.views is not None:
        total = total + of_all([each.views for each in tables])[:, None, :, None]
    if first.demand is not None:
        line, corners = first.polygon[0], first.polygon[1:]
        by_demand = of_all([each.slope for each in tables]) * line + of_all([each.demand for each in tables]) @ corners
        total = total + by_demand[:, None, None, :]
    return total.flatten(1)


def _polygon() -> Float[Tensor, "P d"]:
    """What the slope and each corner count at each demand."""
    place = (torch.arange(_DEMAND) - 0.5).clamp(min=0) / DEMAND_STEPS + 1
    place[0] = 0
    corner, column = place.long(), torch.arange(_DEMAND)
    found = torch.zeros(1 + _CORNERS, _DEMAND)
    found[0] = torch.log(torch.where(place > 0, 2 ** (place - 1 + LEAST_DEMAND), 0.0) + _LITTLE_DEMAND)
    found[1 + corner, column] = 1 - (place - corner)
    found[2 + corner, column] = place - corner
    return found


class CarriedAge(nn.Module):
    """What it says of a member that they chose something new: an embedding of the time since an item's launch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.launch = nn.Parameter(torch.zeros(_LAUNCH, width))

    def forward(self, codes: Int64[Tensor, "T"]) -> Float[Tensor, "T D"]:
        """The embedding of each age code."""
        return F.embedding(codes // (_VIEWS * _DEMAND), self.launch)


def _without(gate: Tensor, items: Bool[Tensor, "..."] | None) -> Tensor:
    """The gate, closed where an item goes without its id."""
    return gate if items is None else gate.masked_fill(items, 0.0)


def _padded_ids(tables: ItemTables, catalogue: Catalogue) -> tuple[Float[Tensor, "V D"], Float[Tensor, "V"]]:
    """Embeddings and biases of ids, 0 for items that have none."""
    ids, bias = tables.id[FIRST_KNOWN:], tables.id_bias
    new = len(catalogue.counts) - len(ids)
    if not new:
        return ids, bias
    assert tables.meta_out is not None, "new items without metadata"
    return F.pad(ids, (0, 0, 0, new)), F.pad(bias, (0, new))


def _taught(catalogue: Catalogue) -> Int64[Tensor, "V"]:
    """The bucket of each item's training events, among those of the views before."""
    views = torch.ceil(torch.log2(catalogue.counts.clamp(min=1).double())).long() + 1
    return views.clamp(max=_VIEWS - 1).masked_fill(catalogue.counts == 0, 0)


def point(catalogue: Catalogue, moment: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    """The catalogue's last moment at or before each of these, or its first."""
    return (torch.searchsorted(catalogue.moments, moment, right=True) - 1).clamp(min=0)
