"""One model that several processes train: a step's batch is divided, the gradients are added up.

*Copies* (DDP): every process holds all weights. *Sharded* (FSDP2): every process holds a share of the weights, of their
gradients and of the optimizer's state, and borrows the rest of a block while it works on it; a plain copy of the model,
without gradients, is kept beside for validation and for what is written.

*Elsewhere* (a GPU): the weights that are moved lie there, and the same plain copy is kept beside.

Several processes average gradients, so the loss of each is the sum over its targets, times the processes, over the
targets of all. What a checkpoint holds depends neither on how many there are nor on where they train.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from palate.errors import ConfigError
from palate.model import Losses, NegativeSampler, ObjectiveConfig, SequenceModel
from palate.tokens import Batch, Catalogue
from palate.train.device import PROCESSOR, allow_short_products
from palate.train.processes import Processes


class Learning(nn.Module):
    """A model whose forward is its loss, as what wraps modules expects it."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, batch: Batch, catalogue: Catalogue, objective: ObjectiveConfig, sampler: NegativeSampler | None
    ) -> Losses:
        """See `SequenceModel.loss`."""
        return self.model.loss(batch, catalogue, objective, sampler)


class Learner:
    """A model and whatever trains it in this process; ``parameters`` are those that the optimizer moves."""

    def __init__(
        self,
        model: SequenceModel,
        processes: Processes,
        *,
        sharded: bool = False,
        device: torch.device = PROCESSOR,
        lowered: torch.dtype | None = None,
    ) -> None:
        """``sharded`` needs several processes, and another ``device`` than the processor one alone. ``lowered`` as in
        `SequenceModel`."""
        self.model = model
        self._processes = processes
        self._sharded = sharded
        self._apart = sharded or device.type != "cpu"
        self._seeds = (0, 0)
        self.trained = copy.deepcopy(model).to(device) if self._apart else model
        """The model whose parameters are moved."""
        self.trained.lowered = lowered
        allow_short_products(device, lowered)
        self._loss: nn.Module = Learning(self.trained)
        if sharded:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh("cpu", (processes.world,))
            for block in self.trained.encode.blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(self._loss, mesh=mesh)
        elif processes.world > 1:
            from torch.nn.parallel import DistributedDataParallel

            self._loss = DistributedDataParallel(self._loss)
        if processes.world > 1:
            # What the tower draws concerns items, which all processes share; the rest concerns rows, which they don't.
            self.trained.tower.register_forward_pre_hook(lambda tower, _: _seed(tower, self._seeds[0]))
            self.trained.tower.register_forward_hook(lambda tower, *_: _seed(tower, self._seeds[1]))

    def loss(
        self,
        batch: Batch,
        catalogue: Catalogue,
        objective: ObjectiveConfig,
        sampler: NegativeSampler | None,
        *,
        seed: int,
    ) -> Losses:
        """The losses of this process's share of a step; ``seed`` is that of the step."""
        own = seed + (self._processes.rank << 48)
        self._seeds = (seed, own)
        torch.manual_seed(own)
        found = self._loss(batch, catalogue, objective, sampler)
        assert isinstance(found, Losses)
        return found

    def parameters(self) -> list[nn.Parameter]:
        """Whole ones, or this process's shares."""
        return list(self.trained.parameters())

    def train(self) -> None:
        """Dropout and the like from now on."""
        self.trained.train()

    def gathered(self) -> dict[str, Tensor]:
        """All weights, whole, in every process; ``model`` has them then too. All processes have to ask."""
        if self._apart:
            whole = {name: _whole(parameter.detach()).cpu() for name, parameter in self.trained.named_parameters()}
            self.model.load_state_dict({**self.model.state_dict(), **whole})
        return self.model.state_dict()

    def load(self, weights: dict[str, Tensor]) -> None:
        """Put whole weights in. All processes have to."""
        self.model.load_state_dict(weights)
        if self._apart:
            with torch.no_grad():
                for name, parameter in self.trained.named_parameters():
                    parameter.copy_(_spread(weights[name], parameter))

    def gathered_state(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The optimizer's tensors, whole. All processes have to ask."""
        return {name: _whole(tensor).cpu() for name, tensor in tensors.items()}

    def spread_state(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The optimizer's tensors, as this process's shares, where its parameters are."""
        parameters = dict(self.trained.named_parameters())
        spread = {}
        for path, tensor in tensors.items():
            own = parameters[path.rpartition("/")[0]]
            spread[path] = (_spread(tensor, own) if tensor.ndim else tensor).to(own.device)
        return spread


def check_sharded(processes: Processes, *, sharded: bool) -> None:
    """Raise `ConfigError` where weights are to be shared with nobody."""
    if sharded and processes.world == 1:
        raise ConfigError(
            "a sharded training needs several processes",
            hint="torchrun --nproc-per-node N -m palate pretrain … --sharded",
        )


def check_sampled(processes: Processes, *, sampled: bool) -> None:
    """Raise `ConfigError` where several processes would draw items of their own."""
    if sampled and processes.world > 1:
        raise ConfigError(
            "a sampled softmax trains in one process: its steps move few rows, which processes don't add up",
            hint="objective: {softmax: exact}, or one process",
        )


def _seed(tower: nn.Module, seed: int) -> None:
    if tower.training:
        torch.manual_seed(seed)


def _whole(tensor: Tensor) -> Tensor:
    return cast("Any", tensor).full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _spread(whole: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as a share, where ``like`` is one."""
    if not hasattr(like, "placements"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    shard = cast("Any", like)
    return distribute_tensor(whole, shard.device_mesh, shard.placements)
