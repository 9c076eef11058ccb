"""What `palate.train.pretrain` will take, told before it begins: memory, part by part, and time.

A few steps and some of a validation are tried (`palate.train.trial`): what they leave in memory is what the training
needs, but for compiled products of shapes that are still to come. The fit of new items and the sealing are counted
from shapes and from the times of the trial (`palate.train.afterwards`).

It is at most: training may stop early. What is not counted is what other processes do to the machine meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel
from torch import nn

from palate.model import SequenceModel
from palate.model.product import HAS_ONEDNN, ROWS
from palate.tokens import Pack
from palate.train.afterwards import Needs
from palate.train.config import PretrainConfig
from palate.train.memory import KERNEL_BYTES, KERNELS
from palate.train.resident import available_bytes
from palate.train.trial import Trial, slots

RESIDENT: Final = "in use before"
MAPPED: Final = "log, as far as it is mapped"
STAGES: Final = ("a step or a validation", "a checkpoint", "fit of new items", "sealing")
"""Parts that are not needed at the same time."""


class Estimate(BaseModel):
    """Memory in bytes, time in seconds; of all of it, up to the sealed run."""

    memory: dict[str, int]
    """By part: what is held all the time, and what each of the `STAGES` needs beside."""
    peak_bytes: int
    """The most resident memory of the process."""
    available_bytes: int | None
    """What the machine could give when it was asked."""
    step_seconds: float
    """An average step."""
    validation_seconds: float
    """One validation; 0 without."""
    training_seconds: float
    """All epochs with their validations."""
    new_items_seconds: float
    """The fit of new items; 0 without."""
    sealing_seconds: float
    """The last measuring, and writing the run."""
    seconds: float
    """Training, fit and sealing."""
    device_bytes: int | None = None
    """Of a GPU's memory, the most that the steps of the trial had in use; none on the processor."""

    @property
    def missing_bytes(self) -> int:
        """What the machine would lack; what was resident before is no longer to be given."""
        resident = self.memory[RESIDENT] + self.memory[MAPPED]
        return 0 if self.available_bytes is None else max(self.peak_bytes - resident - self.available_bytes, 0)


def estimate(
    config: PretrainConfig,
    model: SequenceModel,
    packs: Sequence[Pack],
    trial: Trial,
    *,
    resident: int,
    log_bytes: int,
    state_bytes: int,
    new_items: Needs,
    sealing: Needs,
    elsewhere: bool = False,
    device_bytes: int | None = None,
) -> Estimate:
    """Put together what ``packs`` of an epoch take, and what comes behind.

    ``resident`` is what was in memory before the trial, the weights included; ``log_bytes`` what is not yet mapped of
    the encoded log; ``state_bytes`` the weights. Steps that are taken ``elsewhere`` leave neither the optimizer's
    moments nor compiled products in this memory.
    """
    validates = trial.validation_seconds is not None
    held = {
        RESIDENT: resident,
        MAPPED: log_bytes,
        "optimizer": 0 if elsewhere else 2 * state_bytes,
        "best weights": state_bytes if validates else 0,
        "compiled products": max(trial.held - resident, 0)
        + (0 if elsewhere else compiled_bytes(model, packs, trial.packs)),
    }
    # The trial held what is like the best weights, and the optimizer's moments where the steps are taken here.
    training = max(trial.most - trial.held - (1 if elsewhere else 3) * state_bytes, 0)
    stages = (training, 2 * state_bytes, max(new_items.bytes, training) if new_items.bytes else 0, 0)
    if validates:
        stages = (*stages[:3], sealing.bytes + training)
    total = sum(map(slots, packs))
    validations = -(-config.epochs // config.validation.every) if validates else 0
    one = trial.validation_seconds or 0.0
    training_seconds = trial.seconds_per_slot * total * config.epochs + validations * one
    sealing_seconds = sealing.seconds if validates else 0.0
    return Estimate(
        memory=held | dict(zip(STAGES, stages, strict=True)),
        peak_bytes=sum(held.values()) + max(stages),
        available_bytes=available_bytes(),
        step_seconds=trial.seconds_per_slot * total / len(packs),
        validation_seconds=one,
        training_seconds=training_seconds,
        new_items_seconds=new_items.seconds,
        sealing_seconds=sealing_seconds,
        seconds=training_seconds + new_items.seconds + sealing_seconds,
        device_bytes=device_bytes,
    )


def compiled_bytes(model: nn.Module, packs: Sequence[Pack], tried: Sequence[Pack]) -> int:
    """What oneDNN still keeps of products that the trial did not make: one forward and two backward for each linear
    layer and each number of rows."""
    layers = sum(isinstance(layer, nn.Linear) for layer in model.modules())

    def kernels(some: Sequence[Pack]) -> int:
        shapes = {-(-slots(pack) // ROWS) for pack in some}
        return min(3 * layers * len(shapes), KERNELS)

    return (kernels(packs) - kernels(tried)) * KERNEL_BYTES if HAS_ONEDNN else 0
