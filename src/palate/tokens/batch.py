"""The batch: the one type that passes between tokens and model.

Sequences are laid end to end along one axis of ``T`` slots, so that everything position-wise works without
padding. Attention needs rectangles: sequences of like length lie together and are padded to the longest of
their rectangle, a few per cent of the slots. A rectangle of ``b`` sequences and ``l`` slots is a plain view of
``b * l`` neighbouring slots: nothing is gathered or copied.

Row t of a sequence holds the request-time fields of event t and the post-action fields of event t-1; its target
is the item of event t.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from jaxtyping import Float32, Int32, Int64
from torch import Tensor


class Side(StrEnum):
    """When a field of an event is known."""

    REQUEST_TIME = "request_time"
    POST_ACTION = "post_action"


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """What the model has to know of a field: where it lies in a batch and how many indices it has."""

    name: str
    side: Side
    size: int
    """Number of indices, padding (0) and unknown (1) included."""
    start: int
    """First column of ``Batch.ids``."""
    width: int = 1
    """Columns of ``Batch.ids``: one, or the most values that a cell can have."""
    value: int | None = None
    """Column of ``Batch.values`` with the scaled number, for numeric fields."""


class Rectangle(NamedTuple):
    """``sequences`` neighbours of ``length`` slots each."""

    sequences: int
    length: int


class Batch(NamedTuple):
    """Rows of several sequences, laid end to end.

    ``T`` slots (padding included), ``F`` columns of indices, ``N`` columns of numbers.
    """

    ids: Int32[Tensor, "T F"]
    """Field indices: request-time columns of the row's own event, post-action columns of the one before."""
    values: Float32[Tensor, "T N"]
    """Scaled numbers of numeric fields, 0 where unknown."""
    query_time: Int64[Tensor, "T"]
    """Milliseconds at which the row asks; 0 without time and in padding."""
    key_time: Int64[Tensor, "T"]
    """Milliseconds of the action that the row carries: that of the event before, its own for a first row."""
    target: Int64[Tensor, "T"]
    """Item index to predict; 0 in padding, in context rows and where the event is no target."""
    available: Int32[Tensor, "T"]
    """Item indices below this one exist at the row's moment."""
    rectangles: tuple[Rectangle, ...]
    """Their slots add up to T, in order."""
