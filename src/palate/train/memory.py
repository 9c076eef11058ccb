"""Memory of a training: what stays with the process between steps, and what goes back between stages.

glibc gives large blocks back to the system when they are freed and asks for them anew; the system clears every page
again when it is first touched. A step of training frees and asks for the same hundreds of megabytes each time, and
spent a quarter of its feed-forward layers on that. So freed memory is kept while one stage lasts.

What is kept should serve all threads. Left to itself glibc gives each thread a heap of its own, so that what the threads
of a validation left behind was of no use to the next step: 300 MiB for the simulated service.

oneDNN keeps a thousand compiled kernels, a quarter of a MiB each, and torch keeps as much again beside it that is
quickly made. Each shape of a product needs one, and batches of many lengths have many: only one of the two is left.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of malloc.h: from how much free memory at its end the heap is cut, which blocks don't lie in it, and how many heaps
there may be."""
_WRAPPED_KERNELS: Final = ("LRU_CACHE_CAPACITY", "64")
"""How much torch keeps of each kernel, beside what oneDNN keeps; read when the first product is made."""


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed, up to 2 GiB, in one heap for the threads that are yet to begin; for the whole
    process. False where there is no glibc to ask."""
    os.environ.setdefault(*_WRAPPED_KERNELS)
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    kept = mallopt(_MMAP_THRESHOLD, 1 << 30), mallopt(_TRIM_THRESHOLD, (1 << 31) - 1), mallopt(_ARENA_MAX, 1)
    return all(kept)


def hand_back_memory() -> None:
    """Give what is freed back to the system, where there is a glibc to ask: between stages that need memory of their
    own."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    """One of its functions; none where there is no glibc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
