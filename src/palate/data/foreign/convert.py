"""A foreign source as a data folder: find the format, read, write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from palate.data.foreign.config import ConvertConfig, Format
from palate.data.foreign.contents import Contents
from palate.data.foreign.datasets import is_personalize_header
from palate.data.foreign.movielens import is_movielens, read_movielens, used_files
from palate.data.foreign.personalize import read_personalize
from palate.data.foreign.recbole import read_recbole
from palate.data.foreign.source import Source, open_source
from palate.data.foreign.text import Progress
from palate.data.foreign.write import Conversion, write_contents
from palate.data.large.prepared import PreparedLog
from palate.data.report import Findings
from palate.errors import ConfigError, DataError, SchemaError

_SIGNS: Final = {
    Format.MOVIELENS: "u.data, ratings.dat or ratings.csv",
    Format.PERSONALIZE: "CSV files with the columns USER_ID, ITEM_ID, TIMESTAMP",
    Format.RECBOLE: "NAME.inter",
}


def convert(
    source: Path | str, out: Path | str, config: ConvertConfig | None = None, progress: Progress | None = None
) -> Conversion:
    """Read a folder or zip archive of a foreign format and write a data folder, all of it or nothing.

    Memory does not grow with the number of events. Raises `ConfigError` where the format is not clear or ``out`` is
    not empty, and a `DataError` or `SchemaError` that names file and column for what can't be read.
    """
    config = config or ConvertConfig()
    findings = Findings()
    opened = open_source(Path(source))
    kind = config.format or find_format(opened)
    names = _names(opened, kind)
    with opened.local(names) as folder, _named_after(folder, opened.path):
        contents = _read(folder, opened, kind, config, findings, progress)
        return write_contents(
            contents, Path(out), source=opened.path.resolve().name, findings=findings, strict=config.strict
        )


@contextmanager
def _named_after(folder: Path, path: Path) -> Iterator[None]:
    """Errors name the archive that the user gave and not the temporary folder."""
    try:
        yield
    except (DataError, SchemaError) as error:
        if folder == path:
            raise
        raise type(error)(error.message.replace(str(folder), str(path)), hint=error.hint) from error


def find_format(source: Source) -> Format:
    """The one format that the files have; a `ConfigError` that lists what was found where it is none or several."""
    found = [
        *([Format.MOVIELENS] if is_movielens(source.names) else []),
        *([Format.PERSONALIZE] if _is_personalize(source) else []),
        *([Format.RECBOLE] if any(name.endswith(".inter") for name in source.names) else []),
    ]
    if len(found) == 1:
        return found[0]
    held = ", ".join(source.names[:8]) or "no files"
    if len(found) > 1:
        raise ConfigError(
            f"{source.path}: files of several formats: {', '.join(found)}; it holds {held}",
            hint=f"state one with --format {found[0]}",
        )
    if any(name.startswith("events.") for name in source.names):
        raise ConfigError(
            f"{source.path}: this looks like a data folder of Palate already",
            hint="--to personalize or --to recbole writes it in another format",
        )
    if PreparedLog.is_there(source.path):
        raise ConfigError(
            f"{source.path}: this is a prepared log", hint="--to writes the data folder that it was made from"
        )
    supported = "; ".join(f"{name}: {sign}" for name, sign in _SIGNS.items())
    raise ConfigError(
        f"{source.path}: no format was recognised; it holds {held}", hint=f"supported are {supported}; see --format"
    )


def _is_personalize(source: Source) -> bool:
    for name in source.names:
        if name.lower().endswith(".csv"):
            line = source.first_line(name).decode("utf-8", errors="replace")
            if is_personalize_header(tuple(cell.strip().strip('"\ufeff') for cell in line.split(","))):
                return True
    return False


def _names(source: Source, kind: Format) -> tuple[str, ...]:
    """The files that are needed."""
    if kind == Format.MOVIELENS:
        return used_files(source.names, source.path)
    suffixes = (".csv", ".json", ".avsc") if kind == Format.PERSONALIZE else (".inter", ".item", ".user")
    return tuple(name for name in source.names if name.lower().endswith(suffixes))


def _read(
    folder: Path, source: Source, kind: Format, config: ConvertConfig, findings: Findings, progress: Progress | None
) -> Contents:
    if kind == Format.MOVIELENS:
        return read_movielens(folder, source.names, source.path, findings, progress)
    if kind == Format.PERSONALIZE:
        return read_personalize(folder, source.names, config, findings, progress)
    return read_recbole(folder, source.names, config, findings, progress)
