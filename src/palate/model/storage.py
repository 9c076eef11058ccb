"""How cached keys and values are kept: in single precision, as bfloat16, or as 8-bit integers with a scale.

Legend: ``N`` layers, ``H`` heads of width ``E``, ``n`` rows; the first axis of 2 parts keys from values.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Precision = Literal["float32", "bfloat16", "int8"]
_TYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
_SPARE_ROWS: Final = 16


class Rows:
    """Keys, values and times of neighbouring rows; grows by quarters, so that a row is copied a few times at most.

    8-bit integers are the vector of a row and a head over its largest magnitude, times 127, rounded.
    """

    def __init__(self, precision: Precision, layers: int, heads: int, head_width: int) -> None:
        self.precision = precision
        self.length = 0
        self._shape = (2, layers, heads)
        self._data = torch.empty(*self._shape, 0, head_width, dtype=_TYPES[precision])
        self._scale = torch.empty(*self._shape, 0)
        self._time = torch.empty(0, dtype=torch.int64)

    @property
    def nbytes(self) -> int:
        """What it takes, spare room included."""
        return sum(each.numel() * each.element_size() for each in (self._data, self._scale, self._time))

    @property
    def time(self) -> Int64[Tensor, "n"]:
        """Milliseconds of the action that each row carries."""
        return self._time[: self.length]

    def read(self) -> Float[Tensor, "2 N H n E"]:
        """All rows; a view of what is kept, where that is single precision."""
        data = self._data[:, :, :, : self.length]
        if self.precision == "int8":
            return data.float() * self._scale[:, :, :, : self.length, None]
        return data.float()

    def append(self, rows: Float[Tensor, "2 N H m E"], time: Int64[Tensor, "m"]) -> None:
        """Keep more rows behind those that are there."""
        start, stop = self.length, self.length + len(time)
        if stop > len(self._time):
            self._grow(max(stop, start + start // 4 + _SPARE_ROWS))
        if self.precision == "int8":
            scale = rows.abs().amax(-1).clamp(min=torch.finfo(torch.float32).tiny) / 127
            self._scale[:, :, :, start:stop] = scale
            self._data[:, :, :, start:stop] = (rows / scale[..., None]).round()
        else:
            self._data[:, :, :, start:stop] = rows
        self._time[start:stop] = time
        self.length = stop

    def drop(self, rows: int) -> None:
        """Forget the first ``rows`` rows."""
        self._data = self._data[:, :, :, rows:].clone()
        self._scale, self._time = self._scale[:, :, :, rows:].clone(), self._time[rows:].clone()
        self.length -= rows

    def copy(self) -> Rows:
        """Another one with the same rows."""
        other = Rows(self.precision, *self._shape[1:], self._data.shape[-1])
        other._data, other._scale, other._time = self._data.clone(), self._scale.clone(), self._time.clone()
        other.length = self.length
        return other

    def _grow(self, rows: int) -> None:
        for name in ("_data", "_scale", "_time"):
            old: Tensor = getattr(self, name)
            axis = 0 if name == "_time" else 3
            shape = list(old.shape)
            shape[axis] = rows if name != "_scale" or self.precision == "int8" else 0
            new = torch.empty(shape, dtype=old.dtype)
            if new.shape[axis]:
                new.narrow(axis, 0, self.length).copy_(old.narrow(axis, 0, self.length))
            setattr(self, name, new)
