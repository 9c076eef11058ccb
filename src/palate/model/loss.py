"""The exact softmax over all available items, without ever holding all logits.

With state h, item table W and bias c, the loss of target y is logsumexp(W h + c) - (W h + c)_y, summed over the
targets with their weights. The gradient of the logits is known as soon as the logits are, so one pass over chunks of
rows yields the loss and all gradients: three matrix products, and memory for one chunk's logits. Items are in order
of availability, so those of a row's moment are a prefix.

Sampled, the items are those that were drawn, their biases hold the correction of the draw (`palate.model.negatives`),
and the score of each row's target is given apart, since the target may not be among them: the loss is
ln(exp(own) + Σ exp(logits)) - own. Where the target was drawn it is left out of the sum, not to count twice.

A catalogue so large that the budget holds a few rows alone is gone through in blocks of items as well, twice: once for
the normaliser, once for the gradient. That is a fourth product, and all of them are large.

Where a second table W' stands beside, the logits are those of W' plus G times the difference, with a gate G of each
moment and item; rows of the same moment share a row of G and of the bias C. Then there are six products, and two chunks
in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from palate.model.product import ROWS, linear, product, product_of_rows

CHUNK_BYTES = 4 * 2**20
"""Logits that are alive at a time on a processor where memory would allow more: they stay in its cache."""
LEAST_ROWS = 256
"""Fewer rows a chunk than this are a matter of memory, never of the cache."""
FEWEST_ROWS = 64
"""Where memory holds fewer rows than this, products with the item table would be bound by reading it."""


class Choices(NamedTuple):
    """R choices: what each row chose, and among what."""

    target: Int64[Tensor, "R"]
    """In [0, V); with the target's score given apart, -1 where it is none of the V."""
    available: Int64[Tensor, "R"]
    """Items at and beyond this one did not exist."""
    weight: Float[Tensor, "R"]
    """What it counts."""


class SoftmaxLoss(NamedTuple):
    """The loss of R choices."""

    total: Float[Tensor, ""]
    """What is descended."""
    rows: Float[Tensor, "R"]
    """What each row adds to it, without a gradient."""


class Mixture(NamedTuple):
    """The second table, and the share of the first: ``G`` is the number of moments U, or 1 where all are alike."""

    items: Float[Tensor, "V D"]
    bias: Float[Tensor, "V"]
    gate: Float[Tensor, "G V"]


def reference_scores(
    state: Float[Tensor, "R D"],
    items: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"],
    moment: Int64[Tensor, "R"],
    mixture: Mixture | None,
    moment_bias: Float[Tensor, "U V"] | None,
) -> Float[Tensor, "R V"]:
    """The score of every item, plainly; ``moment`` is each row's row of what depends on the moment."""
    items, bias, mixture = _premixed(items, bias, mixture)
    scores = linear(state, items, bias)
    if mixture is not None:
        other = linear(state, mixture.items, mixture.bias)
        scores = torch.lerp(other, scores, mixture.gate[moment])
    return scores if moment_bias is None else scores + moment_bias[moment]


def reference_softmax_loss(
    scores: Float[Tensor, "R V"], choices: Choices, own: Float[Tensor, "R"] | None = None
) -> Float[Tensor, ""]:
    """The weighted sum over rows of -ln p(target), plainly; ``own`` are the targets' scores where those are apart."""
    column = torch.arange(scores.shape[1], device=scores.device)
    beyond = column >= choices.available[:, None]
    if own is not None:
        others = scores.masked_fill(beyond | (column == choices.target[:, None]), -torch.inf)
        return ((torch.cat([own[:, None], others], dim=1).logsumexp(1) - own) * choices.weight).sum()
    losses = F.cross_entropy(scores.masked_fill(beyond, -torch.inf), choices.target, reduction="none")
    return (losses * choices.weight).sum()


def softmax_loss(
    state: Float[Tensor, "R D"],
    items: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"],
    choices: Choices,
    *,
    logit_bytes: int,
) -> Float[Tensor, ""]:
    """`reference_softmax_loss` of one table, in memory for ``logit_bytes`` of logits (at least one row)."""
    moment = torch.zeros(len(state), dtype=torch.int64, device=state.device)
    return mixed_softmax_loss(state, items, bias, moment, None, None, choices, logit_bytes=logit_bytes).total


def mixed_softmax_loss(
    state: Float[Tensor, "R D"],
    items: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"],
    moment: Int64[Tensor, "R"],
    mixture: Mixture | None,
    moment_bias: Float[Tensor, "U V"] | None,
    choices: Choices,
    *,
    logit_bytes: int,
    own: Float[Tensor, "R"] | None = None,
) -> SoftmaxLoss:
    """`reference_softmax_loss` of `reference_scores`, in memory for some ``logit_bytes`` of logits."""
    items, bias, mixture = _premixed(items, bias, mixture)
    if mixture is None:
        biases = bias[None] if moment_bias is None else bias + moment_bias
        rows = _rows(logit_bytes, items)
        fewest = min(FEWEST_ROWS, len(state))
        if rows < fewest and len(biases) == 1 and own is None:
            block = max(logit_bytes // (4 * fewest), 1)
            return SoftmaxLoss(
                *_BlockedSoftmaxLoss.apply(  # type: ignore[no-untyped-call]
                    state, items, biases[0], *choices, fewest, block
                )
            )
        return SoftmaxLoss(
            *_SoftmaxLoss.apply(state, items, biases, own, moment, *choices, rows)  # type: ignore[no-untyped-call]
        )
    rows = _rows(logit_bytes // 2, items)
    ones = torch.ones(len(state), 1, dtype=state.dtype, device=state.device)
    state = torch.cat([state, ones], dim=1)
    items = torch.cat([items, bias[:, None]], dim=1)
    others = torch.cat([mixture.items, mixture.bias[:, None]], dim=1)
    return SoftmaxLoss(
        *_MixedSoftmaxLoss.apply(  # type: ignore[no-untyped-call]
            state, items, others, mixture.gate, moment_bias, own, moment, *choices, rows
        )
    )


def _rows(logit_bytes: int, items: Tensor) -> int:
    """Rows of a chunk: what the memory allows, and on a processor no more than stay in its cache."""
    a_row = 4 * max(len(items), 1)
    of_cache = max(CHUNK_BYTES // a_row, LEAST_ROWS) if items.device.type == "cpu" else logit_bytes
    rows = max(min(logit_bytes // a_row, of_cache), 1)
    return rows - rows % ROWS if rows > ROWS else rows


def _chunks(total: int, rows: int) -> Iterator[slice]:
    """``rows`` at a time; of the rest, what is no multiple of `ROWS` comes last."""
    whole = total - total % ROWS
    for start, stop in pairwise([*range(0, whole, rows), *range(whole, total, rows), total]):
        yield slice(start, stop)


def _premixed(items: Tensor, bias: Tensor, mixture: Mixture | None) -> tuple[Tensor, Tensor, Mixture | None]:
    """Tables that are always mixed alike can be mixed before they are multiplied."""
    if mixture is None or len(mixture.gate) > 1:
        return items, bias, mixture
    share = mixture.gate[0]
    return torch.lerp(mixture.items, items, share[:, None]), torch.lerp(mixture.bias, bias, share), None


class _SoftmaxLoss(torch.autograd.Function):
    """One table, and a bias of each moment."""

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        items: Tensor,
        bias: Tensor,
        own: Tensor | None,
        moment: Tensor,
        target: Tensor,
        available: Tensor,
        weight: Tensor,
        rows: int,
    ) -> tuple[Tensor, Tensor]:
        losses = torch.empty(len(state), device=state.device, dtype=torch.float32)
        d_state = torch.empty_like(state)
        d_items, d_bias = None, torch.zeros_like(bias)
        d_own = None if own is None else torch.empty_like(own)
        masked = _Masked(available, len(items))
        for chunk in _chunks(len(state), rows):
            h, u = state[chunk], moment[chunk]
            logits = product(h, items.T, bias[0] if len(bias) == 1 else bias.index_select(0, u))
            masked.hide(logits, chunk)
            losses[chunk] = _to_gradient(logits, target[chunk], weight[chunk], _of(own, chunk), _of(d_own, chunk))
            d_state[chunk] = product(logits, items)
            # Summed as it lies in memory, which may be crosswise.
            found = product_of_rows(logits, h)
            d_items = found if d_items is None else d_items.add_(found)
            if len(bias) == 1:
                d_bias += logits.sum(0)
            else:
                d_bias.index_add_(0, u, logits)
        d_items = torch.zeros_like(items) if d_items is None else d_items
        ctx.save_for_backward(d_state, d_items, d_bias, d_own)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        found = [None if each is None else each * gradient for each in ctx.saved_tensors]
        return (*found, None, None, None, None, None)


class _BlockedSoftmaxLoss(torch.autograd.Function):
    """One table and one bias, in chunks of rows and blocks of items: what a row is divided by is known after the last
    block."""

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        items: Tensor,
        bias: Tensor,
        target: Tensor,
        available: Tensor,
        weight: Tensor,
        rows: int,
        block: int,
    ) -> tuple[Tensor, Tensor]:
        losses = torch.empty(len(state), device=state.device, dtype=torch.float32)
        d_state, d_items, d_bias = torch.zeros_like(state), torch.zeros_like(items), torch.zeros_like(bias)
        blocks = [slice(start, min(start + block, len(items))) for start in range(0, len(items), block)]
        for start in range(0, len(state), rows):
            chunk = slice(start, start + rows)
            h, own, exists = state[chunk], target[chunk], available[chunk]

            def logits_of(among: slice, h: Tensor = h, exists: Tensor = exists) -> Tensor:
                logits = product(h, items[among].T, bias[among])
                _Masked(exists - among.start, among.stop - among.start).hide(logits, slice(None))
                return logits

            chosen = (h * items[own]).sum(1) + bias[own]
            normaliser = torch.full_like(chosen, -torch.inf)
            for among in blocks:
                normaliser = torch.logaddexp(normaliser, logits_of(among).logsumexp(1))
            losses[chunk] = (normaliser - chosen) * weight[chunk]
            for among in blocks:
                gradient = logits_of(among).sub_(normaliser[:, None]).exp_()
                here = ((own >= among.start) & (own < among.stop)).nonzero()[:, 0]
                gradient[here, own[here] - among.start] -= 1
                gradient.mul_(weight[chunk][:, None])
                d_state[chunk] += product(gradient, items[among])
                d_items[among] += product_of_rows(gradient, h)
                d_bias[among] += gradient.sum(0)
        ctx.save_for_backward(d_state, d_items, d_bias)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        found = [each * gradient for each in ctx.saved_tensors]
        return (*found, None, None, None, None, None)


class _MixedSoftmaxLoss(torch.autograd.Function):
    """Two tables and a gate of each moment. The biases are the last column of the tables, and the last number of the
    state is 1."""

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        items: Tensor,
        others: Tensor,
        gate: Tensor,
        moment_bias: Tensor | None,
        own: Tensor | None,
        moment: Tensor,
        target: Tensor,
        available: Tensor,
        weight: Tensor,
        rows: int,
    ) -> tuple[Tensor, Tensor]:
        losses = torch.empty(len(state), device=state.device, dtype=torch.float32)
        d_state = torch.empty_like(state)
        d_items, d_others, d_gate = torch.zeros_like(items), torch.zeros_like(others), torch.zeros_like(gate)
        d_bias = None if moment_bias is None else torch.zeros_like(moment_bias)
        d_own = None if own is None else torch.empty_like(own)
        masked = _Masked(available, len(items))
        items_less_others = items - others
        for chunk in _chunks(len(state), rows):
            h, u = state[chunk], moment[chunk]
            logits = product(h, others.T, None if moment_bias is None else moment_bias.index_select(0, u))
            difference, gates = product(h, items_less_others.T), gate.index_select(0, u)
            logits.addcmul_(gates, difference)
            masked.hide(logits, chunk)
            losses[chunk] = _to_gradient(logits, target[chunk], weight[chunk], _of(own, chunk), _of(d_own, chunk))
            if d_bias is not None:
                d_bias.index_add_(0, u, logits)
            d_gate.index_add_(0, u, difference.mul_(logits))
            gates.mul_(logits)
            d_state[chunk] = product(gates, items)
            d_items += product_of_rows(gates, h)
            logits.sub_(gates)
            d_state[chunk] += product(logits, others)
            d_others += product_of_rows(logits, h)
        ctx.save_for_backward(d_state, d_items, d_others, d_gate, d_bias, d_own)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        found = [None if each is None else each * gradient for each in ctx.saved_tensors]
        return (*found, None, None, None, None, None)


class _Masked:
    """Items that do not exist yet: those at and beyond ``available`` [R], of V in order of availability."""

    def __init__(self, available: Tensor, items: int) -> None:
        self._available = available
        self._index = torch.arange(items, device=available.device)
        self._everywhere = bool((available >= items).all())

    def hide(self, logits: Tensor, chunk: slice) -> None:
        """Set their logits to minus infinity, in a chunk of the rows."""
        if self._everywhere:
            return
        available = self._available[chunk]
        lowest = max(int(available.min()), 0)  # rows of one time miss the same items, those at the end
        logits[:, lowest:].masked_fill_(self._index[lowest:] >= available[:, None], -torch.inf)


def _of(values: Tensor | None, chunk: slice) -> Tensor | None:
    return None if values is None else values[chunk]


def _to_gradient(
    logits: Tensor, target: Tensor, weight: Tensor, own: Tensor | None = None, d_own: Tensor | None = None
) -> Tensor:
    """Turn logits into the gradient of the weighted loss, in place; returns each row's loss.

    The softmax is one kernel with a row in the cache; the logarithm of its denominator follows from the highest logit
    and the highest share, which can't vanish as the target's may.
    """
    if own is not None:
        assert d_own is not None
        return _to_gradient_apart(logits, target, weight, own, d_own)
    place = target[:, None]
    chosen, highest = logits.gather(1, place), logits.amax(1, keepdim=True)
    torch.softmax(logits, 1, out=logits)
    normaliser = highest - logits.amax(1, keepdim=True).log()
    logits.scatter_add_(1, place, torch.full_like(chosen, -1.0))
    if bool((weight != 1).any()):
        logits.mul_(weight[:, None])
    return (normaliser - chosen)[:, 0] * weight


def _to_gradient_apart(logits: Tensor, target: Tensor, weight: Tensor, own: Tensor, d_own: Tensor) -> Tensor:
    """The same where the targets' scores are apart; their gradient goes to ``d_own``."""
    drawn = (target >= 0).nonzero()[:, 0]
    logits[drawn, target[drawn]] = -torch.inf
    highest = logits.amax(1)
    alone = highest == -torch.inf
    if bool(alone.any()):
        logits[alone] = 0.0
    torch.softmax(logits, 1, out=logits)
    # How far the negatives are ahead of the target.
    ahead = (highest - logits.amax(1).log()).masked_fill_(alone, -torch.inf) - own
    share = torch.sigmoid(ahead) * weight
    logits.mul_(share[:, None])
    torch.neg(share, out=d_own)
    return F.softplus(ahead) * weight
