"""What a training will take, told before it begins: memory, part by part, and time.

Memory is counted from shapes, but for the activations: the tensors that autograd keeps are counted in a trial step,
and scaled to the largest batch. Time is that of a few trial steps and of ranking a few hundred validation queries,
scaled to all of them. The trial steps are undone: weights are put back, the optimizer forgets.

It is at most: training may stop early. What is not counted is what other processes do to the machine meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from palate.model import SequenceModel, TransformerConfig
from palate.rank.model_scorer import BATCH_TOKENS
from palate.rank.recommend import SCORE_BYTES
from palate.tokens import Catalogue, Pack
from palate.train.config import PretrainConfig
from palate.train.optimizer import Together
from palate.train.resident import available_bytes, peak_bytes

RESIDENT: Final = "in use before"
MAPPED: Final = "log, as far as it is mapped"
TRIALS: Final = 5
"""Steps that are timed, behind one that is not."""
TRIAL_SECONDS: Final = 10.0
"""After so many no further step is begun."""


class Estimate(BaseModel):
    """Memory in bytes, time in seconds."""

    memory: dict[str, int]
    """By part: what is held all the time, and what a step, a validation and a checkpoint need beside."""
    peak_bytes: int
    """The most resident memory of the process."""
    available_bytes: int | None
    """What the machine could give when it was asked."""
    step_seconds: float
    """An average step."""
    validation_seconds: float
    """One validation; 0 without."""
    seconds: float
    """All epochs with their validations."""

    @property
    def missing_bytes(self) -> int:
        """What the machine would lack; what was resident before is no longer to be given."""
        resident = self.memory[RESIDENT] + self.memory[MAPPED]
        return 0 if self.available_bytes is None else max(self.peak_bytes - resident - self.available_bytes, 0)


class Trial(NamedTuple):
    """What trial steps showed."""

    seconds_per_slot: float
    saved_bytes: int
    """What autograd kept of the pack below."""
    pack: Pack


def try_steps(
    step: Callable[[int], None],
    packs: Sequence[Pack],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer | Together,
) -> Trial:
    """Do the steps of some packs with ``step(number)``, and undo them; the optimizer must be new."""
    assert not optimizer.state, "an optimizer that has done nothing"
    kept = [parameter.detach().clone() for parameter in parameters]
    chosen = [round(place * (len(packs) - 1) / TRIALS) for place in range(TRIALS + 1)]
    first, *timed = chosen
    with saving() as saved:
        step(first)
    seconds, slots, began = 0.0, 0, time.perf_counter()
    for number in timed:
        started = time.perf_counter()
        step(number)
        seconds += time.perf_counter() - started
        slots += _slots(packs[number])
        if time.perf_counter() - began > TRIAL_SECONDS:
            break
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    optimizer.zero_grad()
    optimizer.state.clear()
    return Trial(seconds / slots, saved(), packs[first])


def estimate(
    config: PretrainConfig,
    model: SequenceModel,
    catalogue: Catalogue,
    packs: Sequence[Pack],
    trial: Trial,
    *,
    resident: int,
    log_bytes: int,
    state_bytes: int,
    validation_seconds: float | None,
) -> Estimate:
    """Put together what ``packs`` of an epoch take.

    ``resident`` is what was in memory before the trial, the weights included; ``log_bytes`` the encoded log, mapped;
    ``state_bytes`` the weights; there is no validation without ``validation_seconds``.
    """
    validates = validation_seconds is not None
    largest = max(packs, key=lambda pack: _weight(pack, config))
    activations = round(trial.saved_bytes * _weight(largest, config) / _weight(trial.pack, config))
    V, rows = len(catalogue.counts), max(_slots(pack) for pack in packs)
    moments = min(len(catalogue.moments), rows)
    ages = 8 * moments * V * (model.tower.age_bias is not None)
    # Buffers of a chunk: logits, and beside them those of the mixture; at least one row.
    logits = 2 * max(config.model.logit_bytes, 4 * V)
    encoder = config.model.encoder
    inner = 4 * rows * round(2 * encoder.width * (encoder.expansion + 1)) + _pair_bytes(largest, config)
    memory = {
        RESIDENT: resident,
        "gradients": state_bytes,
        "optimizer": 2 * state_bytes,
        "best weights": state_bytes if validates else 0,
        MAPPED: log_bytes,
        "step: activations": activations,
        "step: backward": inner,
        "step: logits": logits,
        "step: age codes": ages,
        "validation": _validation_bytes(config, V) if validates else 0,
        "checkpoint": 2 * state_bytes,
    }
    held = sum(size for name, size in memory.items() if not name.startswith(("step", "validation", "checkpoint")))
    step = sum(size for name, size in memory.items() if name.startswith("step"))
    beside = max(step, memory["validation"], memory["checkpoint"])
    slots = sum(_slots(pack) for pack in packs)
    validations = -(-config.epochs // config.validation.every) if validates else 0
    return Estimate(
        memory=memory,
        peak_bytes=max(held + beside, peak_bytes()),
        available_bytes=available_bytes(),
        step_seconds=trial.seconds_per_slot * slots / len(packs),
        validation_seconds=validation_seconds or 0.0,
        seconds=trial.seconds_per_slot * slots * config.epochs + validations * (validation_seconds or 0.0),
    )


@contextmanager
def saving() -> Iterator[Callable[[], int]]:
    """Count the bytes of different tensors that autograd keeps, parameters left out; ask for them behind."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and not tensor.is_leaf:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield lambda: sum(kept.values())


def _slots(pack: Pack) -> int:
    return sum(b * length for b, length in pack.rectangles)


def _weight(pack: Pack, config: PretrainConfig) -> float:
    """About how many numbers a pack's activations are: some for each slot, and the attention of each pair."""
    encoder = config.model.encoder
    numbers = _slots(pack) * encoder.width * (10 + 4 * encoder.expansion) * encoder.blocks
    if isinstance(encoder, TransformerConfig):
        numbers += sum(b * length**2 for b, length in pack.rectangles) * encoder.heads * encoder.blocks
    return numbers


def _pair_bytes(pack: Pack, config: PretrainConfig) -> int:
    """What backward makes of a block's attention: gradients of scores and of their bias."""
    if not isinstance(config.model.encoder, TransformerConfig):
        return 0
    return 8 * config.model.encoder.heads * sum(b * length**2 for b, length in pack.rectangles)


def _validation_bytes(config: PretrainConfig, V: int) -> int:
    """Scores with their masks, and one block of the encoder for the histories that are encoded together."""
    encoder = config.model.encoder
    slots, pairs = BATCH_TOKENS, BATCH_TOKENS * min(config.windows.context, 200)
    block = 4 * slots * round(encoder.width * (6 + 2 * encoder.expansion))
    if isinstance(encoder, TransformerConfig):
        block += pairs * (8 * encoder.heads + 8)
    return block + 4 * min(max(SCORE_BYTES, 4 * V), 4 * 512 * V)
