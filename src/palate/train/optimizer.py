"""What moves the weights: AdamW, row by row for the tables of ids where steps touch few of them; schedule and state."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from palate.train.config import OptimizerConfig
from palate.train.rows import RowAdamW, rows_of

ITEM_TABLES: Final = ("tower.id", "tower.id_bias")
"""Parameters with a row for each item."""


class Together:
    """Several optimizers as one: what the loop and the checkpoints ask of an optimizer."""

    def __init__(self, adamw: torch.optim.AdamW, rows: RowAdamW) -> None:
        self._parts = (adamw, rows)
        self._rows = rows
        # Each holds the state of its own parameters.
        rows.state = adamw.state
        self.state = adamw.state

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for part in self._parts for group in part.param_groups]

    def step(self) -> None:
        """One step of all."""
        for part in self._parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad()

    def settle(self) -> None:
        """Bring rows up to date that were not touched lately; before weights are read as a whole."""
        self._rows.settle()


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, *, by_rows: bool = False
) -> torch.optim.AdamW | Together:
    """AdamW over all parameters; vectors and the tables of attention biases don't decay.

    With ``by_rows`` the item tables are moved by `RowAdamW`, whose gradients may be sparse in rows.
    """
    decays: list[nn.Parameter] = []
    stays: list[nn.Parameter] = []
    rows: list[dict[str, Any]] = []
    for name, parameter in model.named_parameters():
        is_bias = parameter.ndim < 2 or name.endswith(("position.table", "time.table"))
        if by_rows and name in ITEM_TABLES:
            rows.append({"params": [parameter], "weight_decay": 0.0 if is_bias else config.weight_decay})
        else:
            (stays if is_bias else decays).append(parameter)
    groups = [{"params": decays, "weight_decay": config.weight_decay}, {"params": stays, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
    if not rows:
        return adamw
    return Together(adamw, RowAdamW(rows, lr=config.learning_rate, beta=config.betas[1]))


def clip_gradients(model: nn.Module, longest: float) -> Tensor:
    """Shorten the whole gradient, rows of item tables included, to at most ``longest``; returns its length."""
    gradients = [rows_of(parameter)[1] for parameter in model.parameters() if parameter.grad is not None]
    length = torch.nn.utils.get_total_norm(gradients)
    # As `torch.nn.utils.clip_grad_norm_`, which does not know sparse gradients.
    torch._foreach_mul_(gradients, (longest / (length + 1e-6)).clamp(max=1.0))
    return length


def learning_rate(config: OptimizerConfig, *, step: int, progress: float) -> float:
    """Linear over the first ``warmup_steps``, times a cosine over ``progress`` in [0, 1] of the whole training."""
    warmup = min((step + 1) / config.warmup_steps, 1.0) if config.warmup_steps else 1.0
    cosine = config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * warmup * cosine


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.AdamW | Together) -> dict[str, Tensor]:
    """The optimizer's state as ``parameter/key`` → tensor."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.AdamW | Together, tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave."""
    parameters = dict(model.named_parameters())
    for path, value in tensors.items():
        name, _, key = path.rpartition("/")
        optimizer.state[parameters[name]][key] = value
