"""Batches made ahead of the step that learns from them.

A thread assembles the next batches while the step computes. A batch is a function of its plan and number, and they come
in the order that was asked for, so training with and without the thread is the same to the bit, wherever it begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Made = TypeVar("_Made")

AHEAD = 2
"""Batches that wait for their step."""


def made_ahead(
    make: Callable[[int], _Made], numbers: Iterable[int], ahead: int = AHEAD
) -> Generator[_Made, None, None]:
    """``make(number)`` for each of the numbers, in order; while one is used, the next ``ahead`` are made in a thread.

    What ``make`` raises is raised here, where its result was asked for. The thread ends with the iterator: exhausted,
    closed or left by an exception.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="palate-loader")
    waiting: deque[Future[_Made]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
