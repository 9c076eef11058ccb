"""A training in small, before it begins: a few steps and some of a validation, which are undone.

What they leave of freed memory shows what the real ones need; how long they take, how long those will.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch
from torch import nn

from palate.model import TransformerConfig
from palate.model.grid import Span
from palate.tokens import Pack
from palate.train.config import PretrainConfig
from palate.train.memory import hand_back_memory
from palate.train.optimizer import Together
from palate.train.resident import peak_bytes, resident_bytes

TRIALS: Final = 5
"""Steps that are timed, behind one that is not: that of the largest pack."""
TRIAL_SECONDS: Final = 10.0
"""After so many no further step is begun."""


class Trial(NamedTuple):
    """What it showed."""

    seconds_per_slot: float
    validation_seconds: float | None
    """Of a whole validation; none without."""
    most: int
    """Resident bytes while it lasted: beside weights, gradients and optimizer a copy of the weights was held, as the
    best ones are in training."""
    held: int
    """Resident bytes when all of it was given back."""
    packs: list[Pack]
    """What the steps learned from."""


def try_out(
    config: PretrainConfig,
    step: Callable[[int], None],
    validate: Callable[[], float] | None,
    packs: Sequence[Pack],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer | Together,
    agreed: Callable[[bool], bool],
) -> Trial:
    """Do the steps of some packs with ``step(number)``, and undo them; the optimizer must be new. ``validate`` says how
    long a validation takes, by doing some of it. Of several processes each has a clock of its own: ``agreed`` makes one
    answer of their wishes to stop, since none can do a step without the others."""
    assert not optimizer.state, "an optimizer that has done nothing"
    before = peak_bytes()
    kept = [parameter.detach().to("cpu", copy=True) for parameter in parameters]
    largest = max(range(len(packs)), key=lambda number: activations(packs[number], config))
    step(largest)
    seconds, done, began = 0.0, [largest], time.perf_counter()
    for place in range(1, TRIALS + 1):
        number = round(place * (len(packs) - 1) / TRIALS)
        started = time.perf_counter()
        step(number)
        seconds += time.perf_counter() - started
        done.append(number)
        if agreed(time.perf_counter() - began > TRIAL_SECONDS):
            break
    validation = None if validate is None else validate()
    most = max(resident_bytes(), peak_bytes() if peak_bytes() > before else 0)
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    optimizer.zero_grad()
    optimizer.state.clear()
    del kept
    hand_back_memory()
    used = [packs[number] for number in done]
    return Trial(seconds / sum(map(slots, used[1:])), validation, most, resident_bytes(), used)


def slots(pack: Pack) -> int:
    """Slots of a batch, padding included."""
    return sum(b * length for b, length in pack.rectangles)


def activations(pack: Pack, config: PretrainConfig) -> float:
    """About how many numbers a pack's activations are: some for each slot, and the attention of each pair."""
    encoder = config.model.encoder
    numbers = slots(pack) * encoder.width * (10 + 4 * encoder.expansion) * encoder.blocks
    if isinstance(encoder, TransformerConfig):
        span = Span.of(encoder)
        pairs = sum(b * (length**2 if span is None else span.computed(length)) for b, length in pack.rectangles)
        numbers += pairs * encoder.heads * encoder.blocks
    return numbers
