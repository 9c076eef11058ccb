"""The steps from tables to a dataset that are the same for a log in memory and for one in pieces."""

from __future__ import annotations

import polars as pl

from palate.data import repeated, validate
from palate.data.convert import convert_columns, number_facts, refuse_lost
from palate.data.infer import FIXED, infer_columns
from palate.data.report import Findings
from palate.data.schema import Kind, Schema
from palate.data.table import ROW, Table
from palate.errors import SchemaError
from palate.words import ITEM_ID, USER_ID


def described_ids(
    events: Table, items: Table | None, users: Table | None, findings: Findings
) -> tuple[Table | None, Table | None, dict[str, pl.DataType]]:
    """Items and users with one row an id, and the types that the ids of all tables have.

    ``events`` may be a piece of the log.
    """
    types = {name: events.frame.schema[name] for name in (USER_ID, ITEM_ID)}
    if items is not None:
        items = repeated.drop_repeated_ids(validate.check_ids(items, ITEM_ID, findings), ITEM_ID, findings)
        types[ITEM_ID] = validate.id_type(ITEM_ID, events, items, findings)
        items = items.with_columns(pl.col(ITEM_ID).cast(types[ITEM_ID]))
    if users is not None:
        users = repeated.drop_repeated_ids(validate.check_ids(users, USER_ID, findings), USER_ID, findings)
        types[USER_ID] = validate.id_type(USER_ID, events, users, findings)
        users = users.with_columns(pl.col(USER_ID).cast(types[USER_ID]))
    return items, users, types


def complete_columns(
    schema: Schema, sample: Table, items: Table | None, users: Table | None, findings: Findings
) -> Schema:
    """The schema with the columns that it leaves out; of the events a `palate.data.infer.spread` sample is enough."""
    changes: dict[str, object] = {}
    for table in (sample, items, users):
        if table is not None:
            known = schema.columns(table.name)
            changes[table.name] = {**known, **infer_columns(table, known, findings)}
    schema = schema.model_copy(update=changes)
    for name in schema.least_values:
        if name not in schema.events or schema.events[name].kind != Kind.NUMERIC:
            raise SchemaError(f"least_values.{name}: {sample.label} has no numbers there", hint="kind: numeric")
    return schema


def convert_whole(table: Table, schema: Schema, findings: Findings) -> Table:
    """A whole table with every column in its type."""
    if table.name == "events":
        for name in validate.OTHER_IDS:
            if name in table.frame.columns:
                table = validate.typed_ids(table, name)
    columns = schema.columns(table.name)
    table = validate.check_optional_columns(table, findings)
    table, left = convert_columns(table, columns, number_facts(table.frame, columns), findings)
    refuse_lost(table, columns, left, findings)
    return table


def finished(table: Table) -> pl.DataFrame:
    """The frame with the fixed columns first and without the source rows."""
    first = [name for name in FIXED[table.name] if name in table.frame.columns]
    return table.frame.select(*first, pl.exclude(*first, ROW))
