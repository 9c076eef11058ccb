"""If these fail, a sampled softmax descends another loss than the exact one: popular items are pushed away."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from palate.model import SamplingConfig
from palate.model.loss import Choices, mixed_softmax_loss, reference_scores, reference_softmax_loss
from palate.model.negatives import Negatives, NegativeSampler

V, R, D = 60, 40, 4
MIXTURES = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.0), (0.3, 0.3, 0.4)]


def counts() -> Tensor:
    return (1000 / torch.arange(1, V + 1)).long() + 1


def sampler(n: int, mixture: tuple[float, float, float], power: float = 0.75) -> NegativeSampler:
    uniform, popularity, in_batch = mixture
    config = SamplingConfig(negatives=n, uniform=uniform, popularity=popularity, in_batch=in_batch, power=power)
    return NegativeSampler(config, counts())


def targets(n: int = R) -> Tensor:
    """As a batch has them: by their popularity."""
    return torch.multinomial(counts().double(), n, replacement=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.sampled_from(MIXTURES), st.integers(0, 10**6))
def test_negatives_are_items_each_once(n: int, mixture: tuple[float, float, float], seed: int) -> None:
    torch.manual_seed(seed)
    drawn = sampler(n, mixture).draw(targets())
    assert (drawn.items[1:] > drawn.items[:-1]).all()
    assert drawn.items.min() >= 0
    assert drawn.items.max() < V
    assert drawn.correction.isfinite().all()
    assert len(drawn.items) <= max(n + 2, 1)


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
def test_what_is_drawn_stands_for_the_whole_catalogue(mixture: tuple[float, float, float], power: float) -> None:
    """The corrected sum over negatives has the sum over all items as its mean, whatever the mixture."""
    torch.manual_seed(0)
    values = torch.rand(V).exp().double()
    draw, sums = sampler(20, mixture, power), []
    for _ in range(4000):
        drawn = draw.draw(targets())
        sums.append((values[drawn.items] * drawn.correction.double().exp()).sum())
    found = torch.stack(sums)
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean() - values.sum()) < 4 * error, "biased"


def test_each_item_is_drawn_as_often_as_expected_up_to_one() -> None:
    """Strata: a popular item is never missed, and never drawn far too often."""
    torch.manual_seed(0)
    draw = sampler(100, (0.0, 1.0, 0.0), power=1.0)
    expected = 100 * counts() / counts().sum()
    for _ in range(200):
        drawn = draw.draw(targets())
        times = torch.zeros(V)
        times[drawn.items] = drawn.correction.exp() * expected[drawn.items]
        assert (times - expected).abs().max() < 2.0001
        assert (times[expected > 2] > 0).all()


@pytest.mark.parametrize("n", [V, 10 * V])
def test_all_items_are_the_catalogue(n: int) -> None:
    drawn = sampler(n, (1.0, 0.0, 0.0)).draw(targets())
    assert drawn.items.tolist() == list(range(V))
    assert (drawn.correction == 0).all()


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to 1\.2"):
        SamplingConfig(uniform=0.5, popularity=0.5, in_batch=0.2)


def problem() -> tuple[Tensor, Tensor, Tensor, Choices]:
    torch.manual_seed(1)
    state, items = torch.randn(R, D, dtype=torch.float64), torch.randn(V, D, dtype=torch.float64)
    bias = counts().double().log()
    target = targets()
    available = torch.maximum(target + 1, torch.randint(V // 2, V + 5, (R,)))
    return state, items, bias, Choices(target, available, torch.rand(R, dtype=torch.float64))


def estimate(state: Tensor, items: Tensor, bias: Tensor, choices: Choices, drawn: Negatives) -> Tensor:
    """The sampled loss, as `SequenceModel.loss` asks for it."""
    own = (state * items[choices.target]).sum(1) + bias[choices.target]
    column = torch.searchsorted(drawn.items, choices.target)
    found = drawn.items[column.clamp(max=len(drawn.items) - 1)] == choices.target
    among = Choices(torch.where(found, column, -1), torch.searchsorted(drawn.items, choices.available), choices.weight)
    return mixed_softmax_loss(
        state,
        items[drawn.items],
        bias[drawn.items] + drawn.correction,
        torch.zeros(len(state), dtype=torch.int64),
        None,
        None,
        among,
        logit_bytes=10**6,
        own=own,
    ).total


def both(n: int, mixture: tuple[float, float, float], draws: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The exact loss with its gradient of the states, and mean errors of the estimates."""
    state, items, bias, choices = problem()
    state.requires_grad_()
    scores = reference_scores(state, items, bias, choices.target, None, None)
    exact = reference_softmax_loss(scores, choices)
    (gradient,) = torch.autograd.grad(exact, [state])
    draw, errors = sampler(n, mixture), []
    for _ in range(draws):
        found = estimate(state, items, bias, choices, draw.draw(choices.target))
        (d_state,) = torch.autograd.grad(found, [state])
        errors.append(torch.stack([(found - exact).abs() / exact, (d_state - gradient).norm() / gradient.norm()]))
    return exact, gradient, list(torch.stack(errors).mean(0))


@pytest.mark.parametrize("mixture", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5, 0.0), (0.4, 0.4, 0.2)])
def test_the_loss_and_its_gradient_become_exact_as_the_sample_grows(mixture: tuple[float, float, float]) -> None:
    torch.manual_seed(2)
    _, _, few = both(8, mixture, 200)
    _, _, some = both(32, mixture, 200)
    _, _, many = both(512, mixture, 200)
    for small, middle, large in zip(few, some, many, strict=True):
        assert middle < 0.75 * small
        assert large < 0.5 * middle
    assert many[1] < 0.12


def test_everything_is_exact() -> None:
    _, _, errors = both(V, (1.0, 0.0, 0.0), 1)
    assert max(errors) < 1e-6


def test_a_power_of_any_size_leaves_numbers() -> None:
    """The most popular items alone, at last; not nothing at all."""
    drawn = sampler(4, (0.0, 1.0, 0.0), power=2000.0).draw(targets())
    assert drawn.items.tolist() == [0]
    assert drawn.correction.isfinite().all()
