"""The same work on many pieces, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Progress(Protocol):
    """Is told how far a stage has come; pieces done of pieces in all."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show it."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Show nothing."""


def as_completed(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], *, workers: int
) -> Iterator[tuple[Piece, Result]]:
    """Pieces with their results as they are finished, at most ``workers`` at a time.

    Threads suffice: what takes time happens in Polars, Arrow and numpy, which let each other run.
    """
    waiting = iter(pieces)
    with ThreadPoolExecutor(workers) as pool:
        running: dict[Future[Result], Piece] = {}
        try:
            while True:
                while len(running) < workers and (piece := next(waiting, None)) is not None:
                    running[pool.submit(work, piece)] = piece
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()
