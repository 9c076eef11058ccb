"""Correction for what was shown where: a choice among shown items is no choice among all.

What a member picks from a row, they picked among its items, and the first places catch the eye first. With the score
s_i of each shown item and the propensity π of its place, the probability of the choice y is

    P(y) = π_place(y) exp(s_y) / Σ_i π_place(i) exp(s_i).

It takes the place of the softmax over the catalogue, which would credit an item for having been shown. The propensities
are learned beside the scores, against that of the first place, and kept from falling below a bound (clipping, as of
inverse propensities in Joachims et al. 2017).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from palate.model.config import PresentationConfig


class Presentation(nn.Module):
    """Propensities of places."""

    def __init__(self, config: PresentationConfig) -> None:
        super().__init__()
        self.share = config.share
        self.least = math.log(config.least_propensity)
        self.places = nn.Parameter(torch.zeros(config.places))

    def log_propensities(self) -> Float[Tensor, "S"]:
        """ln π of each place, that of the first being 0."""
        return (self.places - self.places[:1]).clamp(min=self.least, max=-self.least)

    def losses(
        self, scores: Float[Tensor, "M S"], there: Bool[Tensor, "M S"], chosen: Bool[Tensor, "M S"]
    ) -> Float[Tensor, "M"]:
        """-ln P of each choice: ``there`` says which places had an item, ``chosen`` which held the target."""
        logits = (scores + self.log_propensities()).masked_fill(~there, -torch.inf)
        picked = logits.masked_fill(~chosen, -torch.inf).logsumexp(1)
        return logits.logsumexp(1) - picked
