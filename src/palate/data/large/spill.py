"""The second look at all events: each piece is checked, and its rows are put down by range of members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from palate.data import clock, validate
from palate.data.convert import NumberFacts, number_facts
from palate.data.forms import cleaned, shaped
from palate.data.large.decide import Decisions
from palate.data.large.frames import read_frames, write_frames
from palate.data.large.journal import Journal, Line, tuples
from palate.data.large.parallel import Progress, as_completed
from palate.data.large.source import Piece, Source
from palate.data.order import SourceOrder, sorted_by_item
from palate.data.read import with_rows
from palate.data.report import Findings
from palate.data.table import Table
from palate.data.validate import IdFacts
from palate.words import ITEM_ID, USER_ID

STAGE: Final = "checking the events"


@dataclass(frozen=True)
class Spilled:
    """What checking all events found."""

    order: Findings
    """Of time or position."""
    types: Findings
    """Of event types."""
    timed: int
    """Events with a time or position."""
    dropped: Counter[str]
    """Events of types that the schema drops."""
    kept: int
    numbers: dict[str, NumberFacts]
    ids: dict[str, IdFacts]
    """Of sessions and events."""
    by_item: bool
    """Whether the source is sorted by item."""


def boundaries(sample: pl.Series, partitions: int) -> pl.Series:
    """Ids that divide the members into ranges with about as many events each; a range begins with its boundary."""
    ordered = sample.sort()
    places = [len(ordered) * number // partitions for number in range(1, partitions)]
    return ordered[places].unique().sort()


def spill(
    source: Source, decisions: Decisions, limits: pl.Series, journal: Journal, *, workers: int, progress: Progress
) -> Spilled:
    """Check all pieces that are not yet done, and put their rows into one file each, a batch for each range."""
    pieces = source.pieces()
    done = journal.done("spill")
    waiting = [piece for piece in pieces if piece.number not in done]
    progress(STAGE, len(done), len(pieces))

    def work(piece: Piece) -> Line:
        return _spill(source, decisions, limits, piece, spill_path(journal, piece.number))

    for piece, result in as_completed(work, waiting, workers=workers):
        journal.write("spill", result, piece.number)
        progress(STAGE, len(journal.done("spill")), len(pieces))
    lines = [line for piece in pieces if (line := journal.get("spill", piece.number)) is not None]
    assert len(lines) == len(pieces), "every piece is done"
    return _together(lines, len(pieces), len(limits) + 1, journal)


def spill_path(journal: Journal, piece: int) -> Path:
    """The file with the checked rows of a piece."""
    return journal.folder / "spill" / f"{piece:05d}.arrow"


def checked_ids(frame: pl.DataFrame, decisions: Decisions, piece: Piece) -> Table:
    """The rows of a piece that have both ids, in the types that were decided."""
    frame, _ = cleaned(frame, within=decisions.missing)
    frame = shaped(frame, {name: decisions.forms[name] for name in frame.columns})
    table = Table("events", decisions.source, with_rows(frame, piece.first))
    for column in (USER_ID, ITEM_ID):
        table = validate.cast_ids(validate.drop_null_ids(table, column, Findings()), column)
    return table.with_columns(*(pl.col(name).cast(dtype) for name, dtype in decisions.id_types.items()))


def _spill(source: Source, decisions: Decisions, limits: pl.Series, piece: Piece, path: Path) -> Line:
    events = checked_ids(source.read(piece, decisions.columns), decisions, piece)
    order, types = Findings(), Findings()
    if decisions.reading is None:
        events = clock.check_position(events, order)
    else:
        events = clock.check_time(events, decisions.reading, decisions.now, order)
    timed = events.frame.height
    events, dropped = validate.check_event_type(events, decisions.schema, types)
    frame = events.frame
    source_order = SourceOrder.of(frame)
    line = {
        "order": order.to_list(),
        "types": types.to_list(),
        "timed": timed,
        "dropped": dropped,
        "kept": frame.height,
        "numbers": {
            name: asdict(facts) for name, facts in number_facts(frame, decisions.schema.columns("events")).items()
        },
        "ids": {name: asdict(validate.id_facts(events, name)) for name in validate.OTHER_IDS if name in frame.columns},
        "source_order": None if source_order is None else asdict(source_order),
    }
    # Ranges by a stable order, so that the rows of a range stay in the order of the source.
    number = limits.search_sorted(frame[USER_ID], side="right").to_numpy().astype(np.uint16)
    frame = frame[np.argsort(number, kind="stable")]
    ends = np.cumsum(np.bincount(number, minlength=len(limits) + 1)).tolist()
    write_frames((frame[first:end] for first, end in pairwise((0, *ends))), path)
    return line


def _together(lines: Sequence[Line], pieces: int, ranges: int, journal: Journal) -> Spilled:
    order, types = Findings(), Findings()
    order.take([Findings.from_list(line["order"]) for line in lines], first_row=True)
    types.take([Findings.from_list(line["types"]) for line in lines], first_row=True)
    dropped: Counter[str] = Counter()
    for line in lines:
        dropped.update(line["dropped"])
    orders = [SourceOrder(**tuples(line["source_order"])) for line in lines if line["source_order"] is not None]

    def distinct_members() -> int:
        return sum(
            pl.concat([read_frames(spill_path(journal, piece), [number], [USER_ID]) for piece in range(pieces)])[
                USER_ID
            ].n_unique()
            for number in range(ranges)
        )

    return Spilled(
        order=order,
        types=types,
        timed=sum(line["timed"] for line in lines),
        dropped=dropped,
        kept=sum(line["kept"] for line in lines),
        numbers={
            name: reduce(add, (NumberFacts(**line["numbers"][name]) for line in lines)) for name in lines[0]["numbers"]
        },
        ids={name: reduce(add, (IdFacts(**line["ids"][name]) for line in lines)) for name in lines[0]["ids"]},
        by_item=sorted_by_item(orders, distinct_members),
    )
