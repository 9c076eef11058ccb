"""Writing a token store that is larger than memory: part by part, resumable, in the end one file like any other."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from palate.tokens.store import TokenStore, to_arrow

_COMMITTED = "committed.json"


class StoreWriter:
    """Appends parts of a log to a store, each wholly or not at all.

    ``folder`` holds the columns as raw files while the store grows, and which parts are in. A writer that is opened
    where another was killed goes on behind the last whole part.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _COMMITTED
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.parts: int = state.get("parts", 0)
        """Parts that are in."""
        self.rows: int = state.get("rows", 0)
        """Tokens that are in."""
        self.events: int = state.get("events", 0)
        """Events that they hold."""
        self._columns: dict[str, tuple[str, int]] = {
            name: (dtype, width) for name, (dtype, width) in state.get("columns", {}).items()
        }

    def append(self, part: TokenStore, events: int) -> None:
        """Add the next part, which holds so many events; its rows count from its own beginning."""
        part = part._replace(begin=part.begin + self.rows, event=part.event + self.events)
        for name, column in part._asdict().items():
            width = column.shape[1] if column.ndim == 2 else 1
            known = self._columns.setdefault(name, (str(column.dtype), width))
            assert known == (str(column.dtype), width), f"{name} has changed its form"
            self._write(name, column)
        self.parts, self.rows, self.events = self.parts + 1, self.rows + len(part.begin), self.events + events
        state = {"parts": self.parts, "rows": self.rows, "events": self.events, "columns": self._columns}
        aside = self._folder / (_COMMITTED + ".aside")
        with aside.open("w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._folder / _COMMITTED)

    def finish(self, path: Path) -> TokenStore:
        """Make the parts one file at ``path``, remove the folder, and map the store."""
        columns = {}
        for name, (dtype, width) in self._columns.items():
            column = to_arrow(self._read(name, np.dtype(dtype), width))
            if column is not None:
                columns[name] = column
        table = pa.table(columns)
        aside = path.with_name(path.name + ".aside")
        with pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=max(len(table), 1))
        del table, columns
        aside.replace(path)
        shutil.rmtree(self._folder)
        return TokenStore.open(path)

    def _write(self, name: str, column: NDArray[Any]) -> None:
        """Write behind what is committed; what a killed writer left there is written over."""
        width = self._columns[name][1]
        with (self._folder / f"{name}.bin").open("r+b" if self.parts else "wb") as file:
            file.seek(self.rows * width * column.itemsize)
            file.truncate()
            file.write(np.ascontiguousarray(column).data)
            file.flush()
            os.fsync(file.fileno())

    def _read(self, name: str, dtype: np.dtype[Any], width: int) -> NDArray[Any]:
        shape = (self.rows, width) if name in ("ids", "values") else (self.rows,)
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(self._folder / f"{name}.bin", dtype=dtype, mode="r", shape=shape)
