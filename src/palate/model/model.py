"""The model: embed each row, encode it with what came before, predict intents, score every item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.ahead import Ahead
from palate.model.config import ModelConfig, ObjectiveConfig, TransformerConfig
from palate.model.embed import EventEmbedder, HiddenRows, ItemEmbedder
from palate.model.intents import IntentHeads, Intents, sequences
from palate.model.loss import Choices, Mixture, SoftmaxLoss, mixed_softmax_loss, reference_scores
from palate.model.negatives import NegativeSampler
from palate.model.presentation import Presentation
from palate.model.sampled import Part, SampledStep
from palate.model.sasrec import SasRec
from palate.model.tower import ItemTables, ItemTower, MixedTable, point
from palate.model.transformer import Transformer
from palate.tokens.batch import Batch, Catalogue, FieldSpec, HeadSpec, MetadataSpec
from palate.words import FIRST_KNOWN


class Losses(NamedTuple):
    """Sums over the targets of a batch, weighted."""

    total: Float[Tensor, ""]
    """What is descended."""
    item: Float[Tensor, ""]
    """That of the next items, whatever they were chosen among; detached."""


class Questions(NamedTuple):
    """The targets of a batch, ``R`` of them, at ``U`` moments of the catalogue."""

    rows: Int64[Tensor, "R"]
    """Slots that ask."""
    points: Int64[Tensor, "U"]
    """One at least, where nothing is asked."""
    moment: Int64[Tensor, "R"]
    """Which of the points is each row's."""
    choices: Choices


class Shape(NamedTuple):
    """What a model has to fit: its data."""

    fields: Sequence[FieldSpec]
    metadata: Sequence[MetadataSpec]
    heads: Sequence[HeadSpec]
    has_time: bool


class SequenceModel(nn.Module):
    """Tower, embedder, encoder, heads.

    ``V`` counts the items without the reserved indices: column v of a score matrix is item index v + 2.
    """

    def __init__(
        self,
        tower: ItemTower,
        hide: HiddenRows | None,
        embed: EventEmbedder | ItemEmbedder,
        encode: Transformer | SasRec,
        *,
        intents: IntentHeads | None,
        ahead: Ahead | None,
        presentation: Presentation | None,
        logit_bytes: int,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.hide = hide
        self.embed = embed
        self.encode = encode
        self.intents = intents
        self.ahead = ahead
        self.presentation = presentation
        self.logit_bytes = logit_bytes
        self.lowered: torch.dtype | None = None
        """The type of the encoder's products in training, where that is not the weights' own; what lies between them
        keeps it."""

    def forward(
        self, batch: Batch, catalogue: Catalogue, tables: ItemTables, wanted: Int64[Tensor, "n"] | None = None
    ) -> Float[Tensor, "_ D"]:
        """The state of every row before its intents, or of ``wanted`` ones, ascending; not of padding."""
        batch = batch if self.hide is None else self.hide(batch)
        items = self.tower.inputs(tables, catalogue, batch.ids[:, 0], batch.key_time)
        lowered = self.lowered if self.training else None
        with torch.autocast(items.device.type, lowered, enabled=lowered is not None):
            state: Tensor = self.encode(self.embed(batch, items).to(items.dtype), batch, wanted)
        return state.to(items.dtype)

    def states(
        self, batch: Batch, catalogue: Catalogue, wanted: Int64[Tensor, "n"] | None = None
    ) -> Float[Tensor, "_ D"]:
        """As `forward`, and nothing that is as long as the catalogue is made for it."""
        part = Part.of(batch, catalogue, ages=self.tower.reads_ages)
        state: Tensor = self(part.batch, part.catalogue, self.tower(part.catalogue, part.items), wanted)
        return state

    def block_scores(
        self, state: Float[Tensor, "Q D"], catalogue: Catalogue, moment: Int64[Tensor, "Q"], columns: slice
    ) -> Float[Tensor, "Q N"]:
        """Some neighbouring columns of `scores`, from what the tower makes of these items alone."""
        items = torch.arange(columns.start, columns.stop, device=state.device)
        points = torch.unique(point(catalogue, moment))
        part = catalogue.take(items, points)
        return self.scores(state, part, self.tower(part, items), moment)

    def loss(
        self,
        batch: Batch,
        catalogue: Catalogue,
        objective: ObjectiveConfig,
        sampler: NegativeSampler | None = None,
    ) -> Losses:
        """The losses of the batch's targets, each among the items of its row's moment; with a ``sampler`` among some of
        them, which nothing that is as long as the catalogue is made for.
        """
        step = None
        if sampler is not None:
            step = SampledStep.draw(sampler, batch, catalogue, ages=self.tower.reads_ages)
            batch, catalogue = step.batch, step.catalogue
        tables = self.tower(catalogue, None if step is None else step.items)
        rows, points, moment, choices = questions(batch, catalogue)
        target, available, weight = choices
        state = self(batch, catalogue, tables).index_select(0, rows)
        table = self.tower.output(tables, catalogue, points)
        sequence = sequences(batch)[rows]
        further = torch.zeros((), device=state.device)
        if self.intents is not None:
            intents = self.intents(state)
            labels = self.intents.labels(batch, catalogue, rows, sequence)
            further = further + objective.intents * self.intents.loss(intents, labels, weight)
            state = intents.state
        weight_among_all, among_shown = weight, torch.zeros((), device=state.device)
        if self.presentation is not None:
            chosen, of_shown = self._among_shown(state, table, moment, batch.shown[rows], target)
            share = self.presentation.share
            among_shown = share * (of_shown * weight[chosen]).sum()
            weight_among_all = weight.clone()
            weight_among_all[chosen] *= 1 - share
        asked, among = state, choices._replace(weight=weight_among_all)
        if self.ahead is not None:
            later = self.ahead.draw(sequence)
            # What does not exist yet can't be looked for.
            exists = target[later.target] < available[later.row]
            row, offset, then = (each[exists] for each in later)
            asked = torch.cat([state, self.ahead(state.index_select(0, row), offset)])
            moment = torch.cat([moment, moment[row]])
            further_choices = Choices(target[then], available[row], objective.next * weight[then])
            among = Choices(*(torch.cat(both) for both in zip(among, further_choices, strict=True)))
        loss = self.among_all(asked, table, moment, among, step)
        total = loss.total + among_shown + further
        return Losses(total, (loss.rows[: len(rows)].sum() + among_shown).detach())

    def scores(
        self, state: Float[Tensor, "Q D"], catalogue: Catalogue, tables: ItemTables, moment: Int64[Tensor, "Q"]
    ) -> Float[Tensor, "Q V"]:
        """The score of every item at each row's ``moment`` in milliseconds, as the loss sees it, without masks.

        ``state`` is that behind the intents: `intents` of `forward`'s.
        """
        points, own = torch.unique(point(catalogue, moment), return_inverse=True)
        table = self.tower.output(tables, catalogue, points)
        return reference_scores(state, table.id, table.id_bias, own, _mixture(table), table.bias)

    def predict_intents(self, state: Float[Tensor, "Q D"], without: int | None = None) -> Intents | None:
        """What the heads say of a state, and the state behind them; none where there are no heads."""
        return None if self.intents is None else self.intents(state, without)

    def start_at_popularity(self, counts: Int64[Tensor, "V"]) -> None:
        """Begin with biases for popularity; see `ItemTower.start_at_popularity`."""
        self.tower.start_at_popularity(counts)

    def among_all(
        self, state: Tensor, table: MixedTable, moment: Tensor, choices: Choices, step: SampledStep | None = None
    ) -> SoftmaxLoss:
        """The loss of choices among all items, or among the negatives of a step."""
        own = None
        if step is not None:
            own = scores_of(state, table, moment, choices.target[:, None])[:, 0]
            table, choices = step.table(table), step.choices(choices)
        return mixed_softmax_loss(
            state,
            table.id,
            table.id_bias,
            moment,
            _mixture(table),
            table.bias,
            choices,
            logit_bytes=self.logit_bytes,
            own=own,
        )

    def _among_shown(
        self,
        state: Tensor,
        table: MixedTable,
        moment: Tensor,
        shown: Tensor,
        target: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Which rows were chosen among shown items, and the loss of each such choice."""
        assert self.presentation is not None
        rows = ((shown > 0).sum(1) > 1).nonzero()[:, 0]  # among one there is no choice
        there = shown[rows] >= FIRST_KNOWN
        item = (shown[rows].long() - FIRST_KNOWN).clamp(min=0)
        scores = scores_of(state[rows], table, moment[rows], item)
        chosen = there & (item == target[rows, None])
        return rows, self.presentation.losses(scores, there, chosen)


def questions(batch: Batch, catalogue: Catalogue) -> Questions:
    """What a batch asks."""
    rows = batch.target.nonzero()[:, 0]
    points, moment = torch.unique(point(catalogue, batch.query_time[rows]), return_inverse=True)
    points = points if len(points) else points.new_zeros(1)
    available = batch.available[rows].long() - FIRST_KNOWN
    return Questions(rows, points, moment, Choices(batch.target[rows] - FIRST_KNOWN, available, batch.weight[rows]))


def scores_of(
    state: Float[Tensor, "R D"], table: MixedTable, moment: Int64[Tensor, "R"], item: Int64[Tensor, "R S"]
) -> Float[Tensor, "R S"]:
    """The scores of a few items of each row: those of `palate.model.loss.reference_scores` in these columns."""
    own, u = state.unsqueeze(-1), moment[:, None]
    scores = (F.embedding(item, table.id) @ own)[..., 0] + table.id_bias[item]
    if table.meta is not None and table.meta_bias is not None and table.gate is not None:
        other = (F.embedding(item, table.meta) @ own)[..., 0] + table.meta_bias[item]
        scores = torch.lerp(other, scores, table.gate[u if len(table.gate) > 1 else torch.zeros_like(u), item])
    return scores if table.bias is None else scores + table.bias[u, item]


def _mixture(table: MixedTable) -> Mixture | None:
    if table.meta is None or table.meta_bias is None or table.gate is None:
        return None
    return Mixture(table.meta, table.meta_bias, table.gate)


def build_model(config: ModelConfig, shape: Shape, *, context: int) -> SequenceModel:
    """The model of a configuration, for these data; its weights come from torch's random state."""
    encoder, width = config.encoder, config.encoder.width
    tower = ItemTower(config.tower, shape.metadata, size=shape.fields[0].size, width=width, has_time=shape.has_time)
    hide: HiddenRows | None = None
    embed: EventEmbedder | ItemEmbedder
    encode: Transformer | SasRec
    if isinstance(encoder, TransformerConfig):
        hide = HiddenRows(shape.fields, config.hidden_rows)
        embed = EventEmbedder(shape.fields, width=width, field_width=config.field_width)
        encode = Transformer(encoder, context=context, has_time=shape.has_time and encoder.time_bias)
    else:
        embed = ItemEmbedder(dropout=encoder.dropout)
        encode = SasRec(encoder, context=context)
    intents = None
    if config.intents is not None and shape.heads:
        intents = IntentHeads(shape.heads, config.intents, width=width)
    return SequenceModel(
        tower,
        hide,
        embed,
        encode,
        intents=intents,
        ahead=Ahead(config.next, width=width) if config.next.n > 1 else None,
        presentation=None if config.presentation is None else Presentation(config.presentation),
        logit_bytes=config.logit_bytes,
    )
