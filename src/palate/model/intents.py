"""Heads that predict what is wanted, and the intent they make for the item.

From the state h each head k predicts a field of the target: its genre, its type, whether it is something known. Its
soft prediction p_k, never the label, becomes the embedding e_k = p_k E_k; an attention of h over the heads makes one
intent of them, z = Σ_k α_k W_v e_k with α = softmax_k(⟨W_q h, e_k⟩ / √W + b_k), which joins the state: h + W_o z. After
FM-Intent (Netflix 2025), where intents are predicted first and items from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from palate.model.config import IntentConfig
from palate.model.fused_intents import feed, log_softmax_within
from palate.model.product import Linear
from palate.tokens.batch import RELEASE_EDGES, Batch, Catalogue, HeadSource, HeadSpec
from palate.words import FIRST_KNOWN


class Intents(NamedTuple):
    """Of ``R`` rows; ``C`` classes of all heads together, ``K`` heads."""

    log_shares: Float[Tensor, "R C"]
    """Logarithm of each class's probability within its head, head after head."""
    attention: Float[Tensor, "R K"] | None
    """Share of each head in the intent; none where intents don't reach the item."""
    state: Float[Tensor, "R D"]
    """The state, joined by the intent."""


class IntentHeads(nn.Module):
    """Several heads over one state."""

    def __init__(self, specs: Sequence[HeadSpec], config: IntentConfig, *, width: int) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.horizon = config.horizon
        self.sizes = [spec.classes for spec in self.specs]
        # Ones where a class is one of a head, [K, C].
        heads = torch.eye(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes), dim=1)
        self.register_buffer("heads", heads, persistent=False)
        self.heads: Tensor
        # What a value has to be moved by to be the place of its class, for each cell of a label.
        places = [first - FIRST_KNOWN for first in accumulate(self.sizes[:-1], initial=0)]
        offset = [place for place, spec in zip(places, self.specs, strict=True) for _ in range(spec.width)]
        self.register_buffer("offset", torch.tensor(offset), persistent=False)
        self.offset: Tensor
        self.predict = Linear(width, sum(self.sizes))
        self.feeds = config.feed == "attention"
        if self.feeds:
            self.values = nn.Parameter(torch.randn(sum(self.sizes), config.width) * config.width**-0.5)
            self.query = Linear(width, config.width, bias=False)
            self.head_bias = nn.Parameter(torch.zeros(len(self.specs)))
            self.value = Linear(config.width, config.width, bias=False)
            self.join = Linear(config.width, width, bias=False)
            nn.init.zeros_(self.join.weight)

    def forward(self, state: Float[Tensor, "R D"], without: int | None = None) -> Intents:
        """Predict every head; ``without`` leaves one of them out of the intent."""
        if not self.feeds:
            scores = self.predict.weight @ state.T + self.predict.bias[:, None]
            return Intents(log_softmax_within(scores, self.sizes).T, None, state)
        query = self.query.weight / math.sqrt(self.values.shape[1])
        says = self.join.weight @ self.value.weight
        head_bias: Tensor = self.head_bias
        if without is not None:
            head_bias = head_bias.index_fill(0, torch.tensor([without], device=state.device), -torch.inf)
        log_shares, attention, joined = feed(
            state, self.predict.weight, self.predict.bias, self.values, query, says, head_bias, self.heads, self.sizes
        )
        return Intents(log_shares.T, attention.T, joined)

    def loss(self, intents: Intents, labels: Float[Tensor, "R C"], weight: Float[Tensor, "R"]) -> Float[Tensor, ""]:
        """The weighted sum over rows of the heads' mean cross-entropy; a row without a label costs a head nothing."""
        given = (labels * (weight / -len(self.specs))[:, None]).T.contiguous()  # as the shares lie
        return (given * intents.log_shares.T).sum()

    def labels(
        self, batch: Batch, catalogue: Catalogue, rows: Int64[Tensor, "R"], sequence: Int64[Tensor, "R"]
    ) -> Float[Tensor, "R C"]:
        """What each head should say of the targets at ``rows``: shares that add up to one, or all zero without a label.

        With the horizon of a session they are the mean over the target and those after it in its session. ``sequence``
        numbers the sequence of each row; the rows ascend.
        """
        values = label_values(
            self.specs,
            catalogue,
            item=batch.target[rows] - FIRST_KNOWN,
            moment=batch.query_time[rows],
            outcome=batch.outcome[rows],
            familiar=batch.familiar[rows],
        )
        nowhere = sum(self.sizes)
        place = torch.where(values >= FIRST_KNOWN, values + self.offset, nowhere)
        counts = torch.zeros(len(rows), nowhere + 1, device=place.device)
        counts.scatter_add_(1, place, counts.new_ones(1).expand_as(place))
        own = self._shares(counts[:, :-1])
        if self.horizon == "session":
            own = self._shares(_rest_of_session(own, sequence, batch.session[rows]))
        return own

    def _shares(self, counts: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
        """Each head's part divided by its sum; all zero where that is zero."""
        return counts * ((counts @ self.heads.T).clamp_(min=1e-6).reciprocal_() @ self.heads)


def label_values(
    specs: Sequence[HeadSpec],
    catalogue: Catalogue,
    *,
    item: Int64[Tensor, "R"],
    moment: Int64[Tensor, "R"],
    outcome: Int32[Tensor, "R P"],
    familiar: Int32[Tensor, "R"],
) -> Int64[Tensor, "R W"]:
    """The classes of targets in some heads, side by side, counted from 2 in each; smaller numbers are no class.

    ``item`` is the target's place in the catalogue; the others are as in `palate.tokens.batch.Batch`.
    """
    start: dict[HeadSource, int] = {}
    found: list[Tensor] = []
    width = 0
    for source in dict.fromkeys(spec.source for spec in specs):
        own = [spec for spec in specs if spec.source == source]
        low, high = min(spec.start for spec in own), max(spec.start + spec.width for spec in own)
        start[source] = width - low
        width += high - low
        if source == HeadSource.ITEM:
            found.append(catalogue.metadata[:, low:high].index_select(0, item))
        elif source == HeadSource.EVENT:
            found.append(outcome[:, low:high])
        elif source == HeadSource.FAMILIAR:
            found.append(familiar[:, None] + (FIRST_KNOWN - 1))
        else:
            found.append(_release_class(moment, catalogue.launch[item])[:, None] + FIRST_KNOWN)
    together = found[0] if len(found) == 1 else torch.cat(found, dim=1)
    columns = [start[spec.source] + spec.start + place for spec in specs for place in range(spec.width)]
    if columns != list(range(width)):
        together = together.index_select(1, torch.tensor(columns, device=item.device))
    return together.long()


def sequences(batch: Batch) -> Int64[Tensor, "T"]:
    """The number of each slot's sequence."""
    found, start = [], 0
    for b, length in batch.rectangles:
        found.append(torch.arange(start, start + b, device=batch.target.device).repeat_interleave(length))
        start += b
    return torch.cat(found)


def _release_class(moment: Int64[Tensor, "R"], launch: Int64[Tensor, "R"]) -> Int64[Tensor, "R"]:
    """The class of the time since launch; -2 where the launch is unknown, which is no class."""
    unknown = launch == torch.iinfo(torch.int64).min
    age = moment - launch.masked_fill(unknown, 0)
    found = torch.bucketize(age, torch.tensor(RELEASE_EDGES, device=age.device), right=True)
    return found.masked_fill(unknown, -FIRST_KNOWN)


def _rest_of_session(
    own: Float[Tensor, "R C"], sequence: Int64[Tensor, "R"], session: Int32[Tensor, "R"]
) -> Float[Tensor, "R C"]:
    """The sum of each row's label and those behind it in the same sequence and session."""
    R = len(own)
    starts = torch.ones(R, dtype=torch.bool, device=own.device)
    starts[1:] = (sequence[1:] != sequence[:-1]) | (session[1:] != session[:-1])
    behind = F.pad(starts.nonzero()[1:, 0], (0, 1), value=R)
    before = own.new_zeros(R + 1, own.shape[1], dtype=torch.float64)
    torch.cumsum(own, 0, dtype=torch.float64, out=before[1:])
    return before.index_select(0, behind[starts.cumsum(0) - 1]).sub_(before[:-1]).to(own.dtype)
