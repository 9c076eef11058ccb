"""Large text files as frames of text, batch by batch, in memory that does not grow with the file.

Rows whose number of cells differs from what the file should have are left out, counted and shown by an example, as
`palate.data.delimited` does for whole files.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from palate.data.delimited import Malformed
from palate.data.report import Fault, Findings, Repair
from palate.errors import DataError, EmptyTableError, TornFileError

Progress = Callable[[str, int, int], None]
"""Told the name of a file, the bytes read and the bytes in all."""

_BLOCK: Final = 1 << 22
"""Bytes read at a time; a row must fit into them."""
_MALFORMED_LIMIT: Final = 1000
_NEVER: Final = "\x1f"
"""A delimiter for files that are read line by line."""


@dataclass(frozen=True)
class TextFile:
    """A file of text with rows and cells."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str = ","
    """One character, or several; then cells can't be quoted."""
    quoted: bool = False
    """Whether cells may stand in double quotes, and then hold delimiters and line ends."""
    header: bool = True
    encoding: str = "utf8"


def batches(
    file: TextFile, findings: Findings, progress: Progress | None = None, *, only: tuple[str, ...] = ()
) -> Iterator[pl.DataFrame]:
    """The rows of a file as text columns, in order, empty cells as null; with ``only``, some of the columns.

    Raises `EmptyTableError` without a row, `TornFileError` where most rows don't fit, `DataError` for another
    encoding. Rows that don't fit are recorded when the last batch is read.
    """
    by_line = len(file.delimiter) > 1
    names = ["line"] if by_line else list(file.columns)
    malformed = Malformed()
    rows = 0
    try:
        with pa.OSFile(str(file.path)) as stream:
            size = stream.size()
            for batch in _open(file, stream, names, [] if by_line else list(only), malformed):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                frame = _split(frame, file, malformed) if by_line else frame
                rows += frame.height
                if progress is not None:
                    progress(file.path.name, stream.tell(), size)
                if frame.height:
                    yield frame
    except PermissionError as error:
        raise DataError(f"{file.path}: this file may not be read") from error
    except OSError as error:
        raise TornFileError(f"{file.path}: can't be read: {error}", hint="copy it again") from error
    except pa.ArrowInvalid as error:
        raise _refused(file, malformed, error) from error
    if malformed.count > rows:
        raise _torn(file, malformed)
    if not rows:
        raise EmptyTableError(f"{file.path}: the file has no rows", hint="it may have been cut off; copy it again")
    if malformed.count:
        findings.adopt(Repair(Fault.MALFORMED_ROW, file.path.name, None, malformed.count, malformed.example, "dropped"))


def read_all(file: TextFile, findings: Findings) -> pl.DataFrame:
    """All rows of a small file; errors as in `batches`."""
    return pl.concat(list(batches(file, findings)))


def header(path: Path, delimiter: str) -> tuple[str, ...]:
    """The names in a file's first line; a name given twice, or no name, is an error."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if not text.strip():
        raise EmptyTableError(f"{path}: the file is empty", hint="it needs a line with the names of the columns")
    names = text.split(delimiter) if delimiter == "\t" else next(csv.reader([text], delimiter=delimiter))
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column names given twice: {', '.join(twice)}", hint="rename one of each")
    return tuple(names)


def utf8_or_latin1(path: Path) -> str:
    """The encoding of a file that may be in either; text with accents in Latin-1 is practically never valid UTF-8."""
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf8"


def not_utf8(path: Path) -> DataError:
    """The error for a file of another encoding, with its first line that is not UTF-8."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                shown = line.strip()[:60].decode(errors="replace")
                return DataError(
                    f"{path}: not UTF-8 text, e.g. line {number}: {shown!r}",
                    hint="save the file as UTF-8, e.g. with iconv -t utf-8",
                )
    return DataError(f"{path}: not UTF-8 text", hint="save the file as UTF-8, e.g. with iconv -t utf-8")


def _open(
    file: TextFile, stream: pa.NativeFile, names: list[str], only: list[str], malformed: Malformed
) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(
            column_names=names, skip_rows=1 if file.header else 0, block_size=_BLOCK, encoding=file.encoding
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=_NEVER if len(file.delimiter) > 1 else file.delimiter,
            quote_char='"' if file.quoted else False,
            newlines_in_values=file.quoted,
            invalid_row_handler=malformed,
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_string()),
            include_columns=only,
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _split(lines: pl.DataFrame, file: TextFile, malformed: Malformed) -> pl.DataFrame:
    """Lines as cells, where the delimiter has several characters."""
    width = len(file.columns)
    cells = lines["line"].str.splitn(file.delimiter, width + 1).struct.unnest()
    fits = cells[f"field_{width - 1}"].is_not_null() & cells[f"field_{width}"].is_null()
    if not fits.all():
        if not malformed.count:
            line = lines["line"].filter(~fits)[0]
            found = line.count(file.delimiter) + 1
            malformed.example = f"{found} cells instead of {width}: {line[:60]!r}"
        malformed.count += int((~fits).sum())
        if malformed.count > _MALFORMED_LIMIT:
            raise _torn(file, malformed)
        cells = cells.filter(fits)
    cells = cells.drop(f"field_{width}").rename(dict(zip(cells.columns, file.columns, strict=False)))
    return cells.with_columns(pl.when(pl.all() != "").then(pl.all()))


def _refused(file: TextFile, malformed: Malformed, error: pa.ArrowInvalid) -> DataError:
    reason = " ".join(str(error).split())[:200]
    if "utf8" in reason.lower():
        return not_utf8(file.path)
    if malformed.count > _MALFORMED_LIMIT:
        return _torn(file, malformed)
    if "empty csv" in reason.lower():
        return EmptyTableError(f"{file.path}: the file has no rows", hint="it may have been cut off; copy it again")
    hint = "check the quotes: one of them may not be closed" if file.quoted else "copy it again"
    return TornFileError(f"{file.path}: can't be read: {reason}", hint=hint)


def _torn(file: TextFile, malformed: Malformed) -> TornFileError:
    return TornFileError(
        f"{file.path}: {malformed.count:,} rows don't have the {len(file.columns)} cells {', '.join(file.columns)}, "
        f"e.g. {malformed.example}",
        hint=f"cells are separated by {file.delimiter!r}" + (", and may be quoted" if file.quoted else ""),
    )
