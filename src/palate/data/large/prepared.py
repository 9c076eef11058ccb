"""A prepared log: checked, sorted events in parts, of which as many as fit are read at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from palate.data.dataset import Dataset
from palate.data.large.sort import FIRST_TIME
from palate.data.read import reading_parquet
from palate.data.report import Fault, Repair, Report
from palate.data.schema import SCHEMA_FILE, Schema
from palate.data.split import as_ids, unknown_members
from palate.errors import DamagedRunError, FormatVersionError, MissingTableError
from palate.files import sha256
from palate.words import ITEM_ID, LAUNCH_TIME, POSITION, TIMESTAMP, USER_ID

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
REPORT: Final = "report.json"
ITEMS: Final = "items.parquet"
USERS: Final = "users.parquet"
SEEN: Final = "seen.parquet"
"""Items with events: how many, and when first."""


@dataclass(frozen=True)
class LogPart:
    """Events of whole members, ascending over the parts; not yet read."""

    file: str
    first_row: int
    """Row of its first event, from the beginning of the log."""
    rows: int
    members: int
    first_member: int | str
    last_member: int | str
    first_time: int | None = None
    last_time: int | None = None


@dataclass(frozen=True, eq=False)
class PreparedLog:
    """What `palate.data.prepare` wrote. The events of all parts, end to end, are those of the log read in memory."""

    folder: Path
    schema: Schema
    report: Report
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    seen: pl.DataFrame
    """Items with events, ascending: ``item_id``, ``events`` and ``first_time`` (null without time)."""
    has_time: bool
    log_parts: tuple[LogPart, ...]

    @classmethod
    def open(cls, folder: Path | str, *, verify: bool = False) -> PreparedLog:
        """Open a prepared log; ``verify`` reads everything to compare it with the manifest.

        Raises `MissingTableError` where there is none, `DamagedRunError` where files are missing or differ,
        `FormatVersionError` for a format that this version can't read.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise MissingTableError(
                f"{folder}: no prepared log", hint="palate data prepare DATA --out FOLDER makes one"
            )
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            version, files, parts = manifest["format_version"], manifest["files"], manifest["parts"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedRunError(f"{folder / MANIFEST} is not the manifest of a prepared log") from error
        if version != FORMAT:
            raise FormatVersionError(f"{folder} has format version {version}", hint=f"this version reads {FORMAT}")
        _check(folder, files, content=verify)
        return cls(
            folder=folder,
            schema=Schema.from_yaml(folder / SCHEMA_FILE),
            report=_report(json.loads((folder / REPORT).read_text(encoding="utf-8"))),
            items=_table(folder / ITEMS, files),
            users=_table(folder / USERS, files),
            seen=_parquet(folder / SEEN),
            has_time=manifest["has_time"],
            log_parts=tuple(LogPart(**each) for each in parts),
        )

    @staticmethod
    def is_there(folder: Path | str) -> bool:
        """Whether ``folder`` looks like a prepared log rather than a data folder."""
        return (Path(folder) / MANIFEST).is_file() and (Path(folder) / SEEN).is_file()

    @property
    def events(self) -> int:
        """Events of the whole log."""
        return self.report.rows_kept

    @property
    def members(self) -> int:
        """Members of the whole log."""
        return sum(part.members for part in self.log_parts)

    def parts(self) -> Iterator[Dataset]:
        """Part after part as a dataset; items, members, schema and report are those of the whole log."""
        return map(self.part, self.log_parts)

    def part(self, part: LogPart) -> Dataset:
        """One part as a dataset."""
        events = _parquet(self.folder / part.file)
        return Dataset(events, self.items, self.users, self.schema, self.report)

    def column(self, part: LogPart, name: str) -> pl.Series:
        """One column of the events of a part."""
        return _parquet(self.folder / part.file, [name])[name]

    def read(self, members: pl.Series | Sequence[int | str]) -> Dataset:
        """The events of some members as a dataset in which each item exists when it does in the whole log.

        Items that are known by their events alone get a row, and the moment after their first event as their launch.
        Members without events are an `UnknownMemberError`.
        """
        first = self.log_parts[0].first_member
        wanted = as_ids(members, pl.Int64() if isinstance(first, int) else pl.String()).sort()
        frames = []
        for part in self.log_parts:
            inside = wanted.filter((wanted >= part.first_member) & (wanted <= part.last_member))
            if len(inside):
                with reading_parquet(self.folder / part.file):
                    scan = pl.scan_parquet(self.folder / part.file)
                    frames.append(scan.filter(pl.col(USER_ID).is_in(inside.implode())).collect())
        events = pl.concat(frames) if frames else self.part(self.log_parts[0]).events.clear()
        unknown = wanted.filter(~wanted.is_in(events[USER_ID].implode()))
        if len(unknown):
            raise unknown_members(unknown)
        return Dataset(events, self._announced, self.users, self.schema, self.report)

    def first_events(self) -> Dataset:
        """The first event of each item, as a dataset: which items there are, and since when, is that of the whole log.

        Only the ids and the times are those of the log; all are said to be of one member.
        """
        member = pl.lit(self.log_parts[0].first_member).alias(USER_ID)
        moment = pl.col(FIRST_TIME).alias(TIMESTAMP) if self.has_time else pl.int_range(pl.len()).alias(POSITION)
        return Dataset(self.seen.select(member, ITEM_ID, moment), self.items, self.users, self.schema, self.report)

    @cached_property
    def _announced(self) -> pl.DataFrame:
        """The items table with every item of the events in it, each with a launch."""
        seen = self.seen.select(ITEM_ID, (pl.col(FIRST_TIME) + 1).alias(FIRST_TIME))
        items = seen.select(ITEM_ID) if self.items is None else self.items
        table = pl.concat([items, seen.select(ITEM_ID).join(items, on=ITEM_ID, how="anti")], how="diagonal")
        if not self.has_time:
            return table
        if LAUNCH_TIME not in table.columns:
            table = table.with_columns(pl.lit(None, dtype=pl.Int64).alias(LAUNCH_TIME))
        table = table.join(seen, on=ITEM_ID, how="left", maintain_order="left")
        return table.with_columns(pl.coalesce(LAUNCH_TIME, FIRST_TIME).alias(LAUNCH_TIME)).drop(FIRST_TIME)


def report_content(report: Report) -> str:
    """The report as the text of a file."""
    return json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"


def _report(content: dict[str, Any]) -> Report:
    repairs = (Repair(**{**each, "fault": Fault(each["fault"])}) for each in content["repairs"])
    return Report(**{**content, "repairs": tuple(repairs), "notes": tuple(content["notes"])})


def _check(folder: Path, files: dict[str, dict[str, Any]], *, content: bool) -> None:
    hint = "restore the folder from a copy, or prepare the log again"
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedRunError(f"{path} is missing", hint=hint)
        if path.stat().st_size != expected["bytes"] or (content and sha256(path) != expected["sha256"]):
            raise DamagedRunError(f"{path} is not the file that was written", hint=hint)


def _table(path: Path, files: dict[str, Any]) -> pl.DataFrame | None:
    return _parquet(path) if path.name in files else None


def _parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    with reading_parquet(path):
        return pl.read_parquet(path, columns=columns)
