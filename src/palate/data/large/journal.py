"""The folder in which a log is prepared, and the journal of what is finished there.

A file appears in the folder whole or not at all; only then does the journal get a line that says so. Whoever finds
the line finds the file. A line that was cut off while it was written is as good as not there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from palate.files import flush

JOURNAL: Final = "journal.jsonl"
_PARTIAL: Final = ".partial"

Line = dict[str, Any]


class Journal:
    """Lines about finished work, one JSON object each, by stage and number."""

    def __init__(self, folder: Path) -> None:
        """Open the journal of a work folder, or begin one."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / JOURNAL
        self._lines: dict[tuple[str, int], Line] = {}
        whole = 0
        if self._path.exists():
            content = self._path.read_bytes()
            whole = content.rfind(b"\n") + 1
            for text in content[:whole].splitlines():
                line = json.loads(text)
                self._lines[line["stage"], line["number"]] = line["content"]
        self._file = self._path.open("ab")
        self._file.truncate(whole)

    def get(self, stage: str, number: int = 0) -> Line | None:
        """What was written about a piece of work, None where it is not finished."""
        return self._lines.get((stage, number))

    def done(self, stage: str) -> set[int]:
        """Numbers of the finished pieces of a stage."""
        return {number for name, number in self._lines if name == stage}

    def write(self, stage: str, content: Line, number: int = 0) -> None:
        """Say that a piece of work is finished, durably."""
        line = json.dumps({"stage": stage, "number": number, "content": content}, ensure_ascii=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        # As it will be read: tuples are lists.
        self._lines[stage, number] = json.loads(line)["content"]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; on leaving, what was written there gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + _PARTIAL)
    yield partial
    flush(partial)
    partial.replace(path)
    flush(path.parent)


def tuples(content: Line) -> Line:
    """The content with its lists as tuples, as they were before they were written."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def remove(folder: Path) -> None:
    """Delete a folder where it exists."""
    if folder.exists():
        shutil.rmtree(folder)
