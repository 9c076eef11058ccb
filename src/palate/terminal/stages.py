"""Work in several stages, as a person at a terminal sees it, on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class StageProgress:
    """A bar for each stage; callable as `palate.data.large.parallel.Progress`."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage; without a total it only counts."""
        figures = f"{done:,} of {total:,}" if total else f"{done:,}"
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total or None, figures=figures)
        self._progress.update(self._tasks[stage], completed=done, total=total or None, figures=figures)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
