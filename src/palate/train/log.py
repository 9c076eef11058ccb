"""What is trained on: a log that is in memory, or one in parts that need not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl

from palate.data import (
    Dataset,
    Part,
    PreparedLog,
    Schema,
    Split,
    SplitRule,
    divided_parts,
    is_target,
    split,
    split_parts,
)
from palate.errors import SplitError
from palate.words import USER_ID


@runtime_checkable
class Log(Protocol):
    """Events to learn from, as datasets of whole members."""

    @property
    def schema(self) -> Schema:
        """What its columns are."""

    @property
    def events(self) -> int:
        """Events of the log."""

    @property
    def members(self) -> int:
        """Members of the log."""

    @property
    def source(self) -> str:
        """A text that names the content, and how it is divided."""

    def parts(self) -> Iterator[tuple[Dataset, Split]]:
        """Members in ascending order, part by part."""

    def held_out(self, targets: int, seed: int) -> tuple[Dataset, Split] | None:
        """Members to validate on, whole, with their split: at least so many targets of the validation part where there
        are so many; none where that part has no event. `SplitError` where it has events and no target."""


class WholeLog:
    """A dataset in memory, divided by its schema where no division is given; it validates on all its members."""

    def __init__(self, dataset: Dataset, division: Split | None = None) -> None:
        self._dataset, self._split = dataset, split(dataset) if division is None else division

    @property
    def schema(self) -> Schema:
        """What its columns are."""
        return self._dataset.schema

    @property
    def events(self) -> int:
        """Events of the log."""
        return self._dataset.events.height

    @property
    def members(self) -> int:
        """Members of the log."""
        return len(self._dataset.member_starts)

    @cached_property
    def source(self) -> str:
        """A hash of the tables and of the split."""
        division = hashlib.sha256(np.ascontiguousarray(self._split.part).data).hexdigest()
        return f"{self._dataset.digest()} {division}"

    def parts(self) -> Iterator[tuple[Dataset, Split]]:
        """One part: everything."""
        yield self._dataset, self._split

    def held_out(self, targets: int, seed: int) -> tuple[Dataset, Split] | None:
        """Everything."""
        return (self._dataset, self._split) if (self._split.part == Part.VALIDATION).any() else None


class LogInParts:
    """A prepared log, of which one part at a time is in memory; it validates on members drawn by the seed.

    Raises what `palate.data.split` raises for a rule that the log can't be divided by.
    """

    def __init__(self, prepared: PreparedLog, rule: SplitRule | None = None) -> None:
        if rule is not None:
            prepared = replace(prepared, schema=prepared.schema.model_copy(update={"split": rule}))
        self._prepared = prepared
        self._divided = split_parts(prepared)

    @property
    def schema(self) -> Schema:
        """What its columns are."""
        return self._prepared.schema

    @property
    def events(self) -> int:
        """Events of the log."""
        return self._prepared.events

    @property
    def members(self) -> int:
        """Members of the log."""
        return self._prepared.members

    @property
    def source(self) -> str:
        """The manifest's hash and the split."""
        manifest = (self._prepared.folder / "manifest.json").read_bytes()
        return f"{hashlib.sha256(manifest).hexdigest()} {self._divided}"

    def parts(self) -> Iterator[tuple[Dataset, Split]]:
        """The parts that were prepared."""
        return divided_parts(self._prepared, self._divided)

    def held_out(self, targets: int, seed: int) -> tuple[Dataset, Split] | None:
        """Members in random order, until they have so many validation targets together."""
        counted, events = [], 0
        for part, division in self.parts():
            validation = division.part == Part.VALIDATION
            events += int(validation.sum())
            asked = part.events.filter(pl.Series(validation & is_target(part)))
            counted.append(asked.group_by(USER_ID, maintain_order=True).agg(pl.len().alias("targets")))
        if not events:
            return None
        asking = pl.concat(counted)
        if not asking.height:
            raise SplitError("the validation part has no target event", hint="change the split, or use --split none")
        drawn = asking[np.random.default_rng([seed, 1]).permutation(asking.height)]
        enough = drawn.filter(pl.col("targets").cum_sum() - pl.col("targets") < targets)
        dataset = self._prepared.read(enough[USER_ID])
        return dataset, self._divided.of(dataset)
