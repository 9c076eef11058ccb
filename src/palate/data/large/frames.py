"""Frames in Arrow files of several record batches, of which any can be read alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from palate.data.large.journal import whole_file


def write_frames(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Write frames of one schema, at least one, as one record batch each; the file appears whole."""
    with whole_file(path) as partial, pa.OSFile(str(partial), "wb") as sink:
        writer = None
        for frame in frames:
            table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(compression="lz4"))
            batches = table.combine_chunks().to_batches()
            writer.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema))
        assert writer is not None, "at least one frame"
        writer.close()


def read_frames(path: Path, numbers: Sequence[int] | None = None, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The record batches with these numbers, or all of them, end to end; of all columns or of some."""
    with pa.OSFile(str(path), "rb") as source:
        names = None
        if columns is not None:
            schema = ipc.open_file(source).schema
            names = sorted(schema.get_field_index(name) for name in columns)
            source.seek(0)
        reader = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=names))
        wanted = range(reader.num_record_batches) if numbers is None else numbers
        table = pa.Table.from_batches([reader.get_batch(number) for number in wanted], schema=reader.schema)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def batch_rows(path: Path) -> list[int]:
    """Rows of each record batch."""
    with pa.OSFile(str(path), "rb") as source:
        reader = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=[0]))
        return [reader.get_batch(number).num_rows for number in range(reader.num_record_batches)]


def sliced(frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """The frame in slices of so many rows; one without rows where it has none."""
    for first in range(0, max(frame.height, 1), rows):
        yield frame.slice(first, rows)


def regular(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of so many, the last one aside; one without rows where the only frame has none."""
    waiting: list[pl.DataFrame] = []
    given = False
    for frame in frames:
        waiting.append(frame)
        held = sum(each.height for each in waiting)
        if held >= rows:
            joined = pl.concat(waiting)
            whole = held - held % rows
            yield from (joined[first : first + rows] for first in range(0, whole, rows))
            waiting, given = [joined[whole:]], True
    if waiting and not (given and not waiting[-1].height):
        yield pl.concat(waiting)
