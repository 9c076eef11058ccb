"""Each range of members by itself: its events converted, sorted and without those that say the same twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from palate.data import repeated
from palate.data.behaviour import BehaviourFacts
from palate.data.building import finished
from palate.data.convert import convert_columns
from palate.data.hashing import stable_hash
from palate.data.large.decide import Decisions
from palate.data.large.frames import read_frames, sliced, write_frames
from palate.data.large.journal import Journal, Line
from palate.data.large.parallel import Progress, as_completed
from palate.data.large.spill import Spilled, spill_path
from palate.data.order import sort_events
from palate.data.report import Fault, Findings
from palate.data.table import Table
from palate.data.validate import check_optional_columns, drop_low_values
from palate.words import EVENT_ID, ITEM_ID, TIMESTAMP

STAGE: Final = "sorting the events"
IDS_STAGE: Final = "comparing event ids"
SETTLE_STAGE: Final = "dropping repeated event ids"
_BATCH: Final = 1 << 16
"""Rows of a record batch of sorted events."""
FIRST_TIME: Final = "first_time"
_RANGE: Final = "range"
_PLACE: Final = "place"


@dataclass(frozen=True)
class Sorted:
    """What sorting all events found."""

    converted: Findings
    left: Counter[str]
    """Values of each described column that could be read."""
    low: Counter[str]
    """Events left out for a number below the schema's least, by column."""
    repeats: Findings
    behaviour: BehaviourFacts
    items: pl.DataFrame
    """``item_id``, ``events`` and ``first_time`` (null for positions) of all items with events, ascending by id."""
    rows: tuple[int, ...]
    """Events of each range."""


@dataclass(frozen=True)
class _Work:
    decisions: Decisions
    spilled: Spilled
    items: Table | None
    users: Table | None
    journal: Journal
    pieces: int
    ranges: int
    workers: int
    progress: Progress


def sort_ranges(
    decisions: Decisions,
    spilled: Spilled,
    items: Table | None,
    users: Table | None,
    journal: Journal,
    *,
    pieces: int,
    ranges: int,
    workers: int,
    progress: Progress,
) -> Sorted:
    """Sort the events of every range that is not yet done; ``items`` and ``users`` have the types of their kinds."""
    work = _Work(decisions, spilled, items, users, journal, pieces, ranges, workers, progress)
    _each(work, STAGE, "sort", ranges, lambda number: _sort(work, number))
    if EVENT_ID in decisions.columns:
        _each(work, IDS_STAGE, "ids", ranges, lambda number: _compare_ids(work, number))
        _each(work, SETTLE_STAGE, "settle", ranges, lambda number: _drop_repeated_ids(work, number))
    return _together(work)


def sorted_path(journal: Journal, number: int, *, settled: bool) -> Path:
    """The file with the sorted events of a range; ``settled``: without repeated event ids."""
    return journal.folder / ("settled" if settled else "sorted") / f"{number:05d}.arrow"


def _each(work: _Work, stage: str, name: str, total: int, do: Callable[[int], Line]) -> None:
    done = work.journal.done(name)
    work.progress(stage, len(done), total)
    waiting = [number for number in range(total) if number not in done]
    for number, line in as_completed(do, waiting, workers=work.workers):
        work.journal.write(name, line, number)
        work.progress(stage, len(work.journal.done(name)), total)


def _sort(work: _Work, number: int) -> Line:
    decisions, journal = work.decisions, work.journal
    frame = pl.concat([read_frames(spill_path(journal, piece), [number]) for piece in range(work.pieces)])
    events = Table("events", decisions.source, frame)
    converted, repeats = Findings(), Findings()
    events = check_optional_columns(events, converted)
    columns = decisions.schema.columns("events")
    events, left = convert_columns(events, columns, work.spilled.numbers, converted)
    events, low = drop_low_values(events, decisions.schema)
    events = events.having(sort_events(events.frame, by_hash=work.spilled.by_item))
    events = repeated.drop_exact_duplicates(events, decisions.schema, repeats)
    line: Line = {"converted": converted.to_list(), "left": left, "low": low}
    if EVENT_ID not in decisions.columns:
        return line | _settle(work, events, repeats, number, settled=False)
    # Which of equal ids is the first is known only when all ranges are sorted.
    write_frames(sliced(events.frame, _BATCH), sorted_path(journal, number, settled=False))
    ids = events.frame.select(EVENT_ID).with_row_index(_PLACE).filter(pl.col(EVENT_ID).is_not_null())
    bucket = (stable_hash(ids[EVENT_ID]) % np.uint64(work.ranges)).astype(np.uint16)
    write_frames((ids.filter(pl.Series(bucket == each)) for each in range(work.ranges)), _ids_path(journal, number))
    return line | {"repeats": repeats.to_list()}


def _compare_ids(work: _Work, bucket: int) -> Line:
    """Event ids whose hash falls into one bucket, over all ranges: the places of those that come again."""
    ids = pl.concat(
        read_frames(_ids_path(work.journal, number), [bucket]).with_columns(
            pl.lit(number, dtype=pl.UInt32).alias(_RANGE)
        )
        for number in range(work.ranges)
    )
    again = ids.filter(repeated.repeated_event_ids(ids[EVENT_ID])).select(_RANGE, _PLACE)
    write_frames([again], _again_path(work.journal, bucket))
    return {}


def _drop_repeated_ids(work: _Work, number: int) -> Line:
    events = Table("events", work.decisions.source, read_frames(sorted_path(work.journal, number, settled=False)))
    again = pl.concat(
        read_frames(_again_path(work.journal, bucket)).filter(pl.col(_RANGE) == number) for bucket in range(work.ranges)
    )
    marks = np.zeros(events.frame.height, np.bool_)
    marks[again[_PLACE].to_numpy()] = True
    repeats = Findings()
    events = repeated.drop_repeated_event_ids(events, pl.Series(marks), repeats)
    return _settle(work, events, repeats, number, settled=True)


def _settle(work: _Work, events: Table, repeats: Findings, number: int, *, settled: bool) -> Line:
    """Look at the events that stay, and write them."""
    repeated.record_tied_positions(events, repeats)
    unknown: dict[str, list[object]] = {}
    for table in (work.items, work.users):
        if table is not None:
            unknown[table.name] = repeated.record_unknown(events, table, repeats).to_list()
    if work.items is not None:
        repeated.record_early(events, work.items, repeats)
    behaviour = BehaviourFacts.of(events.frame, work.decisions.schema, None if work.items is None else work.items.frame)
    frame = finished(events)
    first = pl.col(TIMESTAMP).min() if TIMESTAMP in frame.columns else pl.lit(None, dtype=pl.Int64)
    items = frame.group_by(ITEM_ID).agg(pl.len().cast(pl.Int64).alias("events"), first.alias(FIRST_TIME))
    write_frames([items.sort(ITEM_ID)], _items_path(work.journal, number))
    write_frames(sliced(frame, _BATCH), sorted_path(work.journal, number, settled=settled))
    return {
        "settled" if settled else "repeats": repeats.to_list(),
        "unknown_items": unknown.get("items", []),
        "unknown_users": len(unknown.get("users", [])),
        "events": behaviour.events,
        "repeated": behaviour.repeats,
        "continuing": behaviour.continuing,
        "typed": behaviour.typed,
        "rows": frame.height,
    }


def _together(work: _Work) -> Sorted:
    journal = work.journal
    settled = EVENT_ID in work.decisions.columns
    lines = [_line(journal, "sort", number) for number in range(work.ranges)]
    ends = [_line(journal, "settle", number) for number in range(work.ranges)] if settled else lines
    converted, repeats = Findings(), Findings()
    converted.take([Findings.from_list(line["converted"]) for line in lines], first_row=True)
    repeats.take([Findings.from_list(line["repeats"]) for line in lines], first_row=False)
    if settled:
        repeats.take([Findings.from_list(line["settled"]) for line in ends], first_row=False)
    left: Counter[str] = Counter()
    low: Counter[str] = Counter()
    for line in lines:
        left.update(line["left"])
        low.update(line["low"])
    unknown: set[object] = set()
    for line in ends:
        unknown.update(line["unknown_items"])
    repeats.tell(Fault.UNKNOWN_ITEM, len(unknown))
    repeats.tell(Fault.UNKNOWN_MEMBER, sum(line["unknown_users"] for line in ends))
    behaviour = [
        BehaviourFacts(Counter(line["events"]), Counter(line["repeated"]), Counter(line["continuing"]), line["typed"])
        for line in ends
    ]
    items = pl.concat([read_frames(_items_path(journal, number)) for number in range(work.ranges)])
    items = items.group_by(ITEM_ID).agg(pl.col("events").sum(), pl.col(FIRST_TIME).min()).sort(ITEM_ID)
    return Sorted(
        converted=converted,
        left=left,
        low=low,
        repeats=repeats,
        behaviour=reduce(add, behaviour),
        items=items,
        rows=tuple(line["rows"] for line in ends),
    )


def _line(journal: Journal, stage: str, number: int) -> Line:
    line = journal.get(stage, number)
    assert line is not None, "every range is done"
    return line


def _ids_path(journal: Journal, number: int) -> Path:
    return journal.folder / "ids" / f"{number:05d}.arrow"


def _again_path(journal: Journal, bucket: int) -> Path:
    return journal.folder / "again" / f"{bucket:05d}.arrow"


def _items_path(journal: Journal, number: int) -> Path:
    return journal.folder / "items" / f"{number:05d}.arrow"
