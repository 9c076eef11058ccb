"""The first look at all events: what decides the types of columns, the unit of time and what the schema leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Final

import polars as pl

from palate.data.forms import ColumnFacts, Form, cleaned, may_miss, shaped, survey, total, undecided
from palate.data.infer import FIXED, step
from palate.data.large.frames import read_frames, write_frames
from palate.data.large.journal import Journal, tuples
from palate.data.large.parallel import Progress, as_completed
from palate.data.large.source import Piece, Source
from palate.data.read import with_rows
from palate.data.report import Findings
from palate.data.schema import Schema
from palate.data.table import Table
from palate.data.times import MomentFacts, is_moment_type, moment_facts
from palate.data.validate import IdFacts, drop_null_ids, id_facts, is_id_type
from palate.words import EVENT_TYPE, IMPRESSIONS, ITEM_ID, ORDER, POSITION, TIMESTAMP, USER_ID

STAGE: Final = "looking at the events"
_ALWAYS: Final = (USER_ID, ITEM_ID, TIMESTAMP, POSITION, EVENT_TYPE, ORDER, IMPRESSIONS)


@dataclass(frozen=True)
class Surveyed:
    """What was found in all events."""

    facts: dict[str, ColumnFacts]
    missing: dict[str, int]
    """Texts of each column that stand for a missing value."""
    with_user: int
    kept: int
    """Events with both ids."""
    ids: Findings
    """Events without one."""
    moments: MomentFacts
    sample: pl.DataFrame
    """Cleaned rows, spread over the events with both ids, the first one among them."""


@dataclass(frozen=True)
class _PieceSurvey:
    facts: dict[str, ColumnFacts]
    missing: dict[str, int]
    with_user: int
    kept: int
    ids: Findings
    moments: MomentFacts
    sample: pl.DataFrame


def survey_events(source: Source, schema: Schema, journal: Journal, *, workers: int, progress: Progress) -> Surveyed:
    """Look at all events, unless that is done."""
    path = journal.folder / "sample.arrow"
    line = journal.get("survey")
    if line is None:
        columns = _needed(source, schema)
        pieces = source.pieces()
        found: dict[int, _PieceSurvey] = {}
        every = step(source.rows)
        progress(STAGE, 0, len(pieces))
        work = as_completed(lambda piece: _look(source, columns, piece, every), pieces, workers=workers)
        for piece, result in work:
            found[piece.number] = result
            progress(STAGE, len(found), len(pieces))
        looks = [found[piece.number] for piece in pieces]
        kept = [look.kept for look in looks]
        samples = [look.sample for look in looks]
        events = sum(kept)
        if 0 < events < source.rows:
            samples = _sample_again(source, columns, pieces, kept, workers=workers)
        write_frames([pl.concat(samples)], path)
        ids = Findings()
        ids.take([look.ids for look in looks], first_row=True)
        missing: dict[str, int] = {}
        for look in looks:
            for name, count in look.missing.items():
                missing[name] = missing.get(name, 0) + count
        line = {
            "facts": {name: asdict(facts) for name, facts in total(look.facts for look in looks).items()},
            "missing": missing,
            "with_user": sum(look.with_user for look in looks),
            "kept": events,
            "ids": ids.to_list(),
            "moments": asdict(reduce(add, (look.moments for look in looks), MomentFacts())),
        }
        journal.write("survey", line)
    return Surveyed(
        facts={name: ColumnFacts(**facts) for name, facts in line["facts"].items()},
        missing=line["missing"],
        with_user=line["with_user"],
        kept=line["kept"],
        ids=Findings.from_list(line["ids"]),
        moments=MomentFacts(**tuples(line["moments"])),
        sample=read_frames(path),
    )


def _needed(source: Source, schema: Schema) -> list[str]:
    """Columns about which something is to be found out; with a complete schema that is not all of them."""
    stated = {*schema.events, *FIXED["events"]}
    return [
        name
        for name, dtype in source.schema.items()
        if name in _ALWAYS or name not in stated or may_miss(dtype) or undecided(dtype, written=source.written)
    ]


def _look(source: Source, columns: Sequence[str], piece: Piece, every: int) -> _PieceSurvey:
    frame, missing = cleaned(source.read(piece, columns))
    facts = survey(frame, written=source.written)
    # The rows to sample as if no id were missing; else a second look finds the right ones.
    sample = frame.gather_every(every, offset=-piece.first % every)
    ids = Findings()
    few = [name for name in (USER_ID, ITEM_ID, TIMESTAMP) if name in frame.columns]
    events = Table("events", str(source.path), with_rows(frame.select(few), piece.first))
    events = drop_null_ids(events, USER_ID, ids)
    with_user = events.frame.height
    events = drop_null_ids(events, ITEM_ID, ids)
    moments = _moments(events.frame[TIMESTAMP]) if TIMESTAMP in few else MomentFacts()
    return _PieceSurvey(facts, missing, with_user, events.frame.height, ids, moments, sample)


def _sample_again(
    source: Source, columns: Sequence[str], pieces: Sequence[Piece], kept: Sequence[int], *, workers: int
) -> list[pl.DataFrame]:
    every = step(sum(kept))
    offsets = [end - rows for end, rows in zip(accumulate(kept), kept, strict=True)]

    def look(piece: Piece) -> pl.DataFrame:
        frame, _ = cleaned(source.read(piece, columns))
        frame = frame.filter(pl.col(USER_ID).is_not_null() & pl.col(ITEM_ID).is_not_null())
        return frame.gather_every(every, offset=-offsets[piece.number] % every)

    found = {piece.number: sample for piece, sample in as_completed(look, pieces, workers=workers)}
    return [found[piece.number] for piece in pieces]


def _moments(values: pl.Series) -> MomentFacts:
    if values.dtype == pl.UInt64:
        # They may turn out to be text.
        values = values.cast(pl.String)
    return moment_facts(values) if is_moment_type(values.dtype) else MomentFacts()


def faulty_ids(source: Source, decided: Mapping[str, Form], *, workers: int) -> dict[str, IdFacts]:
    """What is wrong with ids of members and items whose columns have another type than ids have."""
    columns = [USER_ID, ITEM_ID]
    few = {name: decided[name] for name in columns}

    def look(piece: Piece) -> tuple[IdFacts, IdFacts]:
        frame, _ = cleaned(source.read(piece, columns))
        events = Table("events", str(source.path), with_rows(shaped(frame, few), piece.first))
        user = id_facts(events, USER_ID)
        return user, id_facts(drop_null_ids(events, USER_ID, Findings()), ITEM_ID)

    empty = shaped(cleaned(pl.DataFrame(schema={name: source.schema[name] for name in columns}))[0], few)
    if all(is_id_type(dtype) for dtype in empty.schema.values()):
        return {}
    pieces = source.pieces()
    found = {piece.number: facts for piece, facts in as_completed(look, pieces, workers=workers)}
    total = IdFacts(), IdFacts()
    for piece in pieces:
        user, item = found[piece.number]
        total = total[0] + user, total[1] + item
    return dict(zip(columns, total, strict=True))
