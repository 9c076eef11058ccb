"""What a log costs by its size: simulated logs of 1, 10 and 100 million events, stage by stage, each its own process.

    python benchmarks/size/bench.py --work FOLDER [--events 1000000 10000000] [--memory 2GiB] [--keep] [--json]

FOLDER needs about 80 bytes of disk for each event. For every stage: events/s, the largest resident set of its process
(of several processes: of the largest one), bytes that it wrote, and the cost per event relative to the smallest log.
The start of Python (a second or two) is measured apart and taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from palate.data import PreparedLog, split_parts
from palate.tokens import Tokenizer, TokenizerConfig
from palate.train.log import LogInParts
from palate.train.material import Material

SIZES = (1_000_000, 10_000_000, 100_000_000)
EVENTS_A_MEMBER = 56.3
"""Of the preset service."""


@dataclass(frozen=True)
class Row:
    """One stage on one log."""

    stage: str
    events: int
    seconds: float
    events_per_second: float
    peak_mib: float
    written_mib: float
    cost: float = 1.0
    """Seconds per event, relative to the smallest log."""


def nothing(work: Path) -> None:
    """Only the start of Python."""


def divide(work: Path) -> None:
    split_parts(PreparedLog.open(work / "log"))


def fit(work: Path) -> None:
    log = LogInParts(PreparedLog.open(work / "log"))
    tokenizer = Tokenizer.fit_parts(log.parts, TokenizerConfig())
    (work / "tokenizer").mkdir()
    tokenizer.write(work / "tokenizer")


def encode(work: Path) -> None:
    log = LogInParts(PreparedLog.open(work / "log"))
    Material.write(Tokenizer.read(work / "tokenizer"), log.parts, work / "tokens", source=log.source)


STEPS: dict[str, Callable[[Path], None]] = {"start": nothing, "split": divide, "fit": fit, "encode": encode}

STAGES = ("simulate", "prepare", "split", "fit", "encode")


def command(stage: str, work: Path, events: int, memory: str) -> list[str]:
    palate = [sys.executable, "-c", "from palate.cli.main import main; main()"]
    if stage == "command":
        return [sys.executable, "-c", "import palate.cli.main"]
    if stage == "simulate":
        members = str(round(events / EVENTS_A_MEMBER))
        return [*palate, "data", "simulate", str(work / "data"), "--members", members, "--no-truth"]
    if stage == "prepare":
        return [*palate, "data", "prepare", str(work / "data"), "--out", str(work / "log"), "--memory", memory]
    return [sys.executable, __file__, "--work", str(work), "--step", stage]


def measured(stage: str, work: Path, events: int, memory: str) -> tuple[float, float, float]:
    """Run a stage: seconds, peak in MiB, MiB written."""
    before = size(work)
    start = time.perf_counter()
    child = subprocess.Popen(command(stage, work, events, memory), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{stage} failed")
    return seconds, usage.ru_maxrss / 1024, size(work) - before


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def bench(sizes: list[int], place: Path, memory: str, *, keep: bool) -> list[Row]:
    rows: list[Row] = []
    starts = {name: min(measured(name, place, 0, memory)[0] for _ in range(3)) for name in ("command", "start")}
    for wanted in sizes:
        work = place / f"size-{wanted}"
        work.mkdir(parents=True)
        events = wanted
        for stage in STAGES:
            seconds, peak, written = measured(stage, work, wanted, memory)
            seconds -= starts["start" if stage in STEPS else "command"]
            if stage == "simulate":
                events = pq.read_metadata(work / "data" / "events.parquet").num_rows
            smallest = next((row for row in rows if row.stage == stage), None)
            cost = 1.0 if smallest is None else seconds / events * smallest.events_per_second
            rows.append(Row(stage, events, seconds, events / seconds, peak, written, cost))
            print(show(rows[-1]), file=sys.stderr, flush=True)
        if not keep:
            shutil.rmtree(work)
    return rows


def show(row: Row) -> str:
    return (
        f"{row.stage:10}{row.events:>13,} events {row.seconds:>9.1f} s {row.events_per_second:>11,.0f} events/s "
        f"peak {row.peak_mib:>6,.0f} MiB  written {row.written_mib:>8,.0f} MiB  cost {row.cost:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for logs and results")
    parser.add_argument("--events", type=int, nargs="+", default=list(SIZES), help="about how many events")
    parser.add_argument("--memory", default="2GiB", help="of palate data prepare")
    parser.add_argument("--keep", action="store_true", help="leave logs and results where they are")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](options.work)
        return
    rows = bench(options.events, options.work, options.memory, keep=options.keep)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
