"""What holds for all events, decided from the first look and the small tables."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from palate.data import clock, validate
from palate.data.building import complete_columns, convert_whole, described_ids
from palate.data.fit import check_schema
from palate.data.forms import Form, cleaned, forms, shaped
from palate.data.large.source import Source
from palate.data.large.survey import Surveyed
from palate.data.read import note_missing, refuse_empty
from palate.data.report import Fault, Findings
from palate.data.schema import Schema
from palate.data.table import ROW, Table
from palate.data.times import Reading
from palate.data.validate import IdFacts
from palate.words import ITEM_ID, TIMESTAMP, USER_ID


@dataclass(frozen=True)
class Decisions:
    """How every event is read and checked."""

    source: str
    columns: tuple[str, ...]
    """Of the source, in its order."""
    missing: frozenset[str]
    """Columns with texts that stand for a missing value."""
    forms: dict[str, Form]
    id_types: dict[str, pl.DataType]
    schema: Schema
    """With all columns described; what follows from behaviour is still open."""
    reading: Reading | None
    """Of the time; None for positions."""
    now: int
    other_ids: dict[str, pl.DataType]
    """Types of the ids of sessions and events in the source, where they have some."""
    sample: Table
    """Rows spread over the events, the first one among them, in the types that were decided."""
    items: Table | None
    users: Table | None


def note_source(source: Source, surveyed: Surveyed, findings: Findings) -> None:
    """Say what reading the events file found; a file without rows is an `EmptyTableError`."""
    refuse_empty("events", str(source.path), source.rows)
    note_missing(source.path.name, source.schema, surveyed.missing, findings)
    if source.written:
        count, example = source.malformed
        findings.add(Fault.MALFORMED_ROW, _table(source, pl.DataFrame()), None, count, example, "dropped")


def decide(
    source: Source,
    surveyed: Surveyed,
    ids: dict[str, IdFacts],
    schema: Schema,
    schema_source: str,
    items: Table | None,
    users: Table | None,
    now: int,
    findings: Findings,
) -> Decisions:
    """Decide, or raise the error that reading the log in memory would raise."""
    decided = event_forms(source, surveyed)
    sample = _table(source, shaped(surveyed.sample, {name: decided[name] for name in surveyed.sample.columns}))
    findings.take([surveyed.ids], first_row=True)
    for column, rows in ((USER_ID, surveyed.with_user), (ITEM_ID, surveyed.kept)):
        validate.refuse_ids(sample.source, column, sample.frame.schema[column], ids.get(column, IdFacts()))
        findings.expect_rows(sample, rows)
        sample = validate.cast_ids(sample, column)
    empty = _table(source, pl.DataFrame(schema=source.schema))
    given = [table for table in (empty, items, users) if table is not None]
    items, users, id_types = described_ids(sample, items, users, findings)
    sample = sample.with_columns(*(pl.col(name).cast(dtype) for name, dtype in id_types.items()))
    check_schema(schema, given, schema_source)
    schema = complete_columns(schema, sample, items, users, findings)
    validate.check_types(sample)
    reading = None
    if TIMESTAMP in sample.frame.columns:
        reading = clock.time_reading(sample.frame.schema[TIMESTAMP], surveyed.moments, schema)
    return Decisions(
        source=sample.source,
        columns=tuple(source.schema),
        missing=frozenset(surveyed.missing),
        forms=decided,
        id_types=id_types,
        schema=schema,
        reading=reading,
        now=now,
        other_ids=_other_ids(source, decided),
        sample=sample,
        items=items,
        users=users,
    )


def event_forms(source: Source, surveyed: Surveyed) -> dict[str, Form]:
    """The form of each column of the events."""
    return {name: forms({name: dtype}, surveyed.facts)[name] for name, dtype in _clean_schema(source).items()}


def convert_described(decisions: Decisions, findings: Findings) -> tuple[Table | None, Table | None]:
    """Items and users in the types of their kinds."""
    items, users = decisions.items, decisions.users
    return (
        None if items is None else convert_whole(items, decisions.schema, findings),
        None if users is None else convert_whole(users, decisions.schema, findings),
    )


def _clean_schema(source: Source) -> dict[str, pl.DataType]:
    return dict(cleaned(pl.DataFrame(schema=source.schema))[0].schema)


def _other_ids(source: Source, decided: dict[str, Form]) -> dict[str, pl.DataType]:
    names = [name for name in validate.OTHER_IDS if name in source.schema]
    empty = cleaned(pl.DataFrame(schema={name: source.schema[name] for name in names}))[0]
    return dict(shaped(empty, {name: decided[name] for name in names}).schema)


def _table(source: Source, frame: pl.DataFrame) -> Table:
    return Table("events", str(source.path), frame if ROW in frame.columns else frame.with_columns(_no_row()))


def _no_row() -> pl.Expr:
    return pl.lit(0, dtype=pl.Int64).alias(ROW)
