"""The peak memory of this process since the last reset; Linux only. Imports nothing but the standard library."""

import gc
from pathlib import Path


def reset_peak() -> None:
    """Begin anew with what is in memory now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mib() -> float:
    """The most memory that was resident since then."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")
