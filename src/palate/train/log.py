"""What is trained on: a log that is in memory, or one in parts that need not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from palate.data import Dataset, Part, Split, split


@runtime_checkable
class Log(Protocol):
    """Events to learn from, as datasets of whole members."""

    @property
    def events(self) -> int:
        """Events of the log."""

    @property
    def members(self) -> int:
        """Members of the log."""

    @property
    def source(self) -> str | None:
        """A text that names the content; none where that would cost as much as reading it."""

    def parts(self) -> Iterator[tuple[Dataset, Split]]:
        """Members in ascending order, part by part."""

    def held_out(self, targets: int, seed: int) -> tuple[Dataset, Split] | None:
        """Members to validate on, whole, with their split: at least so many targets of the validation part where there
        are so many; none where that part has no event."""


class WholeLog:
    """A dataset in memory; it validates on all its members."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._split = dataset, split(dataset)

    @property
    def events(self) -> int:
        """Events of the log."""
        return self._dataset.events.height

    @property
    def members(self) -> int:
        """Members of the log."""
        return len(self._dataset.member_starts)

    @property
    def source(self) -> str | None:
        """Not known without reading all of it."""
        return None

    def parts(self) -> Iterator[tuple[Dataset, Split]]:
        """One part: everything."""
        yield self._dataset, self._split

    def held_out(self, targets: int, seed: int) -> tuple[Dataset, Split] | None:
        """Everything."""
        return (self._dataset, self._split) if (self._split.part == Part.VALIDATION).any() else None
