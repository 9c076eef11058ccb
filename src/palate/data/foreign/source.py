"""Where foreign data lie: a folder, or a zip archive as downloaded."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from palate.errors import DataError, MissingTableError, TornFileError


def open_source(path: Path) -> Source:
    """The folder or archive at ``path``; `MissingTableError` or `TornFileError` where there is none."""
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise MissingTableError(f"{path}: no such folder or file")
    if path.suffix.lower() == ".zip":
        return Archive(path)
    raise MissingTableError(
        f"{path}: a file, neither a folder nor a zip archive", hint="give the folder in which it lies"
    )


class Source(ABC):
    """Files by name, whatever holds them."""

    path: Path
    names: tuple[str, ...]
    """Names of the files, without folders, sorted."""

    @abstractmethod
    def first_line(self, name: str) -> bytes:
        """The first line of a file, at most 64 KiB of it."""

    @abstractmethod
    def local(self, names: Iterable[str]) -> AbstractContextManager[Path]:
        """A folder that holds these files for as long as the context lasts."""


class Folder(Source):
    """A folder; folders inside it are not looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = tuple(sorted(entry.name for entry in path.iterdir() if entry.is_file()))

    def first_line(self, name: str) -> bytes:
        """The first line of a file, at most 64 KiB of it."""
        with (self.path / name).open("rb") as file:
            return file.readline(1 << 16)

    @contextmanager
    def local(self, names: Iterable[str]) -> Iterator[Path]:
        """The folder itself."""
        yield self.path


class Archive(Source):
    """A zip archive. Its own folders are taken away: a member is known by the last part of its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, list[zipfile.ZipInfo]] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise TornFileError(
                f"{path}: not a whole zip archive: {error}", hint="it may have been cut off; download it again"
            ) from error
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts or ":" in member.filename:
                raise DataError(
                    f"{path}: the member {member.filename!r} would lie outside the archive's own folder",
                    hint="no publisher writes such archives; do not unpack it",
                )
            if not member.is_dir() and "__MACOSX" not in parts.parts and not parts.name.startswith("._"):
                self._members.setdefault(parts.name, []).append(member)
        self.names = tuple(sorted(self._members))

    def first_line(self, name: str) -> bytes:
        """The first line of a member, at most 64 KiB of it."""
        with zipfile.ZipFile(self.path) as archive, self._open(archive, name) as file:
            try:
                return file.readline(1 << 16)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise self._torn(name, error) from error

    @contextmanager
    def local(self, names: Iterable[str]) -> Iterator[Path]:
        """A temporary folder with these members and no others."""
        with tempfile.TemporaryDirectory(prefix="palate-") as text:
            folder = Path(text)
            with zipfile.ZipFile(self.path) as archive:
                for name in names:
                    try:
                        with self._open(archive, name) as member, (folder / name).open("wb") as file:
                            shutil.copyfileobj(member, file, 1 << 20)
                    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                        raise self._torn(name, error) from error
            yield folder

    def _open(self, archive: zipfile.ZipFile, name: str) -> BinaryIO:
        found = self._members[name]
        if len(found) > 1:
            shown = ", ".join(member.filename for member in found[:4])
            raise DataError(f"{self.path}: several members are called {name}: {shown}", hint="unpack one folder of it")
        if found[0].flag_bits & 1:
            raise DataError(f"{self.path}: {found[0].filename} is encrypted", hint="unpack the archive first")
        try:
            return cast(BinaryIO, archive.open(found[0]))
        except NotImplementedError as error:
            raise DataError(
                f"{self.path}: {found[0].filename} is packed in a way that Python can't read: {error}",
                hint="unpack the archive first, and convert the folder",
            ) from error

    def _torn(self, name: str, error: Exception) -> TornFileError:
        return TornFileError(f"{self.path}: the member {name} is damaged: {error}", hint="download the archive again")
