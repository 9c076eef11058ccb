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
from typing import NamedTuple

import torch
from torch import Tensor

from palate.errors import TrainingError, UnfinishedRunError
from palate.model import SequenceModel
from palate.runs import read_checkpoint, write_checkpoint
from palate.tokens import Batch, Catalogue
from palate.train.afterwards import Epoch, Needs, of_new_items, of_sealing
from palate.train.compute import Operations, measured_peak
from palate.train.config import PretrainConfig
from palate.train.device import PROCESSOR, check_heads, lowered_type, most_bytes, told, told_when_full
from palate.train.estimate import Estimate, estimate
from palate.train.loader import made_ahead
from palate.train.memory import keep_freed_memory
from palate.train.optimizer import (
    Together,
    build_optimizer,
    clip_gradients,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
)
from palate.train.parallel import Learner
from palate.train.plan import BatchPlanner, EpochPlan
from palate.train.processes import ALONE, Processes
from palate.train.report import Reporter, Start, Step
from palate.train.resident import peak_bytes
from palate.train.softmax import SoftmaxChoice
from palate.train.state import TrainingState, Validation
from palate.train.trial import Trial, slots, try_out
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
        softmax: SoftmaxChoice | None = None,
        reporters: Sequence[Reporter] = (),
        processes: Processes = ALONE,
        sharded: bool = False,
        device: torch.device = PROCESSOR,
    ) -> None:
        """With several ``processes`` every one of them has such a trainer; ``sharded`` and ``device`` as in `Learner`.
        With a sampled ``softmax`` item tables are moved by rows; without one it is exact.
        """
        self._config = config
        self._model = model
        self._processes = processes
        check_heads(config.model, device)
        self._device, lowered = device, lowered_type(config.precision, device)
        self._products = lowered or torch.float32
        self._learner = Learner(model, processes, sharded=sharded, device=device, lowered=lowered)
        self._planner = planner
        self._catalogue = catalogue
        self._validator = validator
        self._checkpoints = checkpoints
        self._reporters = reporters
        self._described = catalogue.to(device)
        self._sampler = None if softmax is None or softmax.sampler is None else softmax.sampler.to(device)
        self._optimizer = build_optimizer(self._learner.trained, config.optimizer, by_rows=self._sampler is not None)
        self._operations = Operations(model, None if self._sampler is None else self._sampler.draws)
        self._best: dict[str, Tensor] = {}
        self._speed = _Speed()
        self.state = TrainingState(
            data=data,
            config=config.to_yaml(),
            softmax="" if softmax is None else softmax.told,
            device=told(device, lowered),
        )

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
        self._learner.load(checkpoint.model)
        tensors = self._learner.spread_state(checkpoint.optimizer)
        load_optimizer_tensors(self._learner.trained, self._optimizer, tensors)
        self._best = checkpoint.best
        self.state = state.model_copy(update={"estimate": self.state.estimate, "device": self.state.device})

    @told_when_full
    def run(self) -> TrainingState:
        """Train to the end, from wherever the state stands."""
        state, config = self.state, self._config
        keep_freed_memory()
        plan = self._planner.epoch(state.epoch)
        peak = self._peak()
        self._tell_start(plan, peak)
        since = time.monotonic()
        saved = since
        while not state.finished:
            if state.batch == 0 and state.epoch > 0:
                plan = self._planner.epoch(state.epoch)
            self._learner.train()
            with closing(made_ahead(partial(self._made, plan), range(state.batch, len(plan.packs)))) as batches:
                for made in batches:
                    progress = (state.epoch + state.batch / len(plan.packs)) / config.epochs
                    self._step(made, progress, peak)
                    state.batch += 1
                    now = time.monotonic()
                    state.seconds, since = state.seconds + now - since, now
                    if self._agreed(now - saved > config.checkpoint_seconds):
                        self._save()
                        saved = time.monotonic()
            if isinstance(self._optimizer, Together):
                self._optimizer.settle()
            state.epoch, state.batch = state.epoch + 1, 0
            self._end_epoch()
            peak = max(peak, self._peak(seconds=0.1))  # the first measure may have met a busy moment
            now = time.monotonic()
            state.seconds, since = state.seconds + now - since, now
            self._save()
            saved = time.monotonic()
        if self._best:
            self._learner.load(self._best)
            self._best = {}
        self._model.eval()
        if state.estimate is not None:
            state.peak_bytes = peak_bytes()
        state.device_bytes = most_bytes(self._device)
        for reporter in self._reporters:
            reporter.finish(state)
        return state

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """The optimizer's state, by parameter; all processes have to ask."""
        return self._learner.gathered_state(optimizer_tensors(self._learner.trained, self._optimizer))

    @told_when_full
    def estimate(self, *, resident: int, log_bytes: int) -> Estimate:
        """What the whole training will take; tried out, so before `restore` and `run`. For the arguments see
        `palate.train.estimate.estimate`."""
        packs, config, validator = self._planner.epoch(0), self._config, self._validator
        keep_freed_memory()  # as `run` does: it changes what a step takes
        self._learner.train()

        def step(number: int) -> None:
            self._learn(self._made(packs, number), number, config.optimizer.learning_rate)

        trial = try_out(
            config,
            step,
            None if validator is None else validator.seconds,
            packs.packs,
            self._learner.parameters(),
            self._optimizer,
            self._agreed,
        )
        [seconds] = self._processes.sum(trial.seconds_per_slot)
        trial = trial._replace(seconds_per_slot=seconds / self._processes.world)
        validation, targets = trial.validation_seconds or 0.0, self._planner.figures(packs).targets
        new_items = sealing = Needs(0, 0.0)
        if self._sampler is None:
            new_items = of_new_items(
                self._model,
                self._catalogue,
                epoch=Epoch(targets, len(packs.packs), sum(map(slots, packs.packs))),
                slot_seconds=self._slot_seconds(packs, trial),
                validation_seconds=validation,
            )
        if validator is not None:
            sealing = of_sealing(
                items=len(self._catalogue.counts),
                targets=len(validator.queries),
                target_seconds=validation / max(validator.targets, 1),
            )
        found = estimate(
            config,
            self._model,
            packs.packs,
            trial,
            resident=resident,
            log_bytes=log_bytes,
            state_bytes=4 * sum(parameter.numel() for parameter in self._model.parameters()),
            new_items=new_items,
            sealing=sealing,
            elsewhere=self._device.type != "cpu",
            device_bytes=most_bytes(self._device),
        )
        self.state.estimate = found
        return found

    def _slot_seconds(self, packs: EpochPlan, trial: Trial) -> float:
        """What a slot of a training step costs on the processor, where new items are fitted."""
        if self._device.type == "cpu":
            return trial.seconds_per_slot * self._processes.world
        if self._model.tower.inferred is None:
            return 0.0
        by_size = sorted(range(len(packs.packs)), key=lambda number: slots(packs.packs[number]))
        middle = by_size[len(by_size) // 2]
        batch = self._planner.batch(packs, middle)
        self._model.train()
        seconds = 0.0
        for _ in range(2):  # the first one compiles
            started = time.perf_counter()
            self._model.loss(batch, self._catalogue, self._config.objective).total.backward()  # type: ignore[no-untyped-call]
            seconds = time.perf_counter() - started
        self._model.zero_grad(set_to_none=True)
        return seconds / slots(packs.packs[middle])

    def _made(self, plan: EpochPlan, number: int) -> _Made:
        batch = self._planner.batch(plan, number)
        return _Made(batch.to(self._device), int((batch.target > 0).sum()), self._operations.of(batch))

    def _peak(self, seconds: float = 0.4) -> float:
        return measured_peak(seconds, device=self._device, dtype=self._products)

    def _step(self, made: _Made, progress: float, peak: float) -> None:
        state, config = self.state, self._config
        started = time.perf_counter()
        rate = learning_rate(config.optimizer, step=state.step, progress=progress)
        learned = self._learn(made, state.step, rate)
        targets = learned.targets
        value = learned.item / max(targets, 1)
        state.step += 1
        state.targets += targets
        state.loss_sum += value * targets
        state.loss_targets += targets
        self._speed.add(time.perf_counter() - started, targets, made.operations)
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

    def _learn(self, made: _Made, number: int, rate: float) -> _Learned:
        """One step of all processes, of which this one has ``made``."""
        config, learner = self._config, self._learner
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        targets = int(self._processes.sum(made.targets)[0])
        seed = (config.seed << 32) + number
        losses = learner.loss(made.batch, self._described, config.objective, self._sampler, seed=seed)
        # Gradients are averaged over the processes.
        (losses.total / (max(targets, 1) / self._processes.world)).backward()  # type: ignore[no-untyped-call]
        # All of it: another part that is not finite would be in a checkpoint before the item's loss shows it.
        item, whole = self._processes.sum(losses.item.item(), losses.total.item())
        if not math.isfinite(whole):
            raise TrainingError(
                f"the loss of step {number + 1} is {whole}",
                hint="lower optimizer.learning_rate; the last checkpoint is kept",
            )
        if self._sampler is None:
            torch.nn.utils.clip_grad_norm_(learner.parameters(), config.optimizer.clip_norm)
        else:
            clip_gradients(learner.trained, config.optimizer.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return _Learned(targets, item)

    def _agreed(self, wish: bool) -> bool:
        """Whether the process that writes wishes it: all have to do the same."""
        return bool(self._processes.sum(float(wish and self._processes.writes))[0])

    def _end_epoch(self) -> None:
        """Validate where it is time to, keep the best weights, and decide whether to go on."""
        state, config = self.state, self._config
        last = state.epoch == config.epochs
        if self._validator is None:
            state.finished = last
            return
        if not last and state.epoch % config.validation.every:
            return
        self._learner.gathered()
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
        weights, optimizer = self._learner.gathered(), self.optimizer_tensors()
        if self._processes.writes:
            write_checkpoint(
                self._checkpoints,
                self.state.step,
                model=weights,
                optimizer=optimizer,
                best=self._best,
                state=self.state,
            )

    def _tell_start(self, plan: EpochPlan, peak: float) -> None:
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        figures = self._planner.figures(plan)
        if not self.state.figures:
            self.state.figures = {name: float(value) for name, value in figures._asdict().items()}
        self.state.machine_peak = peak
        start = Start(
            parameters=parameters,
            figures=figures,
            epochs=self._config.epochs,
            resumed_at=self.state.step,
            processes=self._processes.world,
            device=None if self._device.type == "cpu" else self.state.device,
            estimate=self.state.estimate,
        )
        for reporter in self._reporters:
            reporter.start(start)


class _Made(NamedTuple):
    """A batch where it is learned from."""

    batch: Batch
    targets: int
    operations: float
    """Owed to its real rows."""


class _Learned(NamedTuple):
    """Sums over a step's targets, in all processes."""

    targets: int
    item: float
    """Loss of the next items."""


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
