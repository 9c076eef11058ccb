"""From a data folder to a prepared log, in bounded memory; what is finished is not done again."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from palate.data import clock, validate
from palate.data.behaviour import complete_behaviour
from palate.data.building import finished
from palate.data.convert import refuse_lost
from palate.data.large.config import PrepareConfig
from palate.data.large.cut import write_parquet, write_parts
from palate.data.large.decide import Decisions, convert_described, decide, event_forms, note_source
from palate.data.large.journal import Journal, Line, remove
from palate.data.large.memory import partitions, piece_rows
from palate.data.large.parallel import Progress, no_progress
from palate.data.large.prepared import FORMAT, ITEMS, MANIFEST, REPORT, SEEN, USERS, PreparedLog, report_content
from palate.data.large.sort import Sorted, sort_ranges
from palate.data.large.source import Source, parquet_source, row_bytes, staged_source
from palate.data.large.spill import Spilled, boundaries, spill
from palate.data.large.survey import faulty_ids, survey_events
from palate.data.order import order_rule
from palate.data.read import FoundFiles, find_files, read_small_tables, refuse_empty
from palate.data.report import Findings, Report
from palate.data.schema import SCHEMA_FILE, Schema
from palate.data.table import Table
from palate.errors import DataError, PalateError, RunExistsError, UnfinishedRunError
from palate.files import flush, sha256
from palate.words import EVENT_ID, USER_ID

_RESULT = "result"


def prepare(
    data: Path | str,
    out: Path | str,
    config: PrepareConfig | None = None,
    *,
    schema: Schema | None = None,
    strict: bool = False,
    resume: bool = False,
    progress: Progress = no_progress,
) -> PreparedLog:
    """Check, repair and sort the log in the folder ``data``, and write it to the folder ``out``.

    The result is what `Dataset.from_folder` would give, event by event and repair by repair, and so are the errors.
    Until it is complete it lies in a hidden folder beside ``out``; with ``resume`` a preparation that was cut off
    goes on there, with the settings that it was started with; a finished one is opened.

    Raises `RunExistsError` where ``out`` exists, `UnfinishedRunError` where a preparation of it was cut off, and
    `DataError` where the source has changed since.
    """
    data, out = Path(data), Path(out)
    work = out.parent / f".{out.name}.preparing"
    if out.exists():
        if resume and PreparedLog.is_there(out):
            # Finished before, or killed between the end and clearing up behind it.
            prepared = PreparedLog.open(out)
            remove(work)
            return prepared
        raise RunExistsError(f"{out} exists already", hint="choose another folder, or delete it")
    if work.exists() and not resume:
        raise UnfinishedRunError(
            f"{out}: a preparation was cut off ({work} holds what is finished)",
            hint="go on with --resume, or delete that folder",
        )
    files = find_files(data, schema)
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(work)
    preparation = _Preparation(data, files, journal, config or PrepareConfig(), strict, progress)
    try:
        start = preparation.start()
        preparation.run(start)
    except _ChangedError:
        raise
    except PalateError:
        # From data that can't be used nothing goes on.
        remove(work)
        raise
    finally:
        journal.close()
    result = work / _RESULT
    flush(result)
    result.rename(out)
    flush(out.parent)
    remove(work)
    return PreparedLog.open(out)


class _ChangedError(DataError):
    """The source is no longer the one that was begun."""


@dataclass(frozen=True)
class _Preparation:
    data: Path
    files: FoundFiles
    journal: Journal
    config: PrepareConfig
    strict: bool
    progress: Progress

    def run(self, start: Line) -> None:
        """All stages, one after the other."""
        source = self._source(start)
        refuse_empty("events", str(source.path), source.rows)
        findings, small = Findings(), Findings()
        items, users = read_small_tables(self.files, small)
        empty = Table("events", str(source.path), pl.DataFrame(schema=source.schema))
        for table in (empty, items, users):
            if table is not None:
                validate.check_columns(table)
        schema = self.files.schema or Schema()
        surveyed = survey_events(source, schema, self.journal, workers=self.config.workers, progress=self.progress)
        note_source(source, surveyed, findings)
        findings.absorb(small)
        ids = faulty_ids(source, event_forms(source, surveyed), workers=self.config.workers)
        decisions = decide(
            source, surveyed, ids, schema, self.files.schema_source, items, users, start["now"], findings
        )
        limits = boundaries(decisions.sample.frame[USER_ID], start["partitions"])
        spilled = spill(source, decisions, limits, self.journal, workers=self.config.workers, progress=self.progress)
        self._note_spilled(decisions, spilled, surveyed.kept, findings)
        # The findings about items and members come after those about the events' columns.
        described = Findings()
        items, users = convert_described(decisions, described)
        result = sort_ranges(
            decisions,
            spilled,
            items,
            users,
            self.journal,
            pieces=len(source.pieces()),
            ranges=len(limits) + 1,
            workers=self.config.workers,
            progress=self.progress,
        )
        findings.absorb(result.converted)
        refuse_lost(decisions.sample, decisions.schema.columns("events"), result.left, findings)
        findings.absorb(described)
        validate.note_low_values(decisions.sample.label, decisions.schema, result.low, findings)
        if not sum(result.rows):
            findings.some_left(decisions.sample.having(decisions.sample.frame.clear()))
        findings.absorb(result.repeats)
        has_time = decisions.reading is not None
        schema = complete_behaviour(decisions.schema, result.behaviour, has_time=has_time, findings=findings)
        if self.strict:
            findings.refuse(str(self.data))
        report = Report(
            rows_read=source.rows,
            rows_kept=sum(result.rows),
            order_rule=order_rule(decisions.columns, by_hash=spilled.by_item),
            time_unit=None if decisions.reading is None else decisions.reading.read_as,
            schema_source=self.files.schema_source,
            repairs=findings.repairs,
            notes=tuple(findings.notes),
        )
        self._write(decisions, result, schema, report, items, users)

    def start(self) -> Line:
        """What the preparation was started with; the source must still be the same."""
        given = {
            "files": {
                path.name: [path.stat().st_size, path.stat().st_mtime_ns]
                for path in (self.files.events, self.files.items, self.files.users)
                if path is not None
            },
            "schema": None if self.files.schema is None else self.files.schema.to_yaml(),
            "versions": [FORMAT, pl.__version__],
        }
        line = self.journal.get("start")
        if line is None:
            size = row_bytes(self.files.events)
            rows = self.config.piece_rows or piece_rows(size, self.config)
            line = {
                "given": given,
                "now": int(time.time() * 1000),
                "piece_rows": rows,
                "exact": self.config.piece_rows is not None,
                "row_bytes": size,
                "part_rows": self.config.part_rows,
            }
            self.journal.write("start", line)
        elif line["given"] != json.loads(json.dumps(given)):
            raise _ChangedError(
                f"{self.data}: the files, the schema or Palate have changed since the preparation was started",
                hint=f"delete {self.journal.folder}, and start again",
            )
        return line

    def _source(self, start: Line) -> Source:
        path = self.files.events
        source: Source
        if path.suffix == ".parquet":
            source = parquet_source(path, start["piece_rows"], exact=start["exact"])
        else:
            source = staged_source(path, start["piece_rows"], self.journal, self.progress)
        if "partitions" not in start:
            start["partitions"] = self.config.partitions or partitions(start["row_bytes"], source.rows, self.config)
            self.journal.write("start", start)
        return source

    def _note_spilled(self, decisions: Decisions, spilled: Spilled, events: int, findings: Findings) -> None:
        findings.absorb(spilled.order)
        if decisions.reading is not None:
            clock.refuse_unread(decisions.sample, events, findings)
        findings.expect_rows(decisions.sample, spilled.timed)
        findings.absorb(spilled.types)
        validate.note_dropped_types(decisions.sample.label, decisions.schema, spilled.dropped, findings)
        findings.expect_rows(decisions.sample, spilled.kept)
        for name, facts in spilled.ids.items():
            validate.refuse_ids(decisions.source, name, decisions.other_ids[name], facts)

    def _write(
        self,
        decisions: Decisions,
        result: Sorted,
        schema: Schema,
        report: Report,
        items: Table | None,
        users: Table | None,
    ) -> None:
        target = self.journal.folder / _RESULT
        target.mkdir(exist_ok=True)
        start = self.journal.get("start")
        assert start is not None, "the preparation was started"
        parts = write_parts(
            self.journal,
            result.rows,
            settled=EVENT_ID in decisions.columns,
            part_rows=start["part_rows"],
            target=target,
            workers=self.config.workers,
            progress=self.progress,
        )
        for name, table in ((ITEMS, items), (USERS, users)):
            if table is not None:
                write_parquet([finished(table)], target / name)
        write_parquet([result.items], target / SEEN)
        schema.write(target / SCHEMA_FILE)
        (target / REPORT).write_text(report_content(report), encoding="utf-8")
        known = {part["file"]: part.pop("sha256") for part in parts}
        paths = sorted(path for path in target.rglob("*") if path.is_file() and path.name != MANIFEST)
        files: dict[str, Any] = {}
        for path in paths:
            name = str(path.relative_to(target))
            files[name] = {"bytes": path.stat().st_size, "sha256": known.get(name) or sha256(path)}
            flush(path)
        manifest = {
            "format_version": FORMAT,
            "events": report.rows_kept,
            "has_time": decisions.reading is not None,
            "parts": parts,
            "files": files,
        }
        (target / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        flush(target / MANIFEST)
