"""How much memory this process holds, and has held at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """What is in memory now; where the system does not say, what was at most."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_bytes()
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """The most that was in memory at any moment of the process."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def available_bytes() -> int | None:
    """What the machine could still give; none where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def mapped_bytes(folder: Path) -> int:
    """How much of the files of a folder is in this process's memory; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    found, inside = 0, False
    for line in lines:
        name, *rest = line.split()
        if not name.endswith(":"):
            inside = f" {folder.resolve()}/" in line
        elif inside and name == "Rss:":
            found += int(rest[0]) * 1024
    return found
