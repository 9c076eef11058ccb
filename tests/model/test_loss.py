"""If these fail, training descends something else than the exact softmax over what exists, and nobody sees it."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from palate.model.loss import (
    Choices,
    Mixture,
    mixed_softmax_loss,
    reference_scores,
    reference_softmax_loss,
    softmax_loss,
)

R, V, D = 9, 11, 5
CHUNKS = [1, 8 * V * 4, 10**9]
TARGET = torch.tensor([0, 3, 1, 2, 5, 4, 10, 6, 7])
AVAILABLE = torch.tensor([1, 11, 4, 3, 6, 5, 11, 9, 99])
"""A row whose target is all there is, prefixes of every length, and more than there are items."""


class Inputs(NamedTuple):
    state: Tensor
    items: Tensor
    bias: Tensor
    others: Tensor
    other_bias: Tensor
    gate: Tensor
    moment_bias: Tensor


def inputs(moments: int) -> Inputs:
    torch.manual_seed(0)
    shapes = ((R, D), (V, D), (V,), (V, D), (V,), (moments, V), (moments, V))
    drawn = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    drawn[5] = torch.sigmoid(drawn[5])
    drawn[5][:, 2], drawn[5][:, 7] = 0.0, 1.0  # an item without an id, and one of its id alone
    return Inputs(*(each.requires_grad_() for each in drawn))


def choices(weights: str) -> Choices:
    weight = torch.ones(R, dtype=torch.float64)
    if weights != "one":
        weight = torch.rand(R, dtype=torch.float64) * 3
        weight[[1, 4]] = 0.0
    return Choices(TARGET.clone(), AVAILABLE.clone(), weight)


def agree(fast: Tensor, plain: Tensor, of: list[Tensor]) -> None:
    """Values up to float32, in which the loss is summed; gradients in full, one that counts for nothing included."""
    torch.testing.assert_close(fast.double(), plain.double(), rtol=1e-6, atol=1e-6)
    ours = torch.autograd.grad(3 * fast, of, allow_unused=True)
    theirs = torch.autograd.grad(3 * plain, of, allow_unused=True)
    for one, two in zip(ours, theirs, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("weights", ["one", "several"])
@pytest.mark.parametrize("logit_bytes", CHUNKS)
def test_one_table(logit_bytes: int, weights: str) -> None:
    state, items, bias, *_ = inputs(1)
    chosen = choices(weights)
    fast = softmax_loss(state, items, bias, chosen, logit_bytes=logit_bytes)
    plain = reference_softmax_loss(reference_scores(state, items, bias, TARGET, None, None), chosen)
    agree(fast, plain, [state, items, bias])


@pytest.mark.parametrize("weights", ["one", "several"])
@pytest.mark.parametrize("logit_bytes", CHUNKS)
@pytest.mark.parametrize("moments", [1, 2, 4, R])
@pytest.mark.parametrize(("mixed", "biased"), [(True, True), (True, False), (False, True), (False, False)])
def test_mixed_tables(mixed: bool, biased: bool, moments: int, logit_bytes: int, weights: str) -> None:
    """Every part alone and with the others; one moment is mixed before it is multiplied."""
    given = inputs(moments)
    moment = torch.arange(R).flip(0) % moments  # in no order
    mixture = Mixture(given.others, given.other_bias, given.gate) if mixed else None
    moment_bias = given.moment_bias if biased else None
    chosen = choices(weights)
    fast = mixed_softmax_loss(
        given.state, given.items, given.bias, moment, mixture, moment_bias, chosen, logit_bytes=logit_bytes
    ).total
    scores = reference_scores(given.state, given.items, given.bias, moment, mixture, moment_bias)
    agree(fast, reference_softmax_loss(scores, chosen), list(given))


def test_a_mixture_without_moments_of_its_own_and_a_bias_of_several() -> None:
    """Gates of one moment are mixed first, and the bias of each row's moment still counts."""
    one, several = inputs(1), inputs(3)
    moment = torch.zeros(R, dtype=torch.int64)
    chosen = choices("several")
    mixture = Mixture(one.others, one.other_bias, one.gate)
    fast = mixed_softmax_loss(
        one.state, one.items, one.bias, moment, mixture, several.moment_bias, chosen, logit_bytes=8 * V * 2
    ).total
    scores = reference_scores(one.state, one.items, one.bias, moment, mixture, several.moment_bias)
    agree(fast, reference_softmax_loss(scores, chosen), [*one[:6], several.moment_bias])


@pytest.mark.parametrize("gates", [1, 3])
def test_the_mixture_is_what_the_tower_says(gates: int) -> None:
    """g (h·id + b) + (1 - g) (h·meta + m) + c, item by item; a single row of g holds at all moments."""
    given, shares = inputs(3), inputs(gates).gate
    moment = torch.arange(R) % 3
    mixture = Mixture(given.others, given.other_bias, shares)
    scores = reference_scores(given.state, given.items, given.bias, moment, mixture, given.moment_bias)
    for row in range(R):
        for item in range(V):
            g = shares[moment[row] if gates > 1 else 0, item]
            by_id = given.state[row] @ given.items[item] + given.bias[item]
            by_metadata = given.state[row] @ given.others[item] + given.other_bias[item]
            expected = g * by_id + (1 - g) * by_metadata + given.moment_bias[moment[row], item]
            torch.testing.assert_close(scores[row, item], expected)


def test_what_does_not_exist_and_what_does_not_count_teaches_nothing() -> None:
    given = inputs(3)
    chosen = Choices(TARGET % 4, torch.full((R,), 4), torch.zeros(R, dtype=torch.float64))
    chosen.weight[0] = 1.0
    mixture = Mixture(given.others, given.other_bias, given.gate)
    loss = mixed_softmax_loss(
        given.state, given.items, given.bias, torch.arange(R) % 3, mixture, given.moment_bias, chosen, logit_bytes=1
    ).total
    d_state, d_items, d_others, d_gate, d_bias = torch.autograd.grad(
        loss, [given.state, given.items, given.others, given.gate, given.moment_bias]
    )
    assert (d_state[1:] == 0).all(), "a row of weight 0 moves its state"
    assert (d_state[0] != 0).any()
    for gradient in (d_items[4:], d_others[4:], d_gate[:, 4:], d_bias[:, 4:], d_bias[1:]):
        assert (gradient == 0).all(), "what does not exist is learned from"


def test_no_choices_cost_nothing() -> None:
    """A batch in which no row looks ahead, or none was chosen among all."""
    given = inputs(3)
    nothing = torch.zeros(0, dtype=torch.int64)
    chosen = Choices(nothing, nothing, torch.zeros(0, dtype=torch.float64))
    mixture = Mixture(given.others, given.other_bias, given.gate)
    loss = mixed_softmax_loss(
        given.state[:0], given.items, given.bias, nothing, mixture, given.moment_bias, chosen, logit_bytes=100
    ).total
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, [given.items])
    assert (gradient == 0).all()


@pytest.mark.parametrize("weights", ["one", "several"])
@pytest.mark.parametrize("logit_bytes", CHUNKS)
@pytest.mark.parametrize("moments", [1, 4])
@pytest.mark.parametrize(("mixed", "biased"), [(True, True), (True, False), (False, True), (False, False)])
def test_targets_apart(mixed: bool, biased: bool, moments: int, logit_bytes: int, weights: str) -> None:
    """Among negatives: the target's score counts once, whether it was drawn as well or not."""
    given = inputs(moments)
    moment = torch.arange(R).flip(0) % moments
    mixture = Mixture(given.others, given.other_bias, given.gate) if mixed else None
    moment_bias = given.moment_bias if biased else None
    own = torch.randn(R, dtype=torch.float64, requires_grad=True)
    chosen = choices(weights)
    chosen.target[::2] = -1
    chosen.available[3] = 0  # nothing to choose among but the target
    fast = mixed_softmax_loss(
        given.state, given.items, given.bias, moment, mixture, moment_bias, chosen, logit_bytes=logit_bytes, own=own
    ).total
    scores = reference_scores(given.state, given.items, given.bias, moment, mixture, moment_bias)
    agree(fast, reference_softmax_loss(scores, chosen, own), [own, *given])


@pytest.mark.parametrize("weights", ["one", "several"])
@pytest.mark.parametrize("logit_bytes", [1, 3 * R * 4, 4 * R * 4])
def test_blocks_of_items(logit_bytes: int, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of which the budget holds less than a few rows."""
    for fewest in (2, 4, 64):
        monkeypatch.setattr("palate.model.loss.FEWEST_ROWS", fewest)
        state, items, bias, *_ = inputs(1)
        chosen = choices(weights)
        fast = softmax_loss(state, items, bias, chosen, logit_bytes=logit_bytes)
        plain = reference_softmax_loss(reference_scores(state, items, bias, TARGET, None, None), chosen)
        agree(fast, plain, [state, items, bias])
