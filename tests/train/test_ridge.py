"""If these fail, what is said of new titles rests on strengths that nobody checked by leaving titles out."""

from collections.abc import Callable

import pytest
import torch

from palate.train import ridge
from palate.train.ridge import Strengths, choose, fit


def made(n: int, *, seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two columns of features, of which the first alone tells; groups of three rows."""
    draw = torch.Generator().manual_seed(seed)
    useful, idle = (torch.randn(n, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    targets = useful @ torch.randn(4, 2, generator=draw, dtype=torch.float64)
    targets += 0.3 * torch.randn(n, 2, generator=draw, dtype=torch.float64)
    observations = torch.randint(1, 500, (n,), generator=draw).double()
    return [useful @ useful.T, idle @ idle.T], targets, observations, torch.arange(n) // 3


STRENGTHS = Strengths(*torch.tensor([0.3, -2.0, -1.0, 0.5], dtype=torch.float64).tensor_split([2, 3]))


def noise(strengths: Strengths, observations: torch.Tensor) -> torch.Tensor:
    return torch.diag(strengths.noise.exp() + strengths.scarcity.exp() * 50 / (observations + 10))


def summed(kernels: list[torch.Tensor], strengths: Strengths) -> torch.Tensor:
    return (torch.stack(kernels) * strengths.kernels.exp()[:, None, None]).sum(0)


def test_left_out_is_what_the_others_predict() -> None:
    """Plainly: the regression again for each fold, without its rows."""
    kernels, targets, observations, fold = made(21)
    found = fit(summed(kernels, STRENGTHS), targets, observations, fold, STRENGTHS)
    total = summed(kernels, STRENGTHS)
    for number in range(7):
        out, rest = (fold == number).nonzero()[:, 0], (fold != number).nonzero()[:, 0]
        covariance = total[rest][:, rest] + noise(STRENGTHS, observations[rest])
        expected = found.mean + total[out][:, rest] @ torch.linalg.solve(covariance, targets[rest] - found.mean)
        torch.testing.assert_close(found.left_out[out], expected)


def test_the_search_descends() -> None:
    """Gradients written by hand are those of the error."""
    kernels, targets, observations, fold = made(12)
    logs = torch.tensor([0.3, -0.2, -1.0, 0.5], dtype=torch.float64, requires_grad=True)

    def left_out(logs: torch.Tensor) -> torch.Tensor:
        inverse = ridge._Inverse.apply(logs, kernels, observations)
        assert isinstance(inverse, torch.Tensor)
        return torch.cat([ridge._residuals(inverse, targets, fold), (inverse @ targets) / inverse.diagonal()[:, None]])

    assert torch.autograd.gradcheck(left_out, (logs,))


def test_what_tells_is_strong_and_what_does_not_is_weak() -> None:
    kernels, targets, observations, fold = made(90)
    strengths = choose(kernels, targets, observations, fold)
    assert strengths.kernels[0] > strengths.kernels[1] + 1.5
    assert fit(summed(kernels, strengths), targets, observations, fold, strengths).explained > 0.9


def test_noise_predicts_nothing_and_no_more_than_that() -> None:
    kernels, targets, observations, fold = made(60)
    targets = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    strengths = choose(kernels, targets, observations, fold)
    assert -0.3 < fit(summed(kernels, strengths), targets, observations, fold, strengths).explained < 0.1


def test_folds_may_be_empty_and_rows_alone() -> None:
    kernels, targets, observations, _ = made(9)
    fold = torch.tensor([0, 0, 5, 5, 5, 7, 1, 1, 9])
    found = fit(summed(kernels, STRENGTHS), targets, observations, fold, STRENGTHS)
    assert found.left_out.shape == targets.shape
    assert found.left_out.isfinite().all()


def test_a_search_that_goes_far_keeps_its_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strengths and noise that fall together change no prediction; a search of 18 titles fell to e^-90 and ended in a
    singular matrix, behind the whole training."""
    _, targets, observations, fold = made(18)
    kernels = [torch.ones(18, 18, dtype=torch.float64), (fold[:, None] == fold).double()]  # of titles that share values
    values = []

    class Wild:
        def __init__(self, parameters: list[torch.Tensor], **_: object) -> None:
            (self.logs,) = parameters

        def zero_grad(self) -> None:
            self.logs.grad = None

        def step(self, closure: Callable[[], torch.Tensor]) -> None:
            for kernel, noise in ((-300.0, -300.0), (300.0, 300.0), (-90.0, 90.0), (90.0, -90.0)):
                self.logs.data.copy_(torch.tensor([kernel, kernel, noise, noise]))
                values.append(closure())
            assert self.logs.grad is not None
            assert self.logs.grad.isfinite().all()

    monkeypatch.setattr(torch.optim, "LBFGS", Wild)
    strengths = choose(kernels, targets, observations, fold)
    assert torch.stack(values).isfinite().all()
    found = fit(summed(kernels, strengths), targets, observations, fold, strengths)
    assert found.left_out.isfinite().all()


def test_rows_that_are_all_alike_are_predicted() -> None:
    kernels, targets, observations, fold = made(18)
    alike = torch.ones_like(targets)
    strengths = choose(kernels, alike, observations, fold)
    found = fit(summed(kernels, strengths), alike, observations, fold, strengths)
    torch.testing.assert_close(found.left_out, alike)
