"""Events per second and peak memory of the simulator, members simulated and written to Parquet.

    python benchmarks/simulator/speed.py [--preset service --members 60000] [--processes 2] [--truth] [--json]

Wall time from the start to the finished folder, the start of processes included, and processor time of all of them:
on a machine that has other work the second is the fairer figure. Memory is the sum of the largest of each process.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from palate.simulate import preset, simulate_to, useful_processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service", "long"])
    parser.add_argument("--members", type=int)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    changes = {} if given.members is None else {"members": given.members}
    config = preset(given.preset, **changes)
    processes = given.processes or useful_processes(config)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        before = _processor_seconds()
        written = simulate_to(config, Path(folder) / "out", truth=given.truth, processes=processes)
        wall, busy = time.perf_counter() - started, _processor_seconds() - before
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    events = sum(written.events.values())
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (processes if processes > 1 else 0)
    found = {
        "preset": given.preset,
        "members": config.members,
        "events": events,
        "processes": processes,
        "seconds": round(wall, 2),
        "events_per_second": round(events / wall),
        "events_per_processor_second": round(events / busy),
        "peak_mib": round((own + workers) / 1024),
        "bytes_per_event": round(size / events, 1),
    }
    print(json.dumps(found) if given.json else "\n".join(f"{name:30}{value:>14}" for name, value in found.items()))


def _processor_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
