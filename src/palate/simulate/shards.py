"""Blocks of members by one process or several, in their order; nothing depends on how many there are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import polars as pl

from palate.simulate.block import Block, Service, blocks, make_service, run_block
from palate.simulate.config import SimulationConfig
from palate.simulate.log import Log
from palate.simulate.members import Members, users_table
from palate.simulate.truth import MemberTruth, block_truth

_WORTH_IT: Final = 2
"""Blocks from which on processes pay for their start."""
_AHEAD: Final = 1
"""Blocks that wait to be written, beside those at work."""


@dataclass(frozen=True)
class Shard:
    """What is written of a block."""

    members: int
    users: pl.DataFrame
    log: Log
    truth: MemberTruth | None


def useful_processes(config: SimulationConfig) -> int:
    """Processes that pay for their start: one, or as many as there are processors.

    More than one start the main module again, as multiprocessing does: a script needs ``if __name__ == "__main__"``.
    """
    count = len(blocks(config, make_service(config).choice.features.shape[1]))
    return 1 if count < _WORTH_IT else min(count, os.cpu_count() or 1)


def shards(service: Service, *, truth: bool, processes: int = 1) -> Iterator[Shard]:
    """All blocks, in order."""
    work = blocks(service.config, len(service.catalogue.first))
    count = min(processes, len(work))
    if count == 1:
        for numbers in work:
            yield _shard(service, numbers, truth=truth)
        return
    with (
        _single_threaded(),
        ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=_start, initargs=(service.config,)
        ) as pool,
    ):
        waiting: deque[Future[Shard]] = deque()
        remaining = iter(work)
        for numbers in remaining:
            waiting.append(pool.submit(_task, numbers, truth))
            if len(waiting) >= count + _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _shard(service: Service, numbers: range, *, truth: bool) -> Shard:
    block: Block = run_block(service, numbers)
    members: Members = block.members
    return Shard(
        members=len(members),
        users=users_table(service.config, members),
        log=block.log,
        truth=block_truth(service, block) if truth else None,
    )


class _Process:
    """What a worker process keeps between blocks."""

    service: Service | None = None


def _start(config: SimulationConfig) -> None:
    _Process.service = make_service(config)


def _task(numbers: range, truth: bool) -> Shard:
    assert _Process.service is not None, "the pool was started with an initializer"
    return _shard(_Process.service, numbers, truth=truth)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Worker processes share the processors already: their libraries take one thread each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
