"""Several processes that train one model: who they are, and what they tell each other.

Started by ``torchrun``, which says in the environment how many there are and which one this is. They talk through Gloo,
on one machine or several that see the same folders. One process alone needs none of it, and imports none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from palate.errors import ConfigError, TrainingError

PATIENCE: Final = timedelta(hours=6)
"""How long a process waits for the others: one of them may be fitting a tokenizer on a very large log."""


@dataclass(frozen=True)
class Processes:
    """All processes of a training, as one of them sees them."""

    rank: int = 0
    """Which one this is, from 0."""
    world: int = 1
    """How many there are."""

    @property
    def writes(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def sum(self, *numbers: float) -> list[float]:
        """Sums over all processes, the same in each of them."""
        if self.world == 1:
            return list(numbers)
        from torch import distributed

        held = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(held)
        return [float(number) for number in held]

    def gather(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The arrays of all processes, in order."""
        if self.world == 1:
            return [values]
        from torch import distributed

        found: list[NDArray[np.float64] | None] = [None] * self.world
        distributed.all_gather_object(found, values)
        return [each for each in found if each is not None]

    def wait(self) -> None:
        """Go on when all are here."""
        self.sum(0.0)

    def share(self, length: int) -> slice:
        """This process's part of ``length`` things in a row; the parts lie end to end."""
        return slice(length * self.rank // self.world, length * (self.rank + 1) // self.world)


ALONE: Final = Processes()


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that torchrun has started, joined; or this one alone.

    Where another one ends before its time, what waits for it ends with a `TrainingError`. Raises `ConfigError` where
    the environment speaks of several processes and not of this one.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    rank, world = _place()
    from torch import distributed

    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, world)
    except RuntimeError as error:
        if not _lost(error):
            raise
        raise TrainingError(
            f"process {rank} of {world}: another process has ended before its time",
            hint="its own message says why; go on with --resume",
        ) from error
    finally:
        distributed.destroy_process_group()


def _place() -> tuple[int, int]:
    """Which process this is, of how many, where the environment says it as torchrun does; else a `ConfigError`."""
    given = os.environ
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in given]
    numbers = [given.get("RANK", ""), given["WORLD_SIZE"]]
    if missing or not all(number.isdecimal() for number in numbers) or not int(numbers[0]) < int(numbers[1]):
        raise ConfigError(
            f"WORLD_SIZE is {numbers[1]}, so that several processes are to train together, but "
            + (f"{', '.join(missing)} is not set" if missing else f"RANK is {numbers[0]}"),
            hint="start them by torchrun, or unset WORLD_SIZE to train in one",
        )
    return int(numbers[0]), int(numbers[1])


def _lost(error: RuntimeError) -> bool:
    """Whether it is what Gloo says when somebody no longer answers."""
    said = str(error).lower()
    return any(word in said for word in ("connection closed", "connection reset", "broken pipe", "gloo", "timed out"))
