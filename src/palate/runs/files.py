"""Folders that appear whole or not at all, and their manifests.

A folder is written aside, every file is flushed to the disk, then it is renamed to its name: whoever finds the name
finds everything. ``manifest.json`` lists the SHA-256 of every file, so that later damage is noticed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from palate.errors import DamagedRunError, FormatVersionError, RunExistsError
from palate.files import flush, sha256

MANIFEST: Final = "manifest.json"


@contextmanager
def whole_folder(target: Path, *, format_version: int) -> Iterator[Path]:
    """Give a folder to write into; on leaving, seal it with a manifest and move it to ``target``.

    What an interrupted writing of the same folder left aside is removed. Raises `RunExistsError` where ``target``
    exists.
    """
    if target.exists():
        raise RunExistsError(f"{target} exists already", hint="choose another folder, or delete it")
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.writing-"
    for left_over in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_over)
    aside = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        aside.chmod(0o755)
        yield aside
        _write_manifest(aside, format_version)
        for path in aside.rglob("*"):
            flush(path)
        flush(aside)
        aside.rename(target)
        flush(target.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def verify(folder: Path, *, format_version: int) -> None:
    """Check every file against the manifest.

    Raises `DamagedRunError` for what is missing or has another hash, `FormatVersionError` for another format.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found, files = manifest["format_version"], manifest["files"]
    except FileNotFoundError as error:
        raise DamagedRunError(f"{folder}: no {MANIFEST}", hint="is this the folder of a run?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRunError(f"{folder / MANIFEST} is not a manifest") from error
    if found != format_version:
        raise FormatVersionError(
            f"{folder} has format version {found}", hint=f"this version of Palate reads version {format_version}"
        )
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedRunError(f"{path} is missing", hint="restore the folder from a copy, or train again")
        if sha256(path) != expected:
            raise DamagedRunError(
                f"{path} is not the file that was written (another hash)",
                hint="restore the folder from a copy, or train again",
            )


def _write_manifest(folder: Path, format_version: int) -> None:
    files = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    content = {"format_version": format_version, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
