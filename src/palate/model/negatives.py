"""Negatives of a step, drawn once for all its rows, and how often each was to be expected.

Three sources share the ``n`` draws: every item alike, items by their training events to a power, and the targets of
the batch itself. Item v is expected

    E_v = n_uniform / V + n_popularity · w_v / Σ w + n_batch · c_v / Σ c,    w_v = c_v ^ power,

times, with c_v its training events. If it was drawn C_v times, whichever source it came from, then Σ C_v/E_v exp(s_v)
over the drawn items is an unbiased estimate of Σ exp(s_v) over the catalogue: each logit is corrected by
ln C_v - ln E_v. That is the logQ correction (Bengio and Senécal 2008; Yi et al. 2019) for the mixture as a whole (the
balance heuristic of Veach and Guibas 1995).

The first two sources are drawn in strata: [0, 1) is cut in n parts, and one number of each part goes through the
inverse of the distribution. So an item is drawn E_v times up to one, and a draw of the whole catalogue has every item
once.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from palate.model.config import SamplingConfig


class Negatives(NamedTuple):
    """What was drawn."""

    items: Int64[Tensor, "S"]
    """Places in the catalogue, ascending, each once."""
    correction: Float[Tensor, "S"]
    """ln of how often each was drawn over how often it was expected."""


class NegativeSampler:
    """Draws negatives from a catalogue of ``V`` items with so many training events each."""

    def __init__(self, config: SamplingConfig, counts: Int64[Tensor, "V"]) -> None:
        self.config = config
        V = len(counts)
        self._uniform = min(math.ceil(config.uniform * config.negatives), V)
        self._popular = math.ceil(config.popularity * config.negatives)
        self._batch = math.ceil(config.in_batch * config.negatives)
        weight = counts.double()
        self._share = weight / weight.sum()
        weight = (weight / weight.max()) ** config.power  # at most 1, whatever the power
        self._weight = weight / weight.sum()
        self._reach = self._weight.cumsum(0)

    def to(self, device: torch.device) -> NegativeSampler:
        """The same in the memory of a device."""
        other = copy.copy(self)
        other._share, other._weight, other._reach = (
            each.to(device) for each in (self._share, self._weight, self._reach)
        )
        return other

    @property
    def draws(self) -> int:
        """Negatives of a step, at most."""
        return self._uniform + self._popular + self._batch

    def draw(self, targets: Int64[Tensor, "R"]) -> Negatives:
        """Negatives of a step with these targets, by torch's random state."""
        V, device = len(self._share), targets.device
        everything = self._uniform == V
        drawn = [torch.arange(V, device=device) if everything else (_strata(self._uniform, device) * V).long()]
        drawn.append(torch.searchsorted(self._reach, _strata(self._popular, device) * self._reach[-1], right=True))
        from_batch = min(self._batch, len(targets))
        if from_batch:
            drawn.append(targets[torch.randperm(len(targets), device=device)[:from_batch]])
        items, times = torch.unique(torch.cat(drawn).clamp_(max=V - 1), return_counts=True)
        expected = self._uniform / V + self._popular * self._weight[items] + from_batch * self._share[items]
        return Negatives(items, (times / expected).log().float())


def _strata(n: int, device: torch.device) -> Float[Tensor, "n"]:
    """One number at random of each n-th of [0, 1)."""
    return (torch.arange(n, device=device) + torch.rand(n, dtype=torch.float64, device=device)) / max(n, 1)
