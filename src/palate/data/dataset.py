"""A dataset: events, items and members, read, checked, repaired and in order."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data import clock, repeated, validate
from palate.data.behaviour import complete_behaviour
from palate.data.convert import convert_columns
from palate.data.fit import check_schema
from palate.data.infer import FIXED, infer_columns
from palate.data.order import sort_events
from palate.data.read import Tables, read_folder, read_frames
from palate.data.report import Findings, Report
from palate.data.rule import SplitRule
from palate.data.schema import Schema
from palate.data.table import ROW, Table
from palate.words import ITEM_ID, TIMESTAMP, USER_ID


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
        tables = read_folder(folder, findings, with_schema=schema is None)
        return cls._build(tables, schema, findings, strict=strict)

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
        return cls._build(read_frames(events, items, users, findings), schema, findings, strict=strict)

    @property
    def has_time(self) -> bool:
        """Whether events have a time; otherwise they only have positions."""
        return TIMESTAMP in self.events.columns

    @cached_property
    def member_starts(self) -> npt.NDArray[np.int64]:
        """Row of each member's first event, ``[members]``, ascending."""
        return np.flatnonzero(_changes(self.events[USER_ID]))

    def with_split(self, rule: SplitRule) -> Self:
        """The same data under another split rule."""
        return replace(self, schema=self.schema.model_copy(update={"split": rule}))

    @classmethod
    def _build(cls, tables: Tables, schema: Schema | None, findings: Findings, *, strict: bool) -> Self:
        source = tables.schema_source if schema is None else "schema given"
        schema = schema or tables.schema or Schema()
        rows_read = tables.events.frame.height
        events, items, users = _check_ids(tables, findings)
        check_schema(schema, [table for table in (events, items, users) if table is not None], source)
        schema = _complete_columns(schema, events, items, users, findings)

        time_unit = None
        if TIMESTAMP in events.frame.columns:
            events, time_unit = clock.check_time(events, schema, int(time.time() * 1000), findings)
        else:
            events = clock.check_position(events, findings)
        events = validate.check_event_type(events, schema, findings)
        events = _convert(events, schema, findings)
        items = None if items is None else _convert(items, schema, findings)
        users = None if users is None else _convert(users, schema, findings)

        frame, order_rule = sort_events(events.frame)
        events = repeated.drop_repeated_events(events.having(frame), schema, findings)
        repeated.check_references(events, items, users, findings)
        schema = complete_behaviour(schema, events, findings)
        if strict:
            findings.refuse(tables.source)
        report = Report(
            rows_read=rows_read,
            rows_kept=events.frame.height,
            order_rule=order_rule,
            time_unit=time_unit,
            schema_source=source,
            repairs=tuple(findings.repairs),
            notes=tuple(findings.notes),
        )
        return cls(
            _finished(events),
            None if items is None else _finished(items),
            None if users is None else _finished(users),
            schema,
            report,
        )


def _check_ids(tables: Tables, findings: Findings) -> tuple[Table, Table | None, Table | None]:
    events, items, users = tables.events, tables.items, tables.users
    for table in (events, items, users):
        if table is not None:
            validate.check_columns(table)
    events = validate.check_ids(events, USER_ID, findings)
    events = validate.check_ids(events, ITEM_ID, findings)
    if items is not None:
        items = repeated.drop_repeated_ids(validate.check_ids(items, ITEM_ID, findings), ITEM_ID, findings)
        events, items = validate.align_ids(ITEM_ID, events, items, findings)
    if users is not None:
        users = repeated.drop_repeated_ids(validate.check_ids(users, USER_ID, findings), USER_ID, findings)
        events, users = validate.align_ids(USER_ID, events, users, findings)
    return events, items, users


def _complete_columns(
    schema: Schema, events: Table, items: Table | None, users: Table | None, findings: Findings
) -> Schema:
    changes: dict[str, object] = {}
    for table in (events, items, users):
        if table is not None:
            known = schema.columns(table.name)
            changes[table.name] = {**known, **infer_columns(table, known, findings)}
    return schema.model_copy(update=changes)


def _convert(table: Table, schema: Schema, findings: Findings) -> Table:
    table = validate.check_optional_columns(table, findings)
    return convert_columns(table, schema.columns(table.name), findings)


def _finished(table: Table) -> pl.DataFrame:
    """The frame with the fixed columns first and without the source rows."""
    first = [name for name in FIXED[table.name] if name in table.frame.columns]
    return table.frame.select(*first, pl.exclude(*first, ROW))


def _changes(ids: pl.Series) -> npt.NDArray[np.bool_]:
    return (ids != ids.shift()).fill_null(True).to_numpy()
