"""Freed memory that stays with the process, so that each step writes where the one before did.

glibc gives large blocks back to the system when they are freed and asks for them anew; the system clears every page
again when it is first touched. A step of training frees and asks for the same hundreds of megabytes each time, and
spent a quarter of its feed-forward layers on that.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of malloc.h: from how much free memory at its end the heap is cut, and which blocks don't lie in it."""


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed, up to 2 GiB; for the whole process. False where there is no glibc to ask."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
