"""The one masked top-k that everything uses: equal scores are broken by a fixed order, exactly.

`torch.topk` leaves open which of several equal scores it takes. Here the lower ``tie_break`` wins, also at
the boundary of k, so that a ranking never depends on the machine, the batch or the order of the catalogue.
The fast path is `torch.topk`; only rows in which the boundary value ties with something left out are selected
again by a key without ties, and only rows with equal scores inside are put in order again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_NOT_ALLOWED = torch.iinfo(torch.int64).min


class TopK(NamedTuple):
    """The best ``K`` columns of each row, best first; K is what was asked for, whatever V is."""

    indices: Int64[Tensor, "Q K"]
    """Columns of the score matrix; 0 where not valid."""
    scores: Float[Tensor, "Q K"]
    """Their scores; minus infinity where not valid."""
    valid: Bool[Tensor, "Q K"]
    """False behind the last allowed column of a row that has fewer than K."""


def top_k(scores: Float[Tensor, "Q V"], allowed: Bool[Tensor, "Q V"], tie_break: Int64[Tensor, " V"], k: int) -> TopK:
    """The ``k`` allowed columns with the highest scores, equal scores in ascending order of ``tie_break``.

    ``tie_break`` holds a distinct number in [0, V) a column, as `palate.rank.catalogue.tie_break` makes it.
    Scores are float32 or narrower; an infinite score of either sign is a score like any other. NaN in an
    allowed column is a bug of the scorer and fails an assertion.
    """
    assert k >= 1, k
    assert scores.dtype in (torch.float32, torch.bfloat16, torch.float16), scores.dtype
    scores = scores.float()
    V = scores.shape[1]
    width = min(k, V)
    if width == 0 or scores.shape[0] == 0:
        return _padded(*_nothing(scores), k)
    masked = scores.masked_fill(~allowed, -torch.inf)
    best, indices = masked.topk(min(width + 1, V), dim=1)  # one more, to see what ties across the boundary
    assert not bool(best[:, 0].isnan().any()), "a score is NaN"  # topk puts NaN first

    rank = tie_break.to(scores.device)
    equal = (best[:, 1:width] == best[:, : width - 1]).any(dim=1)
    if width < V:
        across = best[:, width - 1] == best[:, width]
        best, indices = best[:, :width].contiguous(), indices[:, :width].contiguous()
        tied = across.nonzero().squeeze(1)
        if len(tied):
            rows = masked[tied]
            indices[tied] = _keys(rows, allowed[tied], rank).topk(width, dim=1).indices  # in order already
            best[tied] = rows.gather(1, indices[tied])
        equal &= ~across

    valid = allowed.gather(1, indices)
    equal = equal.nonzero().squeeze(1)
    if len(equal):
        keys = _keys(best[equal], valid[equal], rank[indices[equal]])
        order = keys.argsort(dim=1, descending=True)
        for part in (best, indices, valid):
            part[equal] = part[equal].gather(1, order)
    return _padded(indices.masked_fill(~valid, 0), best.masked_fill(~valid, -torch.inf), valid, k)


def _keys(
    scores: Float[Tensor, "R N"], allowed: Bool[Tensor, "R N"], rank: Int64[Tensor, "..."]
) -> Int64[Tensor, "R N"]:
    """Integers that order like (score, −rank), without ties among allowed entries."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 makes −0 equal to 0
    magnitude_flipped = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # IEEE 754: now ordered as integers are
    keys = (magnitude_flipped.to(torch.int64) << 32) + (0x7FFFFFFF - rank)
    return keys.masked_fill(~allowed, _NOT_ALLOWED)


def _nothing(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    empty = scores[:, :0]
    return empty.long(), empty, empty.bool()


def _padded(indices: Tensor, scores: Tensor, valid: Tensor, k: int) -> TopK:
    missing = k - indices.shape[1]
    if missing == 0:
        return TopK(indices, scores, valid)
    pad = torch.nn.functional.pad
    return TopK(
        pad(indices, (0, missing)),
        pad(scores, (0, missing), value=-torch.inf),
        pad(valid, (0, missing), value=False),
    )
