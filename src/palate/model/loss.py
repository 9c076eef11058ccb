"""The exact softmax over all available items, without ever holding all logits.

With state h, item table W and bias c, the loss of target y is logsumexp(W h + c) - (W h + c)_y, summed over the
targets with their weights. The gradient of the logits is known as soon as the logits are, so one pass over chunks of
rows yields the loss and all gradients: three matrix products, and memory for one chunk's logits. Items are in order
of availability, so those of a row's moment are a prefix.

Where a second table W' stands beside, the logits are those of W' plus G times the difference, with a gate G of each
moment and item; rows of the same moment share a row of G and of the bias C. Then there are six products, and two chunks
in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Choices(NamedTuple):
    """R choices: what each row chose, and among what."""

    target: Int64[Tensor, "R"]
    """In [0, V)."""
    available: Int64[Tensor, "R"]
    """Items at and beyond this one did not exist."""
    weight: Float[Tensor, "R"]
    """What it counts."""


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
    scores = torch.addmm(bias, state, items.T)
    if mixture is not None:
        other = torch.addmm(mixture.bias, state, mixture.items.T)
        scores = torch.lerp(other, scores, mixture.gate[moment])
    return scores if moment_bias is None else scores + moment_bias[moment]


def reference_softmax_loss(scores: Float[Tensor, "R V"], choices: Choices) -> Float[Tensor, ""]:
    """The weighted sum over rows of -ln p(target), plainly."""
    beyond = torch.arange(scores.shape[1], device=scores.device) >= choices.available[:, None]
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
    rows = max(logit_bytes // (4 * max(len(items), 1)), 1)
    loss: Tensor = _SoftmaxLoss.apply(state, items, bias, *choices, rows)  # type: ignore[no-untyped-call]
    return loss


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
) -> Float[Tensor, ""]:
    """`reference_softmax_loss` of `reference_scores`, in memory for some ``logit_bytes`` of logits."""
    items, bias, mixture = _premixed(items, bias, mixture)
    if mixture is None and (moment_bias is None or len(moment_bias) == 1):
        if moment_bias is not None:
            bias = bias + moment_bias[0]
        return softmax_loss(state, items, bias, choices, logit_bytes=logit_bytes)
    rows = max(logit_bytes // (8 * max(len(items), 1)), 1)
    ones = torch.ones(len(state), 1, dtype=state.dtype, device=state.device)
    state = torch.cat([state, ones], dim=1)
    items = torch.cat([items, bias[:, None]], dim=1)
    others = None if mixture is None else torch.cat([mixture.items, mixture.bias[:, None]], dim=1)
    gate = None if mixture is None else mixture.gate
    mixed: Tensor = _MixedSoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        state, items, others, gate, moment_bias, moment, *choices, rows
    )
    return mixed


def _premixed(items: Tensor, bias: Tensor, mixture: Mixture | None) -> tuple[Tensor, Tensor, Mixture | None]:
    """Tables that are always mixed alike can be mixed before they are multiplied."""
    if mixture is None or len(mixture.gate) > 1:
        return items, bias, mixture
    share = mixture.gate[0]
    return torch.lerp(mixture.items, items, share[:, None]), torch.lerp(mixture.bias, bias, share), None


class _SoftmaxLoss(torch.autograd.Function):
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
    ) -> Tensor:
        total = torch.zeros((), device=state.device, dtype=torch.float32)
        d_state = torch.empty_like(state)
        d_items = torch.zeros_like(items)
        d_bias = torch.zeros_like(bias)
        index = torch.arange(len(items), device=state.device, dtype=torch.int32)
        everywhere = bool((available >= len(items)).all())
        buffer = torch.empty(min(rows, len(state)), len(items), device=state.device, dtype=state.dtype)
        for start in range(0, len(state), rows):
            chunk = slice(start, start + rows)
            h = state[chunk]
            logits = torch.addmm(bias, h, items.T, out=buffer[: len(h)])
            if not everywhere:
                logits.masked_fill_(index >= available[chunk, None], -torch.inf)
            total += _to_gradient(logits, target[chunk], weight[chunk])
            torch.mm(logits, items, out=d_state[chunk])
            d_items.addmm_(logits.T, h)
            d_bias += logits.sum(0)
        ctx.save_for_backward(d_state, d_items, d_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        d_state, d_items, d_bias = ctx.saved_tensors
        return d_state * gradient, d_items * gradient, d_bias * gradient, None, None, None, None


class _MixedSoftmaxLoss(torch.autograd.Function):
    """The biases are the last column of the tables, and the last number of the state is 1."""

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        items: Tensor,
        others: Tensor | None,
        gate: Tensor | None,
        moment_bias: Tensor | None,
        moment: Tensor,
        target: Tensor,
        available: Tensor,
        weight: Tensor,
        rows: int,
    ) -> Tensor:
        order = torch.argsort(moment, stable=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        state, moment, target = state[order], moment[order], target[order]
        available, weight = available[order], weight[order]
        total = torch.zeros((), device=state.device, dtype=torch.float32)
        d_state = torch.empty_like(state)
        d_items = torch.zeros_like(items)
        d_others = None if others is None else torch.zeros_like(others)
        d_gate = None if gate is None else torch.zeros_like(gate)
        d_bias = None if moment_bias is None else torch.zeros_like(moment_bias)
        index = torch.arange(len(items), device=state.device, dtype=torch.int32)
        shape = (min(rows, len(state)), len(items))
        first, second, third = (torch.empty(shape, device=state.device, dtype=state.dtype) for _ in range(3))
        items_less_others = items if others is None else items - others
        for start in range(0, len(state), rows):
            chunk = slice(start, start + rows)
            h, u = state[chunk], moment[chunk]
            n = len(h)
            difference, logits, gates = first[:n], second[:n], third[:n]
            if moment_bias is None:
                logits.zero_()
            else:
                torch.index_select(moment_bias, 0, u, out=logits)
            if others is None or gate is None:
                logits.addmm_(h, items.T)
            else:
                logits.addmm_(h, others.T)
                torch.mm(h, items_less_others.T, out=difference)
                torch.index_select(gate, 0, u, out=gates)
                logits.addcmul_(gates, difference)
            # Rows of one time miss the same items, those at the end.
            lowest = int(available[chunk].min())
            if lowest < len(items):
                logits[:, lowest:].masked_fill_(index[lowest:] >= available[chunk, None], -torch.inf)
            total += _to_gradient(logits, target[chunk], weight[chunk])
            if d_bias is not None:
                d_bias.index_add_(0, u, logits)
            if others is None or gate is None:
                torch.mm(logits, items, out=d_state[chunk])
                d_items.addmm_(logits.T, h)
                continue
            assert d_others is not None
            assert d_gate is not None
            d_gate.index_add_(0, u, difference.mul_(logits))
            gates.mul_(logits)
            torch.mm(gates, items, out=d_state[chunk])
            d_items.addmm_(gates.T, h)
            logits.sub_(gates)
            d_state[chunk].addmm_(logits, others)
            d_others.addmm_(logits.T, h)
        ctx.save_for_backward(d_state[inverse], d_items, d_others, d_gate, d_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = [None if each is None else each * gradient for each in ctx.saved_tensors]
        return (*found, None, None, None, None, None)


def _to_gradient(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Turn logits into the gradient of the weighted loss, in place; returns the loss."""
    chosen = logits.gather(1, target[:, None])
    # The loss is read off before the logits become the gradient.
    normaliser = logits.logsumexp(1, keepdim=True)
    loss = ((normaliser - chosen)[:, 0] * weight).sum(dtype=torch.float32)
    logits.sub_(normaliser - weight.log()[:, None]).exp_()
    logits.scatter_add_(1, target[:, None], -weight[:, None])
    return loss
