"""Columns on disk that grow part by part and are mapped, not read: how an encoded log is kept that exceeds memory.

A folder holds one file of plain numbers a column, and ``columns.json`` with their forms and how many rows are
committed. A part is in wholly or not at all: whoever opens the folder after a kill goes on behind the last whole part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from palate.config import Config
from palate.errors import DamagedRunError

COMMITTED: Final = "columns.json"


class _Form(Config):
    """What a column is."""

    dtype: str
    """The name of its numbers."""
    row: tuple[int, ...]
    """Shape of one row."""
    rows: int
    """Rows that are committed."""


class _State(Config):
    """What is committed."""

    parts: int = 0
    """Parts that are in."""
    columns: dict[str, _Form] = Field(default={})
    """Their columns."""


class Columns:
    """Arrays of a log, one file each; columns may differ in their numbers of rows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        path = folder / COMMITTED
        self._state = _State.model_validate_json(path.read_bytes()) if path.exists() else _State()

    @property
    def parts(self) -> int:
        """Parts that are in."""
        return self._state.parts

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self._state.columns

    def rows(self, name: str) -> int:
        """Rows of a column that are in."""
        return self._state.columns[name].rows if name in self._state.columns else 0

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Add the next part; every part has the same columns, of the same forms."""
        forms = {}
        for name, array in part.items():
            form = _Form(dtype=str(array.dtype), row=array.shape[1:], rows=self.rows(name) + len(array))
            known = self._state.columns.get(name, form)
            assert (known.dtype, known.row) == (form.dtype, form.row), f"{name} has changed its form"
            self._write(name, np.ascontiguousarray(array))
            forms[name] = form
        assert not self.parts or forms.keys() == self._state.columns.keys(), "parts with the same columns"
        self._state = _State(parts=self.parts + 1, columns=forms)
        aside = self._folder / (COMMITTED + ".aside")
        with aside.open("w", encoding="utf-8") as file:
            file.write(self._state.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._folder / COMMITTED)

    def read(self, name: str) -> NDArray[Any]:
        """A column, mapped."""
        form = self._state.columns[name]
        shape, dtype = (form.rows, *form.row), np.dtype(form.dtype)
        if not prod(shape):
            return np.zeros(shape, dtype)
        path, size = self._folder / f"{name}.bin", prod(shape) * dtype.itemsize
        if not path.is_file() or path.stat().st_size < size:
            raise DamagedRunError(f"{path} is missing or cut off", hint=f"delete {self._folder}; it is made again")
        mapped = np.memmap(path, dtype=dtype, mode="r", shape=shape)
        plain: NDArray[Any] = mapped.view(np.ndarray)
        return plain

    def _write(self, name: str, array: NDArray[Any]) -> None:
        """Write behind what is committed, over what a killed writer may have left there."""
        path = self._folder / f"{name}.bin"
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(self.rows(name) * array.itemsize * prod(array.shape[1:]))
            file.truncate()
            file.write(array.data)
            file.flush()
            os.fsync(file.fileno())
