"""Whether a stated schema fits the tables: its columns exist, and their roles and kinds are possible there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final, get_args

from palate.data.infer import FIXED, UNUSABLE_IN_EVENTS
from palate.data.schema import Column, Role, Schema
from palate.data.table import ROW, Table, TableName
from palate.errors import SchemaError
from palate.words import EVENT_TYPE

POSSIBLE_ROLES: Final[dict[TableName, tuple[Role, ...]]] = {
    "events": (Role.REQUEST_TIME, Role.POST_ACTION, Role.IGNORE),
    "items": (Role.ITEM_METADATA, Role.IGNORE),
    "users": (Role.USER_ATTRIBUTE, Role.IGNORE),
}


def check_schema(schema: Schema, tables: Iterable[Table], source: str) -> None:
    """Raise a `SchemaError` that lists what in ``schema`` the tables contradict."""
    given = {table.name: table for table in tables}
    problems: list[str] = []
    for name in get_args(TableName):
        for column, described in schema.columns(name).items():
            problems += _problems(name, column, described, given.get(name))
    if EVENT_TYPE not in given["events"].frame.columns and (schema.target_event_types or schema.dropped_event_types):
        problems.append(f"it names event types, but {given['events'].source} has no column {EVENT_TYPE}")
    for name in schema.least_values:
        if name not in given["events"].frame.columns:
            near = nearest(name, [each for each in given["events"].frame.columns if each != ROW])
            problems.append(f"least_values.{name}: no such column of events; {near}")
    if problems:
        raise SchemaError(f"{source}: {listed(problems)}", hint="correct the schema, or leave the lines out")


def listed(problems: Sequence[str], most: int = 3) -> str:
    """The first problems, and how many more there are: whoever gave the wrong file needs no list of all columns."""
    more = len(problems) - most
    return "; ".join(problems[:most]) + (f"; and {more} more" if more > 0 else "")


def same_schema(given: Schema, wanted: Schema, source: object) -> Schema:
    """The schema ``wanted``, under which a log can be read that was prepared under ``given``: they differ in the split,
    in what counts as seen and in columns that ``wanted`` has no use for, at most. Raises `SchemaError` otherwise."""
    differing = [
        f"{table}.{name}"
        for table in get_args(TableName)
        for name, column in wanted.columns(table).items()
        if column.role != Role.IGNORE and given.columns(table).get(name) != column
    ]
    free = {"split", "seen_items", *get_args(TableName)}
    there, here = given.model_dump(exclude=free), wanted.model_dump(exclude=free)
    differing += [name for name in here if there[name] != here[name]]
    if differing:
        raise SchemaError(
            f"{source} was prepared under another schema than the run's, see {listed(differing)}",
            hint="put the run's schema.yaml into the data folder, and prepare it again",
        )
    return wanted


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that are most like ``name``, or the first ones, for a message."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"nearest: {', '.join(close)}"
    return f"there are {', '.join(known[:8])}" if known else "there are none"


def _problems(table: TableName, name: str, column: Column, given: Table | None) -> Iterable[str]:
    where = f"{table}.{name}"
    if column.role not in POSSIBLE_ROLES[table]:
        yield f"{where}: role {column.role} is not possible ({', '.join(POSSIBLE_ROLES[table])})"
    if name in FIXED[table]:
        yield f"{where}: this column has a meaning of its own and is not described"
        return
    if column.role == Role.IGNORE:
        return
    if table == "events" and column.kind in UNUSABLE_IN_EVENTS:
        yield f"{where}: a model can't use a {column.kind} of events yet (role: ignore)"
    if given is None:
        yield f"{where}: there is no table {table}"
    elif name not in given.frame.columns:
        yield f"{where}: no such column; {nearest(name, [each for each in given.frame.columns if each != ROW])}"
