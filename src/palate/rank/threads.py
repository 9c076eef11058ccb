"""The same work on many batches, one in each thread.

Two batches side by side, each with half of the threads, are done sooner than one after the other with all: what happens
between two products, in Python and on one core, is then done while another thread multiplies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import torch

MOST: Final = 4
"""Batches in memory at a time."""

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterator[Result]:
    """``work`` of each piece, in order; a few at a time, which share torch's threads."""
    threads = torch.get_num_threads()
    workers = min(threads, MOST, len(pieces))
    if workers < 2:
        yield from map(work, pieces)
        return
    try:
        # The number of threads is that of the thread which sets it.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            waiting: deque[Future[Result]] = deque()
            try:
                for piece in pieces:
                    waiting.append(pool.submit(work, piece))
                    if len(waiting) > workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        # It is also what threads that begin from now on are given: with that of the workers they would stay slow.
        torch.set_num_threads(threads)
