"""A dataset: events, items and members, read, checked, repaired and in order."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data import clock, repeated, validate
from palate.data.behaviour import BehaviourFacts, complete_behaviour
from palate.data.building import complete_columns, convert_whole, described_ids, finished
from palate.data.fit import check_schema
from palate.data.infer import spread
from palate.data.order import SourceOrder, order_rule, sort_events, sorted_by_item
from palate.data.read import Tables, read_folder, read_frames
from palate.data.report import Fault, Findings, Report
from palate.data.rule import SplitRule
from palate.data.schema import Schema
from palate.data.table import Table
from palate.data.times import moment_facts
from palate.words import EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID

_HASHED_ROWS: Final = 1 << 20


@dataclass(frozen=True, eq=False)
class Dataset:
    """Checked tables, their schema, and the report of what reading found.

    ``events`` come member by member in ascending external id, each member's in the order in which it acted. Columns:
    ``user_id``, ``item_id`` (Int64 or String), ``timestamp`` (Int64 milliseconds since the epoch, UTC) or
    ``position`` (Int64), ``event_type`` where there is one (String), and all others, in the type of their kind.
    ``items`` and ``users`` have one row an id, in the order of the source.
    """

    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    schema: Schema
    report: Report

    @classmethod
    def from_folder(cls, folder: Path | str, *, schema: Schema | None = None, strict: bool = False) -> Self:
        """Read a data folder; ``schema`` takes the place of its schema.yaml.

        Raises a `DataError` that names file and column for what can't be repaired, a `SchemaError` for a schema that
        doesn't fit, and with ``strict`` a `StrictError` that lists every repair.
        """
        findings = Findings()
        return cls._build(read_folder(folder, findings, schema), findings, strict=strict)

    @classmethod
    def from_frames(
        cls,
        events: object,
        items: object = None,
        users: object = None,
        *,
        schema: Schema | None = None,
        strict: bool = False,
    ) -> Self:
        """Take Polars (also lazy), pandas or Arrow frames; errors as in `from_folder`."""
        findings = Findings()
        return cls._build(read_frames(events, items, users, findings, schema), findings, strict=strict)

    @property
    def has_time(self) -> bool:
        """Whether events have a time; otherwise they only have positions."""
        return TIMESTAMP in self.events.columns

    @cached_property
    def member_starts(self) -> npt.NDArray[np.int64]:
        """Row of each member's first event, ``[members]``, ascending."""
        return np.flatnonzero(_changes(self.events[USER_ID]))

    def digest(self) -> str:
        """A hash of the tables and of what the schema says of them; the same with the same version of Polars."""
        digest = hashlib.sha256(f"{pl.__version__} {self.schema.to_yaml()}".encode())
        for table in (self.events, self.items, self.users):
            if table is not None:
                digest.update(repr(table.schema).encode())
                for start in range(0, table.height, _HASHED_ROWS):
                    rows = table[start : start + _HASHED_ROWS]
                    digest.update(rows.hash_rows(seed=0).to_numpy().data)
        return digest.hexdigest()

    def with_split(self, rule: SplitRule) -> Self:
        """The same data under another split rule."""
        return replace(self, schema=self.schema.model_copy(update={"split": rule}))

    @classmethod
    def _build(cls, tables: Tables, findings: Findings, *, strict: bool) -> Self:
        source = tables.schema_source
        schema = tables.schema or Schema()
        events, items, users = tables.events, tables.items, tables.users
        given = [table for table in (events, items, users) if table is not None]
        rows_read = events.frame.height
        for table in given:
            validate.check_columns(table)
        events = validate.check_ids(events, USER_ID, findings)
        events = validate.check_ids(events, ITEM_ID, findings)
        items, users, types = described_ids(events, items, users, findings)
        events = events.with_columns(*(pl.col(name).cast(dtype) for name, dtype in types.items()))
        check_schema(schema, given, source)
        sample = spread(events)
        schema = complete_columns(schema, sample, items, users, findings)
        validate.check_types(sample)

        events, time_unit = _in_time(events, sample, schema, findings)
        events, dropped = validate.check_event_type(events, schema, findings)
        validate.note_dropped_types(events.label, schema, dropped, findings)
        events = convert_whole(findings.some_left(events), schema, findings)
        items = None if items is None else convert_whole(items, schema, findings)
        users = None if users is None else convert_whole(users, schema, findings)

        order = SourceOrder.of(events.frame)
        by_hash = sorted_by_item([order] if order else [], events.frame[USER_ID].n_unique)
        events, low = validate.drop_low_values(events, schema)
        validate.note_low_values(events.label, schema, low, findings)
        events = findings.some_left(events)
        events = events.having(sort_events(events.frame, by_hash=by_hash))
        events = repeated.drop_exact_duplicates(events, schema, findings)
        if EVENT_ID in events.frame.columns:
            again = repeated.repeated_event_ids(events.frame[EVENT_ID])
            events = repeated.drop_repeated_event_ids(events, again, findings)
        repeated.record_tied_positions(events, findings)
        for described, fault in ((items, Fault.UNKNOWN_ITEM), (users, Fault.UNKNOWN_MEMBER)):
            if described is not None:
                findings.tell(fault, len(repeated.record_unknown(events, described, findings)))
        if items is not None:
            repeated.record_early(events, items, findings)
        behaviour = BehaviourFacts.of(events.frame, schema, None if items is None else items.frame)
        schema = complete_behaviour(schema, behaviour, has_time=time_unit is not None, findings=findings)
        if strict:
            findings.refuse(tables.source)
        report = Report(
            rows_read=rows_read,
            rows_kept=events.frame.height,
            order_rule=order_rule(events.frame.columns, by_hash=by_hash),
            time_unit=time_unit,
            schema_source=source,
            repairs=findings.repairs,
            notes=tuple(findings.notes),
        )
        return cls(
            finished(events),
            None if items is None else finished(items),
            None if users is None else finished(users),
            schema,
            report,
        )


def _in_time(events: Table, sample: Table, schema: Schema, findings: Findings) -> tuple[Table, str | None]:
    """Events with a readable time or position, and how the time was read."""
    if TIMESTAMP not in events.frame.columns:
        return findings.some_left(clock.check_position(events, findings)), None
    values = events.frame[TIMESTAMP]
    how = clock.time_reading(values.dtype, moment_facts(values), schema)
    kept = clock.check_time(events, how, int(time.time() * 1000), findings)
    clock.refuse_unread(sample, len(values), findings)
    return findings.some_left(kept), how.read_as


def _changes(ids: pl.Series) -> npt.NDArray[np.bool_]:
    return (ids != ids.shift()).fill_null(True).to_numpy()
