"""The one masked top-k that everything uses: equal scores are broken by a fixed order, exactly.

`torch.topk` leaves open which of several equal scores it takes. Here the lower ``tie_break`` wins, also at
the boundary of k, so that a ranking never depends on the machine, the batch or the order of the catalogue.
The fast path is `torch.topk`; only rows in which the boundary value ties with something left out are selected
again by a key without ties, and only rows with equal scores inside are put in order again.

Where the catalogue is too large for a matrix of scores, `RunningTopK` takes it in blocks of columns, with the same
result: what is below a row's K-th best so far is passed over, and what is left is merged by the same key.
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


class RunningTopK:
    """The ``k`` best columns of ``Q`` rows, given block by block: what `top_k` finds in all blocks side by side."""

    def __init__(self, rows: int, k: int) -> None:
        assert k >= 1, k
        self._k = k
        self._keys = torch.full((rows, k), _NOT_ALLOWED)
        self._indices = torch.zeros(rows, k, dtype=torch.int64)
        self._scores = torch.full((rows, k), -torch.inf)

    def add(
        self,
        first: int,
        scores: Float[Tensor, "Q N"],
        allowed: Bool[Tensor, "Q N"],
        tie_break: Int64[Tensor, " N"],
    ) -> None:
        """The block of columns from ``first`` on; arguments as of `top_k`."""
        if bool((self._keys[:, -1] == _NOT_ALLOWED).any()):
            self._add_best(first, scores, allowed, tie_break)
            return
        # From the second block on hardly anything is among the best: one pass says what might be.
        assert not bool(scores.amax().isnan()) or not bool((scores.isnan() & allowed).any()), "a score is NaN"
        might = (scores >= self._scores[:, -1:]) & allowed
        rows, columns = might.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(scores))
        width = int(counts.max()) if len(counts) else 0
        if not width:
            return
        if width > 8 * self._k:  # a block whose scores are far higher than those before it
            self._add_best(first, scores, allowed, tie_break)
            return
        place = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        indices = torch.zeros(len(scores), width, dtype=torch.int64)
        there = torch.zeros(len(scores), width, dtype=torch.bool)
        indices[rows, place], there[rows, place] = columns, True
        self._merge(first + indices, scores.gather(1, indices).float(), there, tie_break[indices])

    def result(self) -> TopK:
        """What is best of the blocks so far."""
        valid = self._keys != _NOT_ALLOWED
        return TopK(self._indices.masked_fill(~valid, 0), self._scores.masked_fill(~valid, -torch.inf), valid)

    def _add_best(self, first: int, scores: Tensor, allowed: Tensor, tie_break: Tensor) -> None:
        best = top_k(scores, allowed, tie_break, min(self._k, max(scores.shape[1], 1)))
        rank = tie_break[best.indices] if len(tie_break) else best.indices
        self._merge(first + best.indices, best.scores, best.valid, rank)

    def _merge(self, indices: Tensor, scores: Tensor, there: Tensor, rank: Tensor) -> None:
        keys = torch.cat([self._keys, _keys(scores, there, rank)], dim=1)
        self._keys, order = keys.topk(self._k, dim=1)
        self._indices = torch.cat([self._indices, indices], dim=1).gather(1, order)
        self._scores = torch.cat([self._scores, scores], dim=1).gather(1, order)


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
