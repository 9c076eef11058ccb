"""What is asked of glibc's malloc; elsewhere nothing is."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

_ARENA_MAX: Final = -8
"""Of malloc.h: how many heaps there may be."""


def one_heap() -> None:
    """One heap for all threads that begin from now on, instead of one for each: what one thread has left serves the
    others. Best before libraries are imported, which start threads."""
    mallopt = of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def of_glibc(name: str) -> Any:
    """One of its functions; none where there is no glibc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
