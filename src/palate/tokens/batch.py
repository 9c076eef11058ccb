"""The batch: the one type that passes between tokens and model.

Sequences are laid end to end along one axis of ``T`` slots, so that everything position-wise works without
padding. Attention needs rectangles: sequences of like length lie together and are padded to the longest of
their rectangle, a few per cent of the slots. A rectangle of ``b`` sequences and ``l`` slots is a plain view of
``b * l`` neighbouring slots: nothing is gathered or copied.

Row t of a sequence holds the request-time fields of event t and the post-action fields of event t-1; its target
is the item of event t.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, Protocol

import torch
from jaxtyping import Float32, Int16, Int32, Int64
from torch import Tensor

from palate.words import FIRST_KNOWN


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
    outcome: Int32[Tensor, "T P"]
    """Labels, never input: the post-action index columns of the row's own event; 0 where it is no target."""
    familiar: Int32[Tensor, "T"]
    """What the member knew of the target, as `Familiar`; 0 where there is none."""
    session: Int32[Tensor, "T"]
    """Number of the row's session within its member's history."""
    weight: Float32[Tensor, "T"]
    """What the target counts, 1 on average; 0 where there is none."""
    shown: Int32[Tensor, "T S"]
    """Item indices the target was chosen among, in the order of their places (0: none there); S may be 0."""
    first: Int64[Tensor, "B"]
    """Place of each sequence's first row within its member's history, from 0; in the order of the rectangles."""
    rectangles: tuple[Rectangle, ...]
    """Their slots add up to T, in order."""

    def to(self, device: torch.device) -> Batch:
        """The same rows in the memory of a device."""
        return Batch._make(each.to(device) if isinstance(each, Tensor) else each for each in self)

    def items(self) -> Int64[Tensor, "S"]:
        """Places in the catalogue of all items that the rows carry, ask for or were shown; ascending, each once."""
        named: Tensor = torch.unique(torch.cat([self.ids[:, 0].long(), self.target, self.shown.reshape(-1).long()]))
        return named[named >= FIRST_KNOWN] - FIRST_KNOWN

    def among(self, items: Int64[Tensor, "S"]) -> Batch:
        """The same rows in a catalogue of these items alone (ascending places), all of `items` among them.

        Labels of events (``outcome``) stay as they are.
        """

        def placed(index: Tensor) -> Tensor:
            place = torch.searchsorted(items, index.long() - FIRST_KNOWN) + FIRST_KNOWN
            return torch.where(index >= FIRST_KNOWN, place.to(index.dtype), index)

        ids = self.ids.clone()
        ids[:, 0] = placed(ids[:, 0])
        # Items stand in the order of their availability: what exists stays a prefix.
        return self._replace(
            ids=ids, target=placed(self.target), available=placed(self.available), shown=placed(self.shown)
        )


AGE_SHAPE: Final = (12, 18, 128)
"""Buckets of an item's time since launch, of the events before, and of the demand. An age code counts them through in
this order."""
DEMAND_STEPS: Final = 4
"""Buckets of demand each time it doubles."""
LEAST_DEMAND: Final = -8
"""Where the first of them begins, as a power of two; less demand is none, and bucket 0."""


class Familiar(IntEnum):
    """Whether the target was known to the member before."""

    NONE = 0
    DISCOVER = 1
    """Neither the item nor another one of its group."""
    CONTINUE = 2
    """Another item of its group, and not this one."""
    AGAIN = 3
    """The item."""


class MetadataKind(StrEnum):
    """How a column of metadata is embedded."""

    CATEGORY = "category"
    """The mean of its values' embeddings."""
    VECTOR = "vector"
    """Numbers, projected."""


@dataclass(frozen=True, kw_only=True)
class MetadataSpec:
    """What the model has to know of a column of item metadata."""

    name: str
    kind: MetadataKind
    size: int
    """Number of indices, padding (0) and unknown (1) included; 0 for a vector."""
    start: int
    """First column of ``Catalogue.metadata`` or, for a vector, of ``Catalogue.vectors``."""
    width: int
    """Columns."""


class HeadSource(StrEnum):
    """Where the label of a head comes from."""

    EVENT = "event"
    """A post-action category of the target's event."""
    ITEM = "item"
    """A column of the target item's metadata."""
    FAMILIAR = "familiar"
    """What the member knew of the target, as `Familiar`."""
    RELEASE = "release"
    """Time since the target item's launch, in the classes of `RELEASE_EDGES`."""


RELEASE_EDGES: Final = tuple(days * 86_400_000 for days in (1, 7, 30, 90, 365))
"""Milliseconds that part the classes of time since launch."""


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Something of the target that is predicted before the item."""

    name: str
    source: HeadSource
    classes: int
    start: int = 0
    """First column of ``Batch.outcome`` or of ``Catalogue.metadata``."""
    width: int = 1
    """Columns."""


class AgeCodes(Protocol):
    """What stands for the codes of ``K`` moments and ``V`` items where they can't all be held."""

    @property
    def shape(self) -> tuple[int, int]:
        """``K``, ``V``."""

    def __getitem__(self, index: Tensor | tuple[Tensor, Tensor | int]) -> Int16[Tensor, "..."]:
        """As of a tensor: the codes at ascending points, or of pairs of a point and an item."""

    def grid(self, points: Int64[Tensor, "U"], items: Int64[Tensor, "S"]) -> Int16[Tensor, "U S"]:
        """The code of each of these items at each of these ascending points."""

    def to(self, device: torch.device) -> AgeCodes:
        """The same in the memory of a device."""

    def tensors(self) -> list[Tensor]:
        """Everything that decides a code."""


class Catalogue(NamedTuple):
    """What is known of the items: ``V`` of them, ``K`` moments, ``F`` columns of indices, ``N`` of numbers.

    Column v is item index v + 2. The first ``trained`` items were in training; only they have an embedding of their id.
    """

    trained: int
    metadata: Int32[Tensor, "V F"]
    vectors: Float32[Tensor, "V N"]
    counts: Int64[Tensor, "V"]
    """Training events of each item; 0 for what was not in training."""
    launch: Int64[Tensor, "V"]
    """Milliseconds; the smallest number where unknown."""
    moments: Int64[Tensor, "K"]
    """Ascending; the first holds for everything before the second."""
    ages: Int16[Tensor, "K V"] | AgeCodes
    """The code of each item's age at each moment, as `palate.tokens.ages` makes it."""

    def to(self, device: torch.device) -> Catalogue:
        """The same in the memory of a device."""
        return Catalogue._make(each if isinstance(each, int) else each.to(device) for each in self)

    def take(self, items: Int64[Tensor, "S"], points: Int64[Tensor, "U"]) -> Catalogue:
        """Some of the items at some of the moments, both by their places, ascending."""
        return Catalogue(
            trained=int(torch.searchsorted(items, self.trained)),
            metadata=self.metadata[items],
            vectors=self.vectors[items],
            counts=self.counts[items],
            launch=self.launch[items],
            moments=self.moments[points],
            ages=self.ages[points[:, None], items] if isinstance(self.ages, Tensor) else self.ages.grid(points, items),
        )

    def digest(self) -> str:
        """A hash of all content."""
        digest = hashlib.sha256(str(self.trained).encode())
        parts = [part for each in self[1:] for part in ([each] if isinstance(each, Tensor) else each.tensors())]
        for tensor in parts:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()
