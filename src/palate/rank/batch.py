"""Recommendations for all members of a log, piece by piece, and onto the disk so that nothing is done twice.

While it runs, a hidden folder beside the output holds a manifest, which names the run, the data and the settings, and a
Parquet file for each piece of members that is finished. A file appears whole or not at all, and a piece depends on
nothing but the manifest; so whoever is killed and started again goes on behind the last whole piece, and ends with the
same bytes (with as many threads).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq
from pydantic import Field

from palate.config import Config
from palate.data import Dataset, present_queries
from palate.data.large.journal import remove, whole_file
from palate.data.moment import as_moment
from palate.errors import ConfigError, UnfinishedRunError
from palate.files import flush, sha256
from palate.rank.ahead_scorer import AheadScorer
from palate.rank.candidates import Candidates
from palate.rank.members import Members
from palate.rank.model_scorer import ModelScorer
from palate.rank.recommend import Progress, recommend
from palate.rank.titles import with_titles
from palate.runs import Run
from palate.words import ITEM_ID, QUERY, RANK, SCORE, USER_ID

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
ENDINGS: Final = (".parquet", ".csv", "")
"""Of a file, and of a folder."""
ENCODED_MEMBERS: Final = 2048
"""Members whose histories are in memory as tokens at a time."""


class BatchConfig(Config):
    """What is asked for each member."""

    k: int = Field(default=10, ge=1)
    """Items for each member."""
    horizon: int = Field(default=1, ge=1)
    """For how many of the next targets together."""
    at: int | None = None
    """The moment in milliseconds; none: just after the last event of the log."""
    part_members: int = Field(default=8192, ge=1)
    """Members of a piece, which is what is lost when the work is killed."""


class Done(Config):
    """What was written."""

    out: str
    members: int
    recommendations: int
    parts: int
    """Pieces."""
    resumed_parts: int
    """Those of them that an earlier attempt had finished."""


@dataclass(frozen=True)
class BatchRecommender:
    """The best items for every member of a log."""

    run: Run
    log: Members
    config: BatchConfig

    def tables(self, *, skip: int = 0, progress: Progress | None = None) -> Iterator[pl.DataFrame]:
        """``user_id``, ``rank``, ``item_id``, ``score`` and, where items have them, titles; a table for each piece.

        Raises `ConfigError` for a moment that some events are not before, for one in data without time, and for a
        ``horizon`` that the run does not reach.
        """
        config, log, run = self.config, self.log, self.run
        moment = self._moment()
        windows, later = run.windows, log.later(run.tokenizer)
        whole = ModelScorer(
            run.model, run.tokenizer, log.items_of, context=windows.context, slide=windows.slide, later=later
        )
        candidates = Candidates(log.items_of, whole.catalogue)
        scorer = whole if config.horizon == 1 else AheadScorer(whole, config.horizon, candidates)
        return self._tables(scorer, candidates, moment, skip, progress)

    def _tables(
        self,
        scorer: ModelScorer | AheadScorer,
        candidates: Candidates,
        moment: int | None,
        skip: int,
        progress: Progress | None,
    ) -> Iterator[pl.DataFrame]:
        sizes = self.log.sizes(self.config.part_members)
        done, total = sum(sizes[:skip]), sum(sizes)

        def tell(now: int, _: int) -> None:
            if progress is not None:
                progress(done + now, total)

        for part in self.log.pieces(self.config.part_members, skip):
            asked = present_queries(part, None, moment)
            table = recommend(
                scorer.of_members(part),
                part,
                asked,
                k=self.config.k,
                batch=ENCODED_MEMBERS,
                candidates=candidates.of_members(part),
                progress=tell,
            )
            done += len(asked)
            yield _with_members(table, asked, part)

    def _moment(self) -> int | None:
        last, at = self.log.last_moment, self.config.at
        if last is None:
            if at is not None:
                raise ConfigError("a moment was given, but the data have positions instead of times")
            return None
        asked = self.log.last_asked
        if at is not None and asked is not None and at <= asked:
            raise ConfigError(
                f"there are events at or after the moment {as_moment(at)} UTC, the last at {as_moment(asked)}",
                hint="give a later moment, or read fewer events",
            )
        return last + 1 if at is None else at

    def identity(self) -> dict[str, Any]:
        """What decides every byte of the result."""
        return {
            "format_version": FORMAT,
            "run": sha256(self.run.folder / MANIFEST),
            "data": self.log.digest(),
            "settings": self.config.model_dump(),
        }

    def write(self, out: Path, *, progress: Progress | None = None) -> Done:
        """Write all tables: into the file ``out`` (.parquet or .csv), or into a folder of Parquet files.

        An attempt that was cut off is gone on with; a folder that is finished is left as it is. Raises
        `UnfinishedRunError` where the attempt was another one's, `ConfigError` where ``out`` is a folder with something
        else in it or has another ending, and what `tables` raises.
        """
        out = Path(out)
        if out.suffix not in ENDINGS:
            raise ConfigError(f"{out}: unknown ending", hint="use .parquet or .csv, or no ending for a folder")
        identity, as_folder = self.identity(), not out.suffix
        there = _identity_of(out) if as_folder else None
        if there is not None:
            _same(there, identity, out, out)
            return self._done(out, _parts(out), len(_parts(out)))
        if out.exists() and (as_folder or out.is_dir()):
            raise ConfigError(f"{out}: already exists", hint="name another folder, or delete this one")
        work = out.parent / f".{out.name}.recommending"
        made, sizes = _made(work, identity, out), self.log.sizes(self.config.part_members)
        if progress is not None:
            progress(sum(sizes[: len(made)]), sum(sizes))
        if len(made) < len(sizes):
            # What can't be asked is said before anything is left behind.
            tables = self.tables(skip=len(made), progress=progress)
            if not made:
                remove(work)
                with whole_file(work / MANIFEST) as path:
                    path.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
            for number, table in enumerate(tables, len(made)):
                with whole_file(work / _name(number)) as path:
                    table.write_parquet(path)
        parts = _parts(work)
        assert len(parts) == len(sizes), "a file for each piece"
        if as_folder:
            work.rename(out)
            flush(out.parent)
            return self._done(out, _parts(out), len(made))
        _join(parts, out)
        found = self._done(out, parts, len(made))
        remove(work)
        return found

    def _done(self, out: Path, parts: Sequence[Path], resumed: int) -> Done:
        rows = sum(pq.read_metadata(path).num_rows for path in parts)
        return Done(
            out=str(out), members=self.log.members, recommendations=rows, parts=len(parts), resumed_parts=resumed
        )


def _with_members(table: pl.DataFrame, asked: pl.DataFrame, part: Dataset) -> pl.DataFrame:
    joined = table.join(asked.select(QUERY, USER_ID), on=QUERY, how="left", maintain_order="left")
    return with_titles(joined.select(USER_ID, RANK, ITEM_ID, SCORE), part)


def _made(work: Path, identity: dict[str, Any], out: Path) -> list[Path]:
    """The files that an earlier attempt has finished."""
    there = _identity_of(work)
    if there is None:
        return []
    _same(there, identity, work, out)
    return _parts(work)


def _identity_of(folder: Path) -> dict[str, Any] | None:
    """What decided the recommendations in a folder; none where it holds something else, a run say."""
    if not (folder / MANIFEST).is_file():
        return None
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return found if "settings" in found else None


def _same(there: dict[str, Any], here: dict[str, Any], folder: Path, out: Path) -> None:
    """Raise `UnfinishedRunError` where a folder holds other recommendations than are asked for."""
    hint = f"ask for the same, name another file than {out}, or delete {folder}"
    for what in ("format_version", "run", "data"):
        if there.get(what) != here[what]:
            said = {"run": "another run", "data": "other data"}.get(what, "another version of Palate")
            raise UnfinishedRunError(f"{folder} holds recommendations from {said}", hint=hint)
    changed = [
        f"{name} {_shown(there['settings'].get(name))} there, {_shown(value)} now"
        for name, value in here["settings"].items()
        if there["settings"].get(name) != value
    ]
    if changed:
        raise UnfinishedRunError(f"{folder} holds recommendations with other settings: {', '.join(changed)}", hint=hint)


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)


def _name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _join(parts: Sequence[Path], out: Path) -> None:
    """All parts end to end as one file, which appears whole; one part at a time is in memory."""
    with whole_file(out) as path:
        if out.suffix == ".csv":
            with path.open("wb") as file:
                for number, part in enumerate(parts):
                    pl.read_parquet(part).write_csv(file, include_header=number == 0)
            return
        with pq.ParquetWriter(str(path), pq.read_schema(parts[0]), compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part))
