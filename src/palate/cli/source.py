"""The log that a command is given: a data folder, read into memory, or a prepared log, read in parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from palate.data import Dataset, PreparedLog, SplitRule
from palate.errors import StrictError

if TYPE_CHECKING:
    from palate.train.log import LogInParts, WholeLog


def open_log(data: Path, split: str | None, *, strict: bool, messages: Console) -> WholeLog | LogInParts:
    """Read ``data``, say what reading found, and divide it by ``split`` (a kind of `SplitRule`) or by its schema."""
    from palate.train.log import LogInParts, WholeLog

    rule = None if split is None else SplitRule.parse({"kind": split}, source="--split")
    if PreparedLog.is_there(data):
        prepared = PreparedLog.open(data)
        if strict and prepared.report.repairs:
            raise StrictError(
                f"{data}: {len(prepared.report.repairs)} repairs were made when it was prepared",
                hint="correct the source and prepare it again with --strict",
            )
        messages.print(str(prepared.report), markup=False, highlight=False, soft_wrap=True)
        with messages.status("dividing the events"):
            return LogInParts(prepared, rule)
    with messages.status("reading"):
        dataset = Dataset.from_folder(data, strict=strict)
    messages.print(str(dataset.report), markup=False, highlight=False, soft_wrap=True)
    return WholeLog(dataset if rule is None else dataset.with_split(rule))
