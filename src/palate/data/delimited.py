"""CSV files, plain or gzipped, as frames of text; rows that don't fit the header are set aside and counted.

Every cell is read as text. What a column holds is decided afterwards over all of its values, so that ``007`` stays
an id and a late ``n/a`` doesn't change the type of what came before.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from palate.data.forms import forms, shaped, survey
from palate.errors import DataError, EmptyTableError, TornFileError

_DELIMITERS: Final = (",", "\t", ";")
_MALFORMED_LIMIT: Final = 1000
_BLOCK: Final = 1 << 24
"""Bytes of text that are read at a time."""


class Malformed:
    """The rows of a file whose number of cells differs from the header's."""

    def __init__(self) -> None:
        self.count = 0
        self.example = ""

    def __call__(self, row: pa_csv.InvalidRow) -> str:
        """Count a row; past the limit the file counts as torn."""
        if not self.count:
            self.example = f"{row.actual_columns} cells instead of {row.expected_columns}: {row.text[:60]!r}"
        self.count += 1
        return "skip" if self.count <= _MALFORMED_LIMIT else "error"


def read_csv(path: Path) -> tuple[pl.DataFrame, Malformed]:
    """Read a CSV file as text columns, empty cells as null, with the rows that didn't fit; errors as `stream_csv`."""
    malformed = Malformed()
    return pl.concat(list(stream_csv(path, malformed))), malformed


def stream_csv(path: Path, malformed: Malformed) -> Iterator[pl.DataFrame]:
    """A CSV file block by block as text columns, empty cells as null; the first frame has no rows.

    Rows that don't fit are counted by ``malformed``. Raises `EmptyTableError` for a file without a header,
    `TornFileError` for a gzip file that ends early or a file in which many rows don't fit, `DataError` for text that
    is not UTF-8 or a column name given twice.
    """
    header, delimiter = _header(path)
    yield pl.DataFrame(schema=dict.fromkeys(header, pl.String))
    try:
        with (
            pa.input_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as stream,
            pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(column_names=header, skip_rows=1, block_size=_BLOCK),
                parse_options=pa_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=malformed
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.large_string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            ) as reader,
        ):
            for batch in reader:
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame
    except PermissionError as error:
        raise DataError(f"{path}: this file may not be read") from error
    except (OSError, EOFError) as error:
        raise TornFileError(f"{path}: the file ends early: {_line(error)}", hint="copy or write it again") from error
    except pa.ArrowInvalid as error:
        if "utf8" in str(error).lower():
            raise _not_utf8(path) from error
        if malformed.count > _MALFORMED_LIMIT:
            raise TornFileError(
                f"{path}: more than {_MALFORMED_LIMIT:,} rows don't fit the header, e.g. {malformed.example}",
                hint=f"check the delimiter ({delimiter!r} was found) and the quoting",
            ) from error
        if "empty csv" not in str(error).lower():
            raise TornFileError(f"{path}: can't be read as CSV: {_line(error)}") from error


def _header(path: Path) -> tuple[list[str], str]:
    try:
        with _open(path) as lines:
            content = lines.readline()
    except PermissionError as error:
        raise DataError(f"{path}: this file may not be read") from error
    except (OSError, EOFError, zlib.error) as error:
        raise TornFileError(f"{path}: not a whole gzip file: {_line(error)}", hint="copy or write it again") from error
    try:
        first = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    if not first.strip():
        raise EmptyTableError(f"{path}: the file is empty", hint="it needs a line with the names of the columns")
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column names given twice: {', '.join(twice)}", hint="rename one of each")
    return names, delimiter


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))


def _not_utf8(path: Path) -> DataError:
    """The error for a file of another encoding, with its first line that is not UTF-8."""
    with _open(path) as lines:
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of text as integers, numbers or truth values where every value is one; all others stay text.

    Integers written with leading zeros are codes and stay text.
    """
    return shaped(frame, forms(frame.schema, survey(frame, written=True)))
