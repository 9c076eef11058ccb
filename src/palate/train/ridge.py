"""Kernel ridge regression with a strength for each kernel, chosen by what is left out.

With kernels K_c of n rows, the prediction of Y is Σ_c s_c K_c (Σ_c s_c K_c + N)⁻¹ Y, where the noise N is σ² plus a
part that falls with how much is known of a row. s, σ² and that part make the squared error of rows that were left
out smallest: each row alone, and each fold at once. Both have closed forms (Rasmussen and Williams 2006, 5.4.2). It is
the posterior mean of a Gaussian process whose covariance is a sum of those kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

HALF_KNOWN = 50.0
"""A row of so many observations counts half as much as one of any number."""
_FEWEST = 10.0
_STEPS = 40
_PRIOR = 1e-3
"""Weight of the squared logarithms: where the data don't care, a strength stays near 1."""
_LEAST = 1e-12
"""Share of the variance that is left at least: where all rows are alike, nothing is."""
_BOUND = 10.0
"""Of the logarithms. Strengths and noise that rise or fall together leave predictions as they are, so a search can go
far, and the inverse loses its digits there."""


class Strengths(NamedTuple):
    """Logarithms."""

    kernels: Float[Tensor, "C"]
    noise: Float[Tensor, ""]
    scarcity: Float[Tensor, ""]
    """Noise of a row of few observations, beside the noise of all."""


class Fitted(NamedTuple):
    """A regression of n rows with K outputs."""

    coefficients: Float[Tensor, "n K"]
    """A prediction is the mean plus the row of Σ_c s_c K_c times these."""
    mean: Float[Tensor, "K"]
    left_out: Float[Tensor, "n K"]
    """Of each row, the prediction without the rows of its fold."""
    explained: float
    """Share of the variance that these explain."""


def choose(
    kernels: Sequence[Float[Tensor, "n n"]],
    targets: Float[Tensor, "n K"],
    observations: Float[Tensor, "n"],
    fold: Int64[Tensor, "n"],
) -> Strengths:
    """The strengths of the smallest error; double precision."""
    logs = torch.zeros(len(kernels) + 2, dtype=torch.float64, requires_grad=True)
    centred = targets - _mean(targets, observations)
    search = torch.optim.LBFGS([logs], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-4)

    def closure() -> Tensor:
        search.zero_grad()
        bounded = logs.clamp(-_BOUND, _BOUND)
        inverse: Tensor = _Inverse.apply(bounded, kernels, observations)  # type: ignore[no-untyped-call]
        alone = (inverse @ centred) / inverse.diagonal()[:, None]
        errors = [_error(residuals, centred, observations) for residuals in (alone, _residuals(inverse, centred, fold))]
        # Logarithms: half the error is as much of a gain wherever one stands.
        value: Tensor = sum((error.clamp(min=_LEAST).log() for error in errors), _PRIOR * (logs**2).sum())
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        search.step(closure)  # type: ignore[no-untyped-call]
    return _strengths(logs.detach().clamp(-_BOUND, _BOUND))


def fit(
    kernel: Float[Tensor, "n n"],
    targets: Float[Tensor, "n K"],
    observations: Float[Tensor, "n"],
    fold: Int64[Tensor, "n"],
    strengths: Strengths,
) -> Fitted:
    """The regression with given strengths; ``kernel`` is Σ_c s_c K_c, and is used up."""
    mean = _mean(targets, observations)
    centred = targets - mean
    kernel.diagonal().add_(_noise(strengths, observations))
    inverse = torch.linalg.inv(kernel)
    residuals = _residuals(inverse, centred, fold)
    explained = 1 - float(_error(residuals, centred, observations))
    return Fitted(inverse @ centred, mean, targets - residuals, explained)


def _strengths(logs: Tensor) -> Strengths:
    return Strengths(logs[:-2], logs[-2], logs[-1])


class _Inverse(torch.autograd.Function):
    """(Σ_c s_c K_c + N)⁻¹: beside the inverse nothing as large is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, logs: Tensor, kernels: Sequence[Tensor], observations: Tensor) -> Tensor:
        strengths = _strengths(logs)
        covariance = torch.diag(_noise(strengths, observations))
        for strength, kernel in zip(strengths.kernels.exp().tolist(), kernels, strict=True):
            covariance.add_(kernel, alpha=strength)
        inverse: Tensor = torch.linalg.inv(covariance)
        ctx.save_for_backward(logs, inverse, observations)
        ctx.kernels = kernels
        return inverse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logs, inverse, observations = ctx.saved_tensors
        of_covariance = (inverse.T @ gradient @ inverse.T).neg_()
        found = [torch.dot(of_covariance.view(-1), kernel.view(-1)) for kernel in ctx.kernels]
        diagonal = of_covariance.diagonal()
        found += [diagonal.sum(), diagonal @ _scarcity(observations)]
        return torch.stack(found) * logs.exp(), None, None


class _Residuals(torch.autograd.Function):
    """Target minus prediction of each row without its fold: (B_ff)⁻¹ (B y)_f with the inverse covariance B."""

    @staticmethod
    def forward(ctx: Any, inverse: Tensor, centred: Tensor, fold: Tensor) -> Tensor:
        coefficients, found = inverse @ centred, torch.empty_like(centred)
        for own in _rows(fold):
            found[own] = torch.linalg.solve(inverse[own][:, own], coefficients[own])
        ctx.save_for_backward(inverse, centred, fold, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        inverse, centred, fold, found = ctx.saved_tensors
        of_coefficients = torch.empty_like(gradient)
        for own in _rows(fold):
            of_coefficients[own] = torch.linalg.solve(inverse[own][:, own].T, gradient[own])
        of_inverse = of_coefficients @ centred.T
        for own in _rows(fold):
            of_inverse[own[:, None], own] -= of_coefficients[own] @ found[own].T
        return of_inverse, None, None


def _residuals(inverse: Tensor, centred: Tensor, fold: Tensor) -> Tensor:
    found: Tensor = _Residuals.apply(inverse, centred, fold)  # type: ignore[no-untyped-call]
    return found


def _rows(fold: Tensor) -> list[Tensor]:
    """Those of each fold that has any."""
    order = torch.argsort(fold, stable=True)
    sizes = torch.bincount(fold)
    return list(torch.split(order, sizes[sizes > 0].tolist()))


def _noise(strengths: Strengths, observations: Tensor) -> Tensor:
    return strengths.noise.exp() + strengths.scarcity.exp() * _scarcity(observations)


def _scarcity(observations: Tensor) -> Tensor:
    return HALF_KNOWN / (observations + _FEWEST)


def _error(residuals: Tensor, centred: Tensor, observations: Tensor) -> Tensor:
    """Share of the variance that is left, by rows that are known well."""
    weight = (observations / (observations + HALF_KNOWN))[:, None]
    return (residuals**2 * weight).sum() / (centred**2 * weight).sum().clamp(min=1e-30)


def _mean(targets: Tensor, observations: Tensor) -> Tensor:
    weight = (observations / (observations + HALF_KNOWN))[:, None]
    return (targets * weight).sum(0) / weight.sum().clamp(min=1e-30)
