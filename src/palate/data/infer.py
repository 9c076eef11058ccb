"""What each column probably is, where no schema says so.

Every event column becomes ``post_action``, the role that can't leak what was not yet known. The kinds follow from
type, name and values; the thresholds stand below and in docs/data.md.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from palate.data.report import Findings
from palate.data.schema import Column, Kind, Role
from palate.data.table import ROW, Table, TableName
from palate.data.times import text_dates
from palate.words import (
    AVAILABLE_UNTIL,
    EVENT_ID,
    EVENT_TYPE,
    EVENT_VALUE,
    IMPRESSIONS,
    ITEM_ID,
    LAUNCH_TIME,
    ORDER,
    POSITION,
    SESSION_ID,
    TIMESTAMP,
    USER_ID,
)

FIXED: Final[dict[TableName, tuple[str, ...]]] = {
    "events": (
        USER_ID,
        ITEM_ID,
        TIMESTAMP,
        POSITION,
        EVENT_TYPE,
        EVENT_ID,
        SESSION_ID,
        IMPRESSIONS,
        ORDER,
    ),
    "items": (ITEM_ID, LAUNCH_TIME, AVAILABLE_UNTIL),
    "users": (USER_ID,),
}
"""Columns with a meaning of their own, which no schema describes."""

USEFUL_ROLE: Final[dict[TableName, Role]] = {
    "events": Role.POST_ACTION,
    "items": Role.ITEM_METADATA,
    "users": Role.USER_ATTRIBUTE,
}

_FEW: Final = 32
"""Integers with at most this many distinct values are categories."""
_ENOUGH: Final = 20
"""Rows below which nothing is concluded from how often values repeat."""
_PARSED: Final = 0.95
"""Share of the values that must read as a date, or as a number, for the column to be one."""
_SAMPLE: Final = 200_000
"""Rows from which the form of text is judged, spread over the table."""

_DURATION: Final = re.compile(
    r"(^|_)(duration|secs?|seconds?|minutes?|hours|millis|milliseconds|watched|watchtime|played|playtime|listened|"
    r"dwell|elapsed|runtime|(watch|play|listen|dwell|view|reading)_?time)(_|$)"
)
_TIME_NAME: Final = re.compile(r"(^|_)(time|timestamp|date|datetime|at)($|_)")
_ID_NAME: Final = re.compile(r"(^|_)(id|uuid|guid|key)$")


def infer_columns(table: Table, known: dict[str, Column], findings: Findings) -> dict[str, Column]:
    """The columns of a table that ``known`` leaves out, in the table's order.

    A column that tells nothing (no values, one value a row) or that the model can't use where it stands is given
    the role ``ignore``, with a note that says why.
    """
    columns: dict[str, Column] = {}
    sample = table.frame
    if sample.height > _SAMPLE:
        sample = sample.gather_every(-(-sample.height // _SAMPLE))
    for name in table.frame.columns:
        if name in known or name in FIXED[table.name] or name == ROW:
            continue
        column, why = _infer(sample[name], table.name)
        columns[name] = column
        if why:
            findings.note(f"{table.source}: column {name} is ignored: {why}")
    return columns


def is_duration_name(name: str) -> bool:
    """Whether a column's name says that it holds a duration."""
    return bool(_DURATION.search(_snake(name)))


def _infer(values: pl.Series, table: TableName) -> tuple[Column, str | None]:
    kind, separator, why = _kind(values, table)
    role = Role.IGNORE if why else USEFUL_ROLE[table]
    if table == "events" and not why and kind in (Kind.TEXT, Kind.VECTOR, Kind.TIMESTAMP):
        role, why = Role.IGNORE, f"the model can't use a {kind} of events"
    duration = kind == Kind.NUMERIC and _is_duration(values)
    return Column(role=role, kind=kind, separator=separator or "|", duration=duration), why


def _kind(values: pl.Series, table: TableName) -> tuple[Kind, str | None, str | None]:
    """Kind, separator of several values, and why the column is of no use, if it isn't."""
    dtype = values.dtype
    filled = values.drop_nulls()
    if not len(filled):
        return Kind.CATEGORICAL, None, "it has no values"
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        assert isinstance(inner, pl.DataType)
        if inner.is_float():
            return Kind.VECTOR, None, None
        if isinstance(dtype, pl.Array) and inner.is_numeric():
            return Kind.VECTOR, None, None
        if inner.is_integer() or inner in (pl.String, pl.Boolean):
            return Kind.MULTI_CATEGORICAL, None, None
        return Kind.CATEGORICAL, None, f"values of type {dtype} can't be used"
    if dtype == pl.Boolean:
        return Kind.CATEGORICAL, None, None
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return Kind.TIMESTAMP, None, None
    if dtype.is_numeric():
        return _kind_of_numbers(filled)
    if dtype == pl.String:
        return _kind_of_text(filled, table)
    return Kind.CATEGORICAL, None, f"values of type {dtype} can't be used"


def _kind_of_numbers(filled: pl.Series) -> tuple[Kind, str | None, str | None]:
    name = _snake(filled.name)
    if name == EVENT_VALUE or is_duration_name(name):
        return Kind.NUMERIC, None, None
    distinct = filled.n_unique()
    if _ID_NAME.search(name):
        unique = distinct > 0.9 * len(filled) and len(filled) >= _ENOUGH
        return Kind.CATEGORICAL, None, "it has another value in each row, like an id" if unique else None
    if _TIME_NAME.search(name) and abs(float(filled.median() or 0)) > 1e8:  # type: ignore[arg-type]
        return Kind.TIMESTAMP, None, None
    if filled.dtype.is_integer() and distinct <= _FEW:
        return Kind.CATEGORICAL, None, None
    return Kind.NUMERIC, None, None


def _kind_of_text(filled: pl.Series, table: TableName) -> tuple[Kind, str | None, str | None]:
    if text_dates(filled).count() >= _PARSED * len(filled):
        return Kind.TIMESTAMP, None, None
    if _garbled_numbers(filled):
        return Kind.NUMERIC, None, None
    for separator, share in (("|", 0.05), (", ", 0.05)):
        if _several(filled, separator, share):
            return Kind.MULTI_CATEGORICAL, separator.strip(), None
    words = float((filled.str.count_matches(" ") + 1).mean())  # type: ignore[arg-type]
    distinct = filled.n_unique() / len(filled)
    if words > 8 or (words > 1.5 and distinct > 0.5 and len(filled) >= _ENOUGH):
        return Kind.TEXT, None, None
    if distinct > 0.9 and len(filled) >= _ENOUGH:
        return Kind.CATEGORICAL, None, "it has another value in each row, like an id"
    return Kind.CATEGORICAL, None, None


def _several(filled: pl.Series, separator: str, share: float) -> bool:
    """Whether cells hold several short values that come back in other cells."""
    several = filled.str.contains(separator, literal=True)
    if float(several.mean()) < share:  # type: ignore[arg-type]
        return False
    if separator == "|":
        return True
    parts = filled.filter(several).str.split(separator).explode()
    short = float(parts.str.len_chars().mean()) <= 30  # type: ignore[arg-type]
    every = filled.str.split(separator).explode()
    return short and len(filled) >= _ENOUGH and every.n_unique() < 0.7 * len(every)


def _garbled_numbers(filled: pl.Series) -> bool:
    """Whether nearly all values are numbers and the others hold no digit, so that they can't be codes."""
    if filled.str.contains(r"^[+-]?0\d").any():
        return False
    numbers = filled.str.strip_chars().cast(pl.Float64, strict=False)
    others = filled.filter(numbers.is_null())
    return 0 < len(others) <= (1 - _PARSED) * len(filled) and not others.str.contains(r"\d").any()


def _is_duration(values: pl.Series) -> bool:
    if is_duration_name(values.name):
        return True
    if _snake(values.name) != EVENT_VALUE or not values.dtype.is_numeric():
        return False
    # Seconds are rarely as few as the steps of a rating scale, and a rare negative one is a fault.
    return float(values.median() or 0) > 10 and float((values < 0).mean() or 0) < 0.05  # type: ignore[arg-type]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(" ", "_").lower()
