"""What each column probably is, where no schema says so.

Every event column becomes ``post_action``, the role that can't leak what was not yet known. The kinds follow from
type, name and values; the thresholds stand below and in docs/data.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
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

UNUSABLE_IN_EVENTS: Final = (Kind.TEXT, Kind.VECTOR, Kind.TIMESTAMP)
"""Kinds that a model can't use in events yet."""

_FEW: Final = 32
"""Integers with at most this many distinct values are categories."""
_UNIQUE: Final = 0.9
"""Share of distinct values above which a column is an id rather than a category."""
_ENOUGH: Final = 20
"""Rows below which nothing is concluded from how often values repeat."""
_PARSED: Final = 0.95
"""Share of the values that must read as a date, or as a number, for the column to be one."""
_SAMPLE: Final = 200_000
"""Rows from which columns are judged, spread over the table."""

_DURATION: Final = re.compile(
    r"(^|_)(duration|secs?|seconds?|minutes?|hours|millis|milliseconds|watched|watchtime|played|playtime|listened|"
    r"dwell|elapsed|runtime|(watch|play|listen|dwell|view|reading)_?time)(_|$)"
)
_TIME_NAME: Final = re.compile(r"(^|_)(time|timestamp|date|datetime|at)($|_)")
_ID_NAME: Final = re.compile(r"(^|_)(id|uuid|guid|key)$")
_ROW_NAME: Final = re.compile(r"^$|^unnamed|^(__)?index|^row(_(id|nr|number))?$")
_KNOWN_BEFORE: Final = re.compile(
    r"(^|_)(device|platform|os|browser|app|client|locale|lang|language|country|region|city|page|surface|screen|"
    r"channel|referrer|source|network|timezone|hour|weekday)(_|$)"
)
"""Names of columns that are often known before the item is chosen."""


@dataclass(frozen=True)
class _Guess:
    kind: Kind
    separator: str = "|"
    useless: str | None = None
    """Why the column tells a model nothing, if it doesn't."""


_LIKE_AN_ID: Final = _Guess(Kind.CATEGORICAL, useless="it has another value in each row, like an id")


def infer_columns(table: Table, known: Mapping[str, Column], findings: Findings) -> dict[str, Column]:
    """The columns of a table that ``known`` leaves out, in the table's order; `spread` rows of it are enough.

    A column that tells nothing (no values, one value a row) or that the model can't use where it stands is given
    the role ``ignore``, with a note that says why.
    """
    columns: dict[str, Column] = {}
    frame = table.frame
    for name in frame.columns:
        if name in known or name in FIXED[table.name] or name == ROW:
            continue
        guess = _guess(frame[name])
        useless = guess.useless
        if table.name == "events" and guess.kind in UNUSABLE_IN_EVENTS:
            useless = useless or f"a model can't use a {guess.kind} of events yet"
        columns[name] = Column(
            role=Role.IGNORE if useless else USEFUL_ROLE[table.name],
            kind=guess.kind,
            separator=guess.separator,
            duration=guess.kind == Kind.NUMERIC and _is_duration(frame[name]),
        )
        if useless:
            findings.note(f"{table.label}: column {name} is ignored: {useless}")
    before = [name for name, column in columns.items() if _looks_known_before(name, column)]
    if before:
        findings.note(
            f"{table.label}: {', '.join(before)}: taken as known only after the choice (post_action), which can't "
            "leak; if known before it, set role: request_time in schema.yaml"
        )
    return columns


def step(rows: int) -> int:
    """Every how manieth row of a table its columns are judged by."""
    return max(-(-rows // _SAMPLE), 1)


def spread(table: Table) -> Table:
    """The rows by which the columns of a table are judged, the first one among them."""
    return table.having(table.frame.gather_every(step(table.frame.height)))


def is_duration_name(name: str) -> bool:
    """Whether a column's name says that it holds a duration."""
    return bool(_DURATION.search(_snake(name)))


def _looks_known_before(name: str, column: Column) -> bool:
    return column.role == Role.POST_ACTION and bool(_KNOWN_BEFORE.search(_snake(name)))


def _guess(values: pl.Series) -> _Guess:
    dtype = values.dtype
    filled = values.drop_nulls()
    if not len(filled):
        return _Guess(Kind.CATEGORICAL, useless="it has no values")
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return _Guess(Kind.TIMESTAMP)
    if isinstance(dtype, pl.List | pl.Array):
        return _guess_lists(dtype)
    if dtype.is_numeric():
        return _guess_numbers(filled)
    if dtype == pl.String:
        return _guess_text(filled)
    usable = dtype == pl.Boolean
    return _Guess(Kind.CATEGORICAL, useless=None if usable else f"values of type {dtype} can't be used")


def _guess_lists(dtype: pl.List | pl.Array) -> _Guess:
    inner = dtype.inner
    assert isinstance(inner, pl.DataType)
    if inner.is_float() or (isinstance(dtype, pl.Array) and inner.is_numeric()):
        return _Guess(Kind.VECTOR)
    usable = inner.is_integer() or inner in (pl.String, pl.Boolean) or isinstance(inner, pl.Categorical | pl.Enum)
    return _Guess(Kind.MULTI_CATEGORICAL, useless=None if usable else f"values of type {dtype} can't be used")


def _guess_numbers(filled: pl.Series) -> _Guess:
    name = _snake(filled.name)
    distinct = filled.n_unique()
    if name == EVENT_VALUE or is_duration_name(name):
        return _Guess(Kind.NUMERIC)
    if _ROW_NAME.search(name) and distinct == len(filled):
        return _Guess(Kind.NUMERIC, useless="it numbers the rows")
    if _ID_NAME.search(name):
        return _LIKE_AN_ID if distinct > _UNIQUE * len(filled) >= _ENOUGH else _Guess(Kind.CATEGORICAL)
    if _TIME_NAME.search(name) and _median(filled) > 1e8:
        return _Guess(Kind.TIMESTAMP)
    if filled.dtype.is_integer() and distinct <= _FEW:
        return _Guess(Kind.CATEGORICAL)
    return _Guess(Kind.NUMERIC)


def _guess_text(filled: pl.Series) -> _Guess:
    if text_dates(filled).count() >= _PARSED * len(filled):
        return _Guess(Kind.TIMESTAMP)
    if _garbled_numbers(filled):
        return _Guess(Kind.NUMERIC)
    for separator in ("|", ","):
        if _several(filled, separator):
            return _Guess(Kind.MULTI_CATEGORICAL, separator)
    words = _share(filled.str.count_matches(" ")) + 1
    distinct = filled.n_unique() / len(filled)
    if words > 8 or (words > 1.5 and distinct > 0.5 and len(filled) >= _ENOUGH):
        return _Guess(Kind.TEXT)
    return _LIKE_AN_ID if distinct > _UNIQUE and len(filled) >= _ENOUGH else _Guess(Kind.CATEGORICAL)


def _several(filled: pl.Series, separator: str) -> bool:
    """Whether cells hold several values; commas also occur in prose, so there the values must be short and recur."""
    if _share(filled.str.contains(separator, literal=True)) < 0.05:
        return False
    if separator == "|":
        return True
    values = filled.str.split(separator).explode()
    return (
        len(filled) >= _ENOUGH
        and _share(values.str.len_chars()) <= 30
        and values.str.strip_chars().n_unique() < 0.7 * len(values)
    )


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
    return _median(values) > 10 and _share(values < 0) < 0.05


def _median(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).median() or 0)  # type: ignore[arg-type]


def _share(values: pl.Series) -> float:
    return float(values.mean() or 0)  # type: ignore[arg-type]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(" ", "_").lower()
