"""What a training tells while it runs: the loop calls, whoever listens (a terminal, TensorBoard, nobody)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from tensorboardX import SummaryWriter

from palate.train.estimate import Estimate
from palate.train.plan import Figures
from palate.train.state import TrainingState, Validation, Whole


class Start(NamedTuple):
    """Known before the first step."""

    parameters: int
    figures: Figures
    """Of the first epoch."""
    epochs: int
    resumed_at: int
    """Steps done before; 0 for a fresh training."""
    processes: int
    """How many train together."""
    device: str | None
    """Where, in words; none on the processor."""
    estimate: Estimate | None
    """What all of it will take; none where nobody asked."""


class Step(NamedTuple):
    """One step."""

    step: int
    progress: float
    """Of the whole training, in [0, 1]."""
    loss: float
    """Mean over the step's targets."""
    learning_rate: float
    targets_per_second: float
    """Over the last steps, validations left out."""
    share_of_peak: float
    """Operations owed to real rows over the measured peak."""
    seconds_left: float


class Reporter(Protocol):
    """Listens to a training."""

    def start(self, start: Start) -> None:
        """Before the first step."""

    def step(self, step: Step) -> None:
        """After each step."""

    def validating(self, done: int, total: int) -> None:
        """While validation ranks."""

    def validated(self, validation: Validation, *, best: bool) -> None:
        """After each validation."""

    def finish(self, state: TrainingState) -> None:
        """After the last step."""

    def stage(self, what: str) -> None:
        """Before what comes behind the training, and takes a while."""

    def sealed(self, whole: Whole) -> None:
        """At the very end."""


class TensorBoardReporter:
    """Writes what TensorBoard shows: loss, learning rate, speed; NDCG on validation."""

    def __init__(self, folder: Path, *, every: int = 10) -> None:
        self._folder = folder
        self._every = every
        self._writer: SummaryWriter | None = None

    def start(self, start: Start) -> None:
        """Open the log; steps that a killed attempt logged beyond its checkpoint are purged."""
        self._writer = SummaryWriter(str(self._folder), purge_step=start.resumed_at + 1)

    def step(self, step: Step) -> None:
        """Log every tenth step."""
        if self._writer is None or step.step % self._every:
            return
        for name, value in (
            ("train/loss", step.loss),
            ("train/learning_rate", step.learning_rate),
            ("speed/targets_per_second", step.targets_per_second),
            ("speed/share_of_peak", step.share_of_peak),
        ):
            self._writer.add_scalar(name, value, step.step)

    def validating(self, done: int, total: int) -> None:
        """Nothing to log."""

    def validated(self, validation: Validation, *, best: bool) -> None:
        """Log the validation."""
        if self._writer is not None:
            self._writer.add_scalar("validation/ndcg", validation.value, validation.step)
            self._writer.flush()

    def finish(self, state: TrainingState) -> None:
        """Close the log."""
        if self._writer is not None:
            self._writer.close()

    def stage(self, what: str) -> None:
        """Nothing to log."""

    def sealed(self, whole: Whole) -> None:
        """Nothing to log."""
