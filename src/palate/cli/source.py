"""The log that a command is given: a data folder, read into memory, or a prepared log, read in parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from palate.data import Dataset, PreparedLog, Schema, SplitRule
from palate.errors import SchemaError, StrictError

if TYPE_CHECKING:
    from palate.train.log import LogInParts, WholeLog


def open_log(data: Path, split: str | None, *, strict: bool, messages: Console) -> WholeLog | LogInParts:
    """Read ``data``, say what reading found, and divide it by ``split`` (a kind of `SplitRule`) or by its schema."""
    from palate.train.log import LogInParts, WholeLog

    kind = None if split is None else SplitRule.parse({"kind": split}, source="--split").kind
    if PreparedLog.is_there(data):
        prepared = PreparedLog.open(data)
        if strict and prepared.report.repairs:
            raise StrictError(
                f"{data}: {len(prepared.report.repairs)} repairs were made when it was prepared",
                hint="correct the source and prepare it again with --strict",
            )
        messages.print(str(prepared.report), markup=False, highlight=False, soft_wrap=True)
        with messages.status("dividing the events"):
            return LogInParts(prepared, _with_kind(prepared.schema.split, kind))
    with messages.status("reading"):
        dataset = Dataset.from_folder(data, strict=strict)
    messages.print(str(dataset.report), markup=False, highlight=False, soft_wrap=True)
    return WholeLog(dataset.with_split(_with_kind(dataset.schema.split, kind)))


def read_for(run: Path, schema: Schema, data: Path) -> Dataset:
    """Read ``data`` by the schema of a run; where that doesn't fit, a `SchemaError` says so."""
    try:
        return Dataset.from_folder(data, schema=schema)
    except SchemaError as error:
        raise SchemaError(
            f"{data} does not have the form of the events that {run} was trained on: {error.message}",
            hint="give the data that it was trained on, or later events of the same form",
        ) from error


def read_or_open(run: Path, schema: Schema, data: Path) -> Dataset | PreparedLog:
    """A data folder, read as `read_for` does; or a prepared log, opened."""
    return PreparedLog.open(data) if PreparedLog.is_there(data) else read_for(run, schema, data)


def _with_kind(rule: SplitRule, kind: str | None) -> SplitRule:
    """The schema's rule with another kind; its shares stay."""
    return rule if kind is None else rule.model_copy(update={"kind": kind})
