"""The split of a prepared log, part by part: the same as that of the whole log in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from palate.data.dataset import Dataset
from palate.data.large.parallel import Progress, no_progress
from palate.data.large.prepared import PreparedLog
from palate.data.rule import SplitRule
from palate.data.split import (
    Split,
    check_has_time,
    check_leave_one_out,
    check_temporal,
    cut_ranks,
    leave_one_out_part,
    temporal_part,
)
from palate.words import TIMESTAMP

STAGE: Final = "dividing the events"
_BINS: Final = 1 << 20

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PartedSplit:
    """How a prepared log is divided."""

    rule: SplitRule
    cuts: tuple[int, int] | None
    """Temporal: the two moments in milliseconds."""
    members_without_test: int = 0
    """Leave-one-out: members with fewer than three targets, who are wholly training."""

    def of(self, part: Dataset) -> Split:
        """The split of the events of whole members."""
        if self.rule.kind == "none":
            rows = np.zeros(part.events.height, np.int8)
        elif self.cuts is not None:
            rows = temporal_part(part.events[TIMESTAMP].to_numpy(), self.cuts)
        else:
            rows, _ = leave_one_out_part(part)
        return Split(self.rule, rows, self.cuts, self.members_without_test)


def split_parts(prepared: PreparedLog, rule: SplitRule | None = None, progress: Progress = no_progress) -> PartedSplit:
    """Divide a prepared log by ``rule``, or by the schema's; errors as `palate.data.split`."""
    rule = rule or prepared.schema.split
    if rule.kind == "none":
        return PartedSplit(rule, None)
    if rule.kind == "leave_one_out":
        short = 0
        for done, dataset in enumerate(prepared.parts()):
            progress(STAGE, done, len(prepared.log_parts))
            short += leave_one_out_part(dataset)[1]
        check_leave_one_out(prepared.members, short)
        return PartedSplit(rule, None, short)
    check_has_time(prepared.has_time)

    def times() -> Iterator[Times]:
        for done, part in enumerate(prepared.log_parts):
            progress(STAGE, done, len(prepared.log_parts))
            yield prepared.column(part, TIMESTAMP).to_numpy()

    first = min(part.first_time for part in prepared.log_parts if part.first_time is not None)
    last = max(part.last_time for part in prepared.log_parts if part.last_time is not None)
    found = select(times, cut_ranks(rule, prepared.events), first, last, prepared.events)
    below = [smaller for _, smaller in found]
    check_temporal(rule, np.array([below[0], below[1] - below[0], prepared.events - below[1]]))
    return PartedSplit(rule, (found[0][0], found[1][0]))


def divided_parts(prepared: PreparedLog, divided: PartedSplit) -> Iterator[tuple[Dataset, Split]]:
    """Part after part with its split."""
    for dataset in prepared.parts():
        yield dataset, divided.of(dataset)


def select(
    values: Callable[[], Iterable[Times]], ranks: Sequence[int], first: int, last: int, count: int
) -> list[tuple[int, int]]:
    """The values with these ranks from 0 among all, and how many are smaller; ``count`` means one past the largest.

    ``values`` gives all of them, ``first`` to ``last``, in pieces, as often as it is asked: each time the range in
    which a value must lie becomes a million times smaller.
    """
    ranges = [(first, last + 1) if rank < count else (last + 1, last + 2) for rank in ranks]
    smaller = [0 if rank < count else count for rank in ranks]
    while any(end - begin > 1 for begin, end in ranges):
        widths = [-(-(end - begin) // _BINS) for begin, end in ranges]
        bins = [np.zeros(_BINS, np.int64) for _ in ranks]
        for piece in values():
            for number, ((begin, end), width) in enumerate(zip(ranges, widths, strict=True)):
                inside = piece[(piece >= begin) & (piece < end)]
                bins[number] += np.bincount((inside - begin) // width, minlength=_BINS)
        for number, ((begin, end), width, held) in enumerate(zip(ranges, widths, bins, strict=True)):
            if end - begin > 1:
                ends = np.cumsum(held)
                place = int(np.searchsorted(ends, ranks[number] - smaller[number], side="right"))
                smaller[number] += int(ends[place] - held[place])
                ranges[number] = (begin + place * width, min(begin + (place + 1) * width, end))
    return [(begin, below) for (begin, _), below in zip(ranges, smaller, strict=True)]
