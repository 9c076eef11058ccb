"""The events file of a data folder, piece by piece: ranges of rows that are read alone, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, Protocol

import polars as pl
import pyarrow.parquet as pq

from palate.data.delimited import Malformed, stream_csv
from palate.data.large.frames import read_frames, regular, write_frames
from palate.data.large.journal import Journal, Line, remove
from palate.data.large.parallel import Progress
from palate.data.read import reading_parquet, refuse_malformed

_FIRST_LOOK: Final = 20_000
"""Rows from which the bytes of a row are estimated."""


@dataclass(frozen=True)
class Piece:
    """A range of rows of the source."""

    number: int
    first: int
    rows: int


class Source(Protocol):
    """The events as they are in the file."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def written(self) -> bool:
        """Whether all values were text in the file."""

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Types of the columns."""

    @property
    def rows(self) -> int:
        """Rows of the file, without those that don't fit its header."""

    @property
    def malformed(self) -> tuple[int, str]:
        """Rows that don't fit the header, and an example."""

    def pieces(self) -> list[Piece]:
        """All rows, in order."""

    def read(self, piece: Piece, columns: Sequence[str]) -> pl.DataFrame:
        """The columns of some rows."""


@dataclass(frozen=True)
class ParquetSource:
    """A Parquet file; pieces end where groups of rows end, as far as the memory allows."""

    path: Path
    schema: dict[str, pl.DataType]
    rows: int
    ends: tuple[int, ...]
    """Of the pieces."""
    written: bool = False
    malformed: tuple[int, str] = (0, "")

    def pieces(self) -> list[Piece]:
        """All rows, in order."""
        return [Piece(n, first, end - first) for n, (first, end) in enumerate(pairwise((0, *self.ends)))]

    def read(self, piece: Piece, columns: Sequence[str]) -> pl.DataFrame:
        """The columns of some rows."""
        with reading_parquet(self.path):
            return pl.scan_parquet(self.path).select(columns).slice(piece.first, piece.rows).collect()


@dataclass(frozen=True)
class StagedSource:
    """A CSV file, read once from its beginning to its end into files of text that can be read alone."""

    path: Path
    folder: Path
    schema: dict[str, pl.DataType]
    lengths: tuple[int, ...]
    malformed: tuple[int, str]
    written: bool = True

    @property
    def rows(self) -> int:
        """Rows of the file, without those that don't fit its header."""
        return sum(self.lengths)

    def pieces(self) -> list[Piece]:
        """All rows, in order."""
        ends = accumulate(self.lengths)
        return [Piece(n, end - rows, rows) for n, (end, rows) in enumerate(zip(ends, self.lengths, strict=True))]

    def read(self, piece: Piece, columns: Sequence[str]) -> pl.DataFrame:
        """The columns of some rows."""
        return read_frames(self.folder / f"{piece.number:05d}.arrow", columns=columns).select(columns)


def row_bytes(path: Path) -> float:
    """Bytes that a row of the file takes in memory, by its first rows."""
    if path.suffix == ".parquet":
        with reading_parquet(path):
            frame = pl.scan_parquet(path).head(_FIRST_LOOK).collect()
    else:
        frames = stream_csv(path, Malformed())
        frame = pl.concat([next(frames), next(frames, pl.DataFrame())], how="diagonal").head(_FIRST_LOOK)
    return max(frame.estimated_size() / max(frame.height, 1), 8.0)


def parquet_source(path: Path, piece_rows: int, *, exact: bool) -> ParquetSource:
    """Look at a Parquet file; ``exact`` pieces have all the same length, others keep groups of rows whole."""
    with reading_parquet(path):
        schema = dict(pl.scan_parquet(path).collect_schema())
        metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    ends: list[int] = []
    last, row = 0, 0
    for rows in [metadata.num_rows] if exact else groups:
        row += rows
        while row - last > 2 * piece_rows or (exact and row - last > piece_rows):
            last += piece_rows
            ends.append(last)
        if row - last >= piece_rows:
            last = row
            ends.append(last)
    if last < metadata.num_rows:
        ends.append(metadata.num_rows)
    return ParquetSource(path, schema, metadata.num_rows, tuple(ends))


def staged_source(path: Path, piece_rows: int, journal: Journal, progress: Progress) -> StagedSource:
    """Read a CSV file into files of ``piece_rows`` rows in the work folder, unless that is done."""
    folder = journal.folder / "source"
    found = journal.get("source")
    if found is None:
        remove(folder)
        folder.mkdir()
        found = _stage(path, folder, piece_rows, progress)
        journal.write("source", found)
    schema: dict[str, pl.DataType] = dict.fromkeys(found["columns"], pl.String())
    count, example = found["malformed"]
    return StagedSource(path, folder, schema, tuple(found["lengths"]), (count, example))


def _stage(path: Path, folder: Path, piece_rows: int, progress: Progress) -> Line:
    malformed = Malformed()
    frames = stream_csv(path, malformed)
    header = next(frames)
    lengths: list[int] = []
    for frame in regular(frames, piece_rows):
        write_frames([frame], folder / f"{len(lengths):05d}.arrow")
        lengths.append(frame.height)
        progress("reading the file", sum(lengths), 0)
    refuse_malformed(path, malformed, sum(lengths))
    return {"columns": header.columns, "lengths": lengths, "malformed": [malformed.count, malformed.example]}
