"""The last stage: sorted ranges cut into parts by a rule that knows nothing of ranges, and written as Parquet.

A member belongs to the part whose number is the row of the member's first event, counted from the beginning of the
log, divided by the rows of a part. So a part holds whole members, and is the same however the log was worked on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from palate.data.large.frames import batch_rows, read_frames, regular
from palate.data.large.journal import Journal, Line, whole_file
from palate.data.large.parallel import Progress, as_completed
from palate.data.large.sort import sorted_path
from palate.files import sha256
from palate.words import TIMESTAMP, USER_ID

STAGE: Final = "writing the parts"
_ROW_GROUP: Final = 1 << 17


@dataclass(frozen=True)
class _Slice:
    """Rows of a range."""

    range: int
    first: int
    rows: int


@dataclass(frozen=True)
class _Plan:
    """A part: where its rows come from."""

    number: int
    first: int
    """Row of its first event, from the beginning of the log."""
    slices: tuple[_Slice, ...]


def write_parts(
    journal: Journal,
    rows: Sequence[int],
    *,
    settled: bool,
    part_rows: int,
    target: Path,
    workers: int,
    progress: Progress,
) -> list[Line]:
    """Write all parts that are not yet done, and describe them; ``rows`` are those of each range."""
    plans = _plans(journal, rows, settled=settled, part_rows=part_rows)
    done = journal.done("part")
    progress(STAGE, len(done), len(plans))
    waiting = [plan for plan in plans if plan.number not in done]
    for plan, result in as_completed(lambda plan: _write(journal, plan, settled, target), waiting, workers=workers):
        journal.write("part", result, plan.number)
        progress(STAGE, len(journal.done("part")), len(plans))
    lines = [line for plan in plans if (line := journal.get("part", plan.number)) is not None]
    assert len(lines) == len(plans), "every part is done"
    return lines


def write_parquet(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """A Parquet file of frames end to end, at least one; it appears whole, and its bytes depend on the rows alone."""
    with whole_file(path) as partial:
        writer = None
        for frame in regular(frames, _ROW_GROUP):
            table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = pq.ParquetWriter(partial, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=_ROW_GROUP)
        assert writer is not None, "at least one frame"
        writer.close()


def _plans(journal: Journal, rows: Sequence[int], *, settled: bool, part_rows: int) -> list[_Plan]:
    cuts: list[tuple[int, int, int, int]] = []
    for number, (first, count) in enumerate(zip(accumulate(rows, initial=0), rows, strict=False)):
        if not count:
            continue
        users = read_frames(sorted_path(journal, number, settled=settled), columns=[USER_ID])[USER_ID]
        starts = np.flatnonzero((users != users.shift()).fill_null(True).to_numpy())
        part = (starts + first) // part_rows
        begins = np.flatnonzero(np.diff(part, prepend=-1))
        places = [*starts[begins].tolist(), count]
        cuts += [
            (int(part[begin]), number, place, end - place)
            for begin, (place, end) in zip(begins, pairwise(places), strict=True)
        ]
    slices: dict[int, list[_Slice]] = {}
    for name, number, place, length in cuts:
        slices.setdefault(name, []).append(_Slice(number, place, length))
    plans: list[_Plan] = []
    first = 0
    for number, each in enumerate(slices.values()):
        plans.append(_Plan(number, first, tuple(each)))
        first += sum(piece.rows for piece in each)
    return plans


def _write(journal: Journal, plan: _Plan, settled: bool, target: Path) -> Line:
    name = f"events/part-{plan.number:05d}.parquet"
    seen = _Seen()
    frames = (
        frame for each in plan.slices for frame in _frames(sorted_path(journal, each.range, settled=settled), each)
    )
    write_parquet(map(seen.look, frames), target / name)
    line: dict[str, Any] = {
        "file": name,
        "first_row": plan.first,
        "rows": sum(each.rows for each in plan.slices),
        "members": seen.members,
        "first_member": seen.first_member,
        "last_member": seen.last_member,
        "sha256": sha256(target / name),
    }
    if seen.first_times:
        line |= {"first_time": min(seen.first_times), "last_time": max(seen.last_times)}
    return line


class _Seen:
    """What has to be known of the events of a part."""

    def __init__(self) -> None:
        self.members = 0
        self.first_member: int | str | None = None
        self.last_member: int | str | None = None
        self.first_times: list[int] = []
        self.last_times: list[int] = []

    def look(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Look at the next events, which are given back."""
        users = frame[USER_ID]
        self.members += users.n_unique() - (users[0] == self.last_member)
        self.first_member = users[0] if self.first_member is None else self.first_member
        self.last_member = users[-1]
        if TIMESTAMP in frame.columns:
            times = frame[TIMESTAMP].to_numpy()
            self.first_times.append(int(times.min()))
            self.last_times.append(int(times.max()))
        return frame


def _frames(path: Path, wanted: _Slice) -> Iterator[pl.DataFrame]:
    """The wanted rows, batch by batch."""
    begin = 0
    for number, rows in enumerate(batch_rows(path)):
        first, end = max(wanted.first, begin), min(wanted.first + wanted.rows, begin + rows)
        if first < end:
            yield read_frames(path, [number]).slice(first - begin, end - first)
        begin += rows
