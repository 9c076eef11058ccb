"""What a foreign source says, in the terms of the data contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from palate.data.infer import FIXED
from palate.data.report import Fault, Findings, Repair
from palate.data.schema import Schema
from palate.data.table import TableName
from palate.errors import DataError

_TAKEN: Final[dict[TableName, tuple[str, ...]]] = {
    "events": ("position", "order", "impressions"),
    "items": (),
    "users": (),
}
"""Contract columns that a foreign column of the same name is not known to mean."""


@dataclass(frozen=True)
class Contents:
    """Tables of the contract, the events as a stream that is read once."""

    format: str
    """Name of the format, for people."""
    events: Iterator[pl.DataFrame]
    """Batches with the same columns."""
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    schema: Callable[[], Schema]
    """What is known of the columns once all events have been read; the rest is left to inference."""


def contract_names(
    table: TableName, names: list[str], known: dict[str, str], where: str, findings: Findings
) -> dict[str, str]:
    """Contract names of foreign columns: the ``known`` ones, else the name in lower case.

    A name that means something in the contract, but not in the source, is given the prefix ``source_``. Two columns
    that would get one name are a `DataError`.
    """
    result: dict[str, str] = {}
    for name in names:
        target = known.get(name)
        if target is None:
            target = name.lower()
            if target in _TAKEN[table]:
                findings.note(f"{where}: column {name} is called source_{target}: {target} has a meaning of its own")
                target = f"source_{target}"
        if target in result.values():
            other = next(key for key, value in result.items() if value == target)
            raise DataError(
                f"{where}: the columns {other} and {name} would both be called {target}", hint="rename one of them"
            )
        result[name] = target
    return result


def described(table: TableName, names: list[str]) -> list[str]:
    """The columns that a schema describes: those without a meaning of their own."""
    return [name for name in names if name not in FIXED[table]]


def last_of_each(frame: pl.DataFrame, column: str, path: Path, findings: Findings) -> pl.DataFrame:
    """One row an id, the last one, since later lines are newer; what is left out is recorded."""
    repeated = ~frame[column].is_last_distinct() & frame[column].is_not_null()
    if not repeated.any():
        return frame
    first = int(repeated.arg_true()[0])
    findings.adopt(
        Repair(
            Fault.DUPLICATE_ROW,
            path.name,
            column,
            int(repeated.sum()),
            f"row {first + 1}: {frame[column][first]}",
            "the last row of each id is kept",
        )
    )
    return frame.filter(~repeated)
