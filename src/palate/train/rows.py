"""AdamW for tables of which a step touches a few rows: it costs what those rows cost, and keeps three numbers a row.

A row w with gradient g (0 where it is not touched) has the second moment s, one number for the whole row,

    s ← β s + (1 - β) mean(g²),    w ← (1 - ηλ) w - η g / (√(s / (1 - β^t)) + ε)

in step t, with the learning rate η and the decay λ: AdamW (Loshchilov and Hutter 2019) without a first moment, its
second moment shared by a row as in row-wise Adagrad (Gupta et al. 2014, Naumov et al. 2019). A row that is not touched
only decays; so what it missed is made up for when it is next touched, and the sequence of its values is that of the
formula. In between it reads as it was left; `settle` brings all rows up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowAdamW(torch.optim.Optimizer):
    """Each parameter's rows lie along its first dimension; gradients are sparse in them, or dense."""

    def __init__(
        self, params: Iterable[dict[str, Any]], *, lr: float, beta: float, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of the rows that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    @torch.no_grad()
    def settle(self) -> None:
        """Let every row decay by what it has missed."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if state and group["weight_decay"]:
                    parameter.mul_(_a_row(torch.exp(state["log_decay"].float() - state["decayed"]), parameter))
                    state["decayed"].copy_(state["log_decay"])

    def _step(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        rows, gradient = rows_of(parameter)
        state = self.state[parameter] or self._begin(parameter)
        state["step"] += 1
        step, beta = int(state["step"]), group["beta"]
        state["log_decay"] += torch.log1p(torch.tensor(-group["lr"] * group["weight_decay"], dtype=torch.float64))
        second = state["second"][rows]
        # What a row has missed are steps without a gradient.
        second *= torch.pow(beta, (step - state["last"][rows]).float())
        squares = gradient.square()
        second += (1 - beta) * (squares if squares.ndim == 1 else squares.flatten(1).mean(1))
        update = gradient / _a_row((second / (1 - beta**step)).sqrt_().add_(group["eps"]), gradient)
        values = parameter[rows]
        if group["weight_decay"]:
            values = values * _a_row(torch.exp(state["log_decay"].float() - state["decayed"][rows]), values)
        parameter[rows] = values.sub_(update, alpha=group["lr"])
        state["second"][rows], state["last"][rows] = second, step
        state["decayed"][rows] = state["log_decay"].float()

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        size, device = len(parameter), parameter.device
        state["step"] = torch.zeros((), dtype=torch.int64)
        state["log_decay"] = torch.zeros((), dtype=torch.float64)
        """Sum of ln(1 - ηλ) over all steps."""
        state["second"] = torch.zeros(size, device=device)
        state["last"] = torch.zeros(size, dtype=torch.int32, device=device)
        state["decayed"] = torch.zeros(size, device=device)
        """``log_decay`` when the row was last up to date."""
        return state


def row_adamw_step(
    values: Tensor, gradient: Tensor, second: Tensor, *, step: int, lr: float, beta: float, eps: float, decay: float
) -> tuple[Tensor, Tensor]:
    """The formula on whole tables, plainly: the values and second moments ``[V]`` after step ``step`` (from 1)."""
    second = beta * second + (1 - beta) * gradient.reshape(len(values), -1).square().mean(1)
    size = _a_row((second / (1 - beta**step)).sqrt() + eps, values)
    return (1 - lr * decay) * values - lr * gradient / size, second


def rows_of(parameter: nn.Parameter) -> tuple[Tensor | slice, Tensor]:
    """Which rows of a parameter have a gradient, ascending and each once (or all), and their gradient itself."""
    gradient = parameter.grad
    assert gradient is not None
    if not gradient.is_sparse:
        return slice(None), gradient
    # Whether it is coalesced gets lost on the way through autograd. A row twice would count as two.
    rows = gradient._indices()[0]
    if not bool((rows[1:] > rows[:-1]).all()):
        parameter.grad = gradient = gradient.coalesce()
    return gradient._indices()[0], gradient._values()


def _a_row(numbers: Tensor, table: Tensor) -> Tensor:
    """A number a row, shaped to be multiplied with the table."""
    return numbers.reshape(-1, *(1,) * (table.ndim - 1))
