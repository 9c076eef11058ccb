"""Memory of a training: what stays with the process between steps, and what goes back between stages.

glibc gives large blocks back to the system when they are freed and asks for them anew; the system clears every page
again when it is first touched. A step of training frees and asks for the same hundreds of megabytes each time, and
spent a quarter of its feed-forward layers on that. So freed memory is kept while one stage lasts, and serves all
threads (`palate.heap.one_heap`): with a heap for each, what the threads of a validation left behind was of no use to
the next step.

oneDNN keeps a thousand compiled kernels, a quarter of a MiB each, and torch keeps as much again beside each, which is
quickly made. Every shape of a product needs one, and batches of many lengths have many: only the former are kept.
"""

from __future__ import annotations

import os
from typing import Final

from palate.heap import of_glibc, one_heap

KERNELS: Final = 1024
"""Compiled products that oneDNN keeps."""
KERNEL_BYTES: Final = 272 << 10
"""Of one of them, as measured."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of malloc.h: from how much free memory at its end the heap is cut, and which blocks don't lie in it."""
_BESIDE_KERNELS: Final = ("LRU_CACHE_CAPACITY", "64")
"""For how many kernels torch keeps something of its own; read when the first product is made."""


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed, up to 2 GiB; for the whole process. False where there is no glibc to ask."""
    os.environ.setdefault(*_BESIDE_KERNELS)
    one_heap()
    mallopt = of_glibc("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))


def hand_back_memory() -> None:
    """Give what is freed back to the system: between stages that need memory of their own."""
    trim = of_glibc("malloc_trim")
    if trim is not None:
        trim(0)
