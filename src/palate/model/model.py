"""The model: embed each row, encode it with what came before, score every item."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from palate.model.config import ModelConfig, TransformerConfig
from palate.model.embed import EventEmbedder, ItemEmbedder
from palate.model.loss import softmax_loss
from palate.model.sasrec import SasRec
from palate.model.transformer import Transformer
from palate.tokens.batch import Batch, FieldSpec
from palate.words import FIRST_KNOWN


class SequenceModel(nn.Module):
    """Embedder, encoder, and an output that shares the item table.

    ``V`` counts the items without the reserved indices: column v of a score matrix is item index v + 2.
    """

    def __init__(
        self,
        embed: EventEmbedder | ItemEmbedder,
        encode: Transformer | SasRec,
        items: nn.Parameter,
        *,
        logit_bytes: int,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.encode = encode
        self.items = items
        self.item_bias = nn.Parameter(torch.zeros(len(items) - FIRST_KNOWN))
        self.logit_bytes = logit_bytes

    def forward(self, batch: Batch) -> Float[Tensor, "T D"]:
        """The state of every row; in padding it has no meaning."""
        state: Tensor = self.encode(self.embed(batch, self.items), batch)
        return state

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """The sum of -ln p(target | row) over the batch's targets, among the items of each row's moment."""
        rows = batch.target.nonzero()[:, 0]
        return softmax_loss(
            self(batch)[rows],
            self.items[FIRST_KNOWN:],
            self.item_bias,
            batch.target[rows] - FIRST_KNOWN,
            batch.available[rows] - FIRST_KNOWN,
            logit_bytes=self.logit_bytes,
        )

    def scores(self, state: Float[Tensor, "Q D"]) -> Float[Tensor, "Q V"]:
        """The score of every item, as the loss sees it, without masks."""
        return torch.addmm(self.item_bias, state, self.items[FIRST_KNOWN:].T)

    def start_at_popularity(self, counts: Int64[Tensor, "V"]) -> None:
        """Set the item bias to the logarithm of the share of the training events."""
        share = (counts.double() + 1) / (counts.sum() + len(counts))
        with torch.no_grad():
            self.item_bias.copy_(share.log() - share.log().mean())


def build_model(config: ModelConfig, specs: Sequence[FieldSpec], *, context: int, has_time: bool) -> SequenceModel:
    """The model of a configuration, for these fields; its weights come from torch's random state."""
    encoder = config.encoder
    items = nn.Parameter(torch.randn(specs[0].size, encoder.width) * 0.02)
    embed: EventEmbedder | ItemEmbedder
    encode: Transformer | SasRec
    if isinstance(encoder, TransformerConfig):
        embed = EventEmbedder(
            specs, width=encoder.width, field_width=config.field_width, hidden_rows=config.hidden_rows
        )
        encode = Transformer(encoder, context=context, has_time=has_time)
    else:
        embed = ItemEmbedder(dropout=encoder.dropout)
        encode = SasRec(encoder, context=context)
    return SequenceModel(embed, encode, items, logit_bytes=config.logit_bytes)
