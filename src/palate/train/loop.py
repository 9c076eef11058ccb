"""The loop: steps, validations, checkpoints.

A step's randomness comes from the seed and its number; so a training that was killed and resumed takes the same steps
as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from palate.errors import TrainingError, UnfinishedRunError
from palate.model import SequenceModel
from palate.runs import read_checkpoint, write_checkpoint
from palate.tokens import Batch, Catalogue
from palate.train.compute import Operations, measured_peak
from palate.train.config import PretrainConfig
from palate.train.loader import made_ahead
from palate.train.memory import keep_freed_memory
from palate.train.optimizer import build_optimizer, learning_rate, load_optimizer_tensors, optimizer_tensors
from palate.train.plan import BatchPlanner, EpochPlan
from palate.train.report import Reporter, Start, Step
from palate.train.state import TrainingState, Validation
from palate.train.validate import Validator

SMOOTHING = 0.95
"""Weight of the past in the speed that is shown."""


class Trainer:
    """Trains one model; `run` leaves the best weights in it."""

    def __init__(
        self,
        config: PretrainConfig,
        model: SequenceModel,
        planner: BatchPlanner,
        catalogue: Catalogue,
        validator: Validator | None,
        *,
        checkpoints: Path,
        data: str,
        reporters: Sequence[Reporter] = (),
    ) -> None:
        self._config = config
        self._model = model
        self._planner = planner
        self._catalogue = catalogue
        self._validator = validator
        self._checkpoints = checkpoints
        self._reporters = reporters
        self._optimizer = build_optimizer(model, config.optimizer)
        self._operations = Operations(model)
        self._best: dict[str, Tensor] = {}
        self._speed = _Speed()
        self.state = TrainingState(data=data, config=config.to_yaml())

    def restore(self) -> None:
        """Go on from the last checkpoint, where there is one.

        Raises `UnfinishedRunError` when it was made from other data or settings, `DamagedRunError` when it is damaged.
        """
        checkpoint = read_checkpoint(self._checkpoints)
        if checkpoint is None:
            return
        state = TrainingState.model_validate_json(checkpoint.state)
        for what, there, here in (("data", state.data, self.state.data), ("settings", state.config, self.state.config)):
            if there != here:
                raise UnfinishedRunError(
                    f"{self._checkpoints} was made with other {what}",
                    hint=f"resume with the same {what}, or delete the folder and start again",
                )
        self._model.load_state_dict(checkpoint.model)
        load_optimizer_tensors(self._model, self._optimizer, checkpoint.optimizer)
        self._best = checkpoint.best
        self.state = state

    def run(self) -> TrainingState:
        """Train to the end, from wherever the state stands."""
        state, config = self.state, self._config
        keep_freed_memory()
        plan = self._planner.epoch(state.epoch)
        peak = measured_peak()
        self._tell_start(plan, peak)
        since = time.monotonic()
        saved = since
        while not state.finished:
            if state.batch == 0 and state.epoch > 0:
                plan = self._planner.epoch(state.epoch)
            self._model.train()
            with closing(made_ahead(partial(self._planner.batch, plan), range(state.batch, len(plan.packs)))) as made:
                for batch in made:
                    progress = (state.epoch + state.batch / len(plan.packs)) / config.epochs
                    self._step(batch, progress, peak)
                    state.batch += 1
                    now = time.monotonic()
                    state.seconds, since = state.seconds + now - since, now
                    if now - saved > config.checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
            state.epoch, state.batch = state.epoch + 1, 0
            self._end_epoch()
            peak = max(peak, measured_peak(seconds=0.1))  # the first measure may have met a busy moment
            now = time.monotonic()
            state.seconds, since = state.seconds + now - since, now
            self._save()
            saved = time.monotonic()
        if self._best:
            self._model.load_state_dict(self._best)
        self._model.eval()
        for reporter in self._reporters:
            reporter.finish(state)
        return state

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """The optimizer's state, by parameter."""
        return optimizer_tensors(self._model, self._optimizer)

    def _step(self, batch: Batch, progress: float, peak: float) -> None:
        state, config = self.state, self._config
        started = time.perf_counter()
        rate = learning_rate(config.optimizer, step=state.step, progress=progress)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed((config.seed << 32) + state.step)
        targets = int((batch.target > 0).sum())
        losses = self._model.loss(batch, self._catalogue, config.objective)
        (losses.total / max(targets, 1)).backward()  # type: ignore[no-untyped-call]
        value = losses.item.item() / max(targets, 1)
        # All of it: another part that is not finite would be in a checkpoint before the item's loss shows it.
        if not math.isfinite(whole := losses.total.item()):
            raise TrainingError(
                f"the loss of step {state.step + 1} is {whole}",
                hint="lower optimizer.learning_rate; the last checkpoint is kept",
            )
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), config.optimizer.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        state.step += 1
        state.targets += targets
        state.loss_sum += value * targets
        state.loss_targets += targets
        self._speed.add(time.perf_counter() - started, targets, self._operations.of(batch))
        told = Step(
            step=state.step,
            progress=progress,
            loss=value,
            learning_rate=rate,
            targets_per_second=self._speed.targets_per_second,
            share_of_peak=self._speed.operations_per_second / peak,
            seconds_left=state.seconds * (1 - progress) / progress if progress > 0 else math.inf,
        )
        for reporter in self._reporters:
            reporter.step(told)

    def _end_epoch(self) -> None:
        """Validate where it is time to, keep the best weights, and decide whether to go on."""
        state, config = self.state, self._config
        last = state.epoch == config.epochs
        if self._validator is None:
            state.finished = last
            return
        if not last and state.epoch % config.validation.every:
            return
        value = self._validator.ndcg(self._validating)
        validation = Validation(
            epoch=state.epoch,
            step=state.step,
            loss=state.loss_sum / max(state.loss_targets, 1),
            value=value,
            seconds=state.seconds,
        )
        state.loss_sum, state.loss_targets = 0.0, 0
        is_best = state.best is None or value > state.best.value
        if is_best:
            state.best, state.since_best = validation, 0
            self._best = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        else:
            state.since_best += 1
        state.validations.append(validation)
        state.finished = last or state.since_best >= config.validation.patience
        for reporter in self._reporters:
            reporter.validated(validation, best=is_best)

    def _validating(self, done: int, total: int) -> None:
        for reporter in self._reporters:
            reporter.validating(done, total)

    def _save(self) -> None:
        write_checkpoint(
            self._checkpoints,
            self.state.step,
            model=self._model.state_dict(),
            optimizer=self.optimizer_tensors(),
            best=self._best,
            state=self.state,
        )

    def _tell_start(self, plan: EpochPlan, peak: float) -> None:
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        start = Start(
            parameters=parameters,
            figures=self._planner.figures(plan),
            epochs=self._config.epochs,
            resumed_at=self.state.step,
            bytes_of_state=4 * 5 * parameters,
            peak=peak,
        )
        for reporter in self._reporters:
            reporter.start(start)


class _Speed:
    """Targets and operations a second, smoothed."""

    def __init__(self) -> None:
        self._seconds = self._targets = self._operations = 0.0

    def add(self, seconds: float, targets: int, operations: float) -> None:
        """Count one step."""
        self._seconds = SMOOTHING * self._seconds + seconds
        self._targets = SMOOTHING * self._targets + targets
        self._operations = SMOOTHING * self._operations + operations

    @property
    def targets_per_second(self) -> float:
        """Real targets, nothing else."""
        return self._targets / self._seconds

    @property
    def operations_per_second(self) -> float:
        """Operations owed to real rows."""
        return self._operations / self._seconds
