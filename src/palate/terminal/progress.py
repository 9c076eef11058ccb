"""A training and a ranking, as a person at a terminal sees them; all of it on stderr."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from palate.train.estimate import RESIDENT, STAGES, Estimate
from palate.train.report import Start, Step
from palate.train.state import TrainingState, Validation, Whole

_EVERY = 5


class TerminalReporter:
    """A progress bar with loss, speed, share of peak and time left, and a line for each validation."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_interactive,
        )
        self._task: TaskID | None = None
        self._epochs = 0
        self._estimate: Estimate | None = None

    def start(self, start: Start) -> None:
        """Say what is about to happen."""
        self._epochs, self._estimate = start.epochs, start.estimate
        often = "once" if start.epochs == 1 else f"up to {start.epochs} times"
        self._line(
            f"a model of {start.parameters:,} parameters learns from {start.figures.targets:,} targets, {often} each"
        )
        if start.device is not None:
            self._line(f"trains on {start.device}")
        if start.processes > 1:
            self._line(f"{start.processes} processes share each batch")
        if start.estimate is not None:
            for line in needed_lines(start.estimate):
                self._line(line)
        if start.resumed_at:
            self._line(f"resumed after step {start.resumed_at:,}")
        self._task = self._progress.add_task("training", total=1.0, note="")
        self._progress.start()

    def step(self, step: Step) -> None:
        """Move the bar."""
        if self._task is None or step.step % _EVERY:
            return
        note = (
            f"loss {step.loss:.3f}  {step.targets_per_second:,.0f} targets/s  {step.share_of_peak:.0%} of peak  "
            f"{duration(step.seconds_left)} left"
        )
        self._progress.update(self._task, completed=step.progress, description="training", note=note)

    def validating(self, done: int, total: int) -> None:
        """Show that ranking is under way."""
        if self._task is not None:
            self._progress.update(self._task, description=f"validating {done / total:.0%}")

    def validated(self, validation: Validation, *, best: bool) -> None:
        """A line that stays."""
        self._line(
            f"epoch {validation.epoch:>3} of {self._epochs}: loss {validation.loss:.4f}, "
            f"validation NDCG {validation.value:.4f}{' (best so far)' if best else ''}, "
            f"{duration(validation.seconds)}"
        )

    def finish(self, state: TrainingState) -> None:
        """Take the bar away."""
        self._progress.stop()
        if state.epoch < self._epochs:
            self._line(f"stopped early: no better validation in the last {state.since_best}")

    def stage(self, what: str) -> None:
        """Say what is under way."""
        self._line(f"{what} …")

    def sealed(self, whole: Whole) -> None:
        """What all of it took, and what was told."""
        told = ""
        if self._estimate is not None:
            told = f" (told: {size(self._estimate.peak_bytes)}, at most {duration(self._estimate.seconds)})"
        self._line(f"took {size(whole.peak_bytes)} of memory and {duration(whole.seconds)}{told}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class RankingProgress:
    """A bar for ranking; callable as `palate.rank.recommend.Progress`."""

    def __init__(self, console: Console | None = None, description: str = "ranking") -> None:
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_interactive,
        )
        self._task = self._progress.add_task(description, total=1)

    def __call__(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def needed_lines(estimate: Estimate) -> list[str]:
    """What a training is going to take, for who wants to begin."""
    free = ""
    if estimate.available_bytes is not None:
        free = f" ({size(estimate.memory[RESIDENT] + estimate.available_bytes)} are free)"
    of_device = "" if estimate.device_bytes is None else f", {size(estimate.device_bytes)} of the GPU's"
    lines = [
        f"needs about {size(estimate.peak_bytes)} of memory{free}{of_device} and at most {duration(estimate.seconds)}"
    ]
    if estimate.missing_bytes > 0:
        lines.append(
            f"warning: that is {size(estimate.missing_bytes)} too much; smaller packing.batch_tokens, windows.context "
            "or model.encoder.width take less"
        )
    return lines


def estimate_lines(estimate: Estimate) -> list[str]:
    """The same in all its parts."""
    large = {name: size(held) for name, held in estimate.memory.items() if held >= 1 << 20}
    held = ", ".join(f"{name} {held}" for name, held in large.items() if name not in STAGES)
    stages = ", ".join(f"{name} {held}" for name, held in large.items() if name in STAGES)
    lines = [*needed_lines(estimate), f"held all the time: {held}"]
    if stages:
        lines.append(f"beside it, one after the other: {stages}")
    times = {
        "training": estimate.training_seconds,
        "fit of new items": estimate.new_items_seconds,
        "sealing": estimate.sealing_seconds,
    }
    each = ", ".join(f"{name} {duration(seconds)}" for name, seconds in times.items() if seconds)
    validation = f", a validation {duration(estimate.validation_seconds)}" if estimate.validation_seconds else ""
    lines.append(f"{each}; a step {1000 * estimate.step_seconds:,.0f} ms{validation}; training may stop early")
    return lines


def size(held: float) -> str:
    """``1.5 GiB``."""
    return f"{held / 2**30:.1f} GiB" if held >= 2**30 else f"{held / 2**20:,.0f} MiB"


def duration(seconds: float) -> str:
    """``2 min 05 s``."""
    if not math.isfinite(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
