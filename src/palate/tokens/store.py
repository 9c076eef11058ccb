"""The token store: a log as arrays, in memory or mapped from one Arrow file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class TokenStore(NamedTuple):
    """One row a token, members' histories end to end. ``n`` rows, ``F`` index and ``N`` number columns."""

    ids: NDArray[np.int32]
    """Field indices ``[n, F]``, post-action columns first."""
    values: NDArray[np.float32]
    """Scaled numbers ``[n, N]``, those of post-action fields first."""
    time: NDArray[np.int64]
    """Milliseconds of each token's first event ``[n]``; 0 without time."""
    end: NDArray[np.int64]
    """Milliseconds of its last event."""
    target: NDArray[np.int32]
    """Item index ``[n]`` where the token is a target, else 0."""
    available: NDArray[np.int32]
    """Item indices below this one exist at the token's first event, ``[n]``."""
    begin: NDArray[np.int64]
    """First row of each row's member ``[n]``."""
    event: NDArray[np.int64]
    """Row in the log of each token's first event ``[n]``, ascending."""

    def digest(self) -> str:
        """A hash of all content."""
        digest = hashlib.sha256()
        for array in self:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Save as one uncompressed Arrow file that can be mapped."""
        columns = {name: to_arrow(array) for name, array in self._asdict().items()}
        table = pa.table({name: column for name, column in columns.items() if column is not None})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=max(len(table), 1))

    @classmethod
    def open(cls, path: Path) -> TokenStore:
        """Map what `write` saved: nothing is read before it is used."""
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        missing = np.zeros((len(table), 0))
        arrays = {name: _to_numpy(table[name]) for name in table.column_names}
        return cls(
            ids=arrays["ids"],
            values=arrays.get("values", missing.astype(np.float32)),
            time=arrays["time"],
            end=arrays["end"],
            target=arrays["target"],
            available=arrays["available"],
            begin=arrays["begin"],
            event=arrays["event"],
        )


def to_arrow(array: NDArray[Any]) -> pa.Array | None:
    """A column; a matrix as lists of fixed size, none where it has no columns."""
    if array.ndim == 1:
        return pa.array(array)
    if array.shape[1] == 0:
        return None
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """The column without a copy."""
    chunk = column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
    if not pa.types.is_fixed_size_list(chunk.type):
        flat: NDArray[Any] = chunk.to_numpy(zero_copy_only=True)
        return flat
    matrix: NDArray[Any] = chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, chunk.type.list_size)
    return matrix
