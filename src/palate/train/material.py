"""What a training reads: the tokens of a log, whole or in parts, and which rows of them are learned from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.data import Dataset, Part, Split
from palate.errors import SplitError
from palate.tokens import Columns, OpenRuns, Tokenizer, TokenStore
from palate.tokens.impressions import encode_impressions
from palate.tokens.rewards import Rewards
from palate.words import IMPRESSIONS

Parts = Callable[[], Iterable[tuple[Dataset, Split]]]
"""A log as datasets of whole members and their splits, gone through anew each time it is called."""

_TOKENS, _OPEN = "tokens.", "open_runs."


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What of a target is learned beside which item it is."""

    rewards: Rewards | None = None
    """What it counts; none: all count the same."""
    places: int = 0
    """Places of the row it was chosen from; 0: none."""

    def of(self, store: TokenStore, tokenizer: Tokenizer, dataset: Dataset, split: Split) -> TokenStore:
        """The store with it; ``store.event`` are rows of ``dataset``."""
        if self.rewards is not None:
            store = store._replace(weight=self.rewards.weights(dataset, split)[store.event] * (store.target > 0))
        if self.places:
            shown = dataset.events[IMPRESSIONS].gather(store.event)
            store = store._replace(shown=encode_impressions(shown, store.target, tokenizer.items, self.places))
        return store

    def digest(self) -> str:
        """A text that differs where what is taught does."""
        return repr(self)


@dataclass(frozen=True)
class Material:
    """An encoded log."""

    store: TokenStore
    begin: NDArray[np.int64]
    """First row of each member who has a training target, ``[members]``."""
    end: NDArray[np.int64]
    """The row behind the last such target."""
    open_runs: OpenRuns | None = None
    """Training runs cut short, where runs are merged."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, dataset: Dataset, split: Split, teaching: Teaching | None = None) -> Material:
        """The material of a log in memory. Raises `SplitError` where there is no training target."""
        teaching = teaching or Teaching()
        store = teaching.of(tokenizer.encode(dataset, split), tokenizer, dataset, split)
        open_runs = _open_runs(tokenizer, dataset, split, teaching)
        return _some(cls(store, *_training_rows(store, split), open_runs))

    @classmethod
    def write(
        cls,
        tokenizer: Tokenizer,
        parts: Parts,
        folder: Path,
        *,
        teaching: Teaching | None = None,
        source: str | None = None,
    ) -> Material:
        """Encode a log part by part into ``folder``, where it is mapped: nothing is read before it is used.

        Where an encoding of the same ``source`` (a text that names the log's content) with the same tokenizer was
        killed, go on behind its last whole part. Raises `SplitError` as `of` does.
        """
        teaching = teaching or Teaching()
        same = None if source is None else f"{source} {tokenizer.digest()} {teaching.digest()}"
        note = folder / "source.txt"
        if same is None or not note.exists() or note.read_text(encoding="utf-8") != same:
            shutil.rmtree(folder, ignore_errors=True)
        columns = Columns(folder)
        note.write_text(same or "", encoding="utf-8")
        events = 0
        for number, (dataset, split) in enumerate(parts()):
            if number >= columns.parts:
                columns.append(_part(tokenizer, teaching, dataset, split, columns, events))
            events += dataset.events.height
        return cls.read(folder)

    def digest(self) -> str:
        """A hash of what is learned from."""
        digest = hashlib.sha256(self.store.digest().encode())
        for array in (self.begin, self.end):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @classmethod
    def read(cls, folder: Path) -> Material:
        """Map what `write` wrote."""
        columns = Columns(folder)
        open_runs = None
        if columns.has(_OPEN + "asking"):
            store = _store(columns, _OPEN)
            asked = (columns.read(_OPEN + name) for name in ("asking", "run", "stop"))
            open_runs = OpenRuns(store, *asked)
        begin, end = columns.read("learned.begin"), columns.read("learned.end")
        return _some(cls(_store(columns, _TOKENS), begin, end, open_runs))


def _open_runs(tokenizer: Tokenizer, dataset: Dataset, split: Split, teaching: Teaching) -> OpenRuns | None:
    if tokenizer.merges is None:
        return None
    found = tokenizer.open_runs(dataset, split)
    return replace(found, store=teaching.of(found.store, tokenizer, dataset, split))


def _part(
    tokenizer: Tokenizer, teaching: Teaching, dataset: Dataset, split: Split, columns: Columns, events: int
) -> dict[str, NDArray[Any]]:
    """The columns of a part, its rows counted on from those that are there; ``events`` come before it."""
    before = columns.rows(_TOKENS + "begin")
    store = teaching.of(tokenizer.encode(dataset, split), tokenizer, dataset, split)
    begin, end = _training_rows(store, split)
    part = _shifted(store, _TOKENS, rows=before, events=events)
    part |= {"learned.begin": begin + before, "learned.end": end + before}
    runs, before = _open_runs(tokenizer, dataset, split, teaching), columns.rows(_OPEN + "begin")
    if runs is not None:
        part |= _shifted(runs.store, _OPEN, rows=before, events=events)
        part[_OPEN + "asking"], part[_OPEN + "run"] = runs.asking + events, runs.run + events
        part[_OPEN + "stop"] = runs.stop + before
    return part


def _shifted(store: TokenStore, prefix: str, *, rows: int, events: int) -> dict[str, NDArray[Any]]:
    """The columns of a store behind so many rows and events of the parts before it."""
    shifted = store._replace(begin=store.begin + rows, event=store.event + events)
    return {prefix + name: column for name, column in shifted._asdict().items()}


def _store(columns: Columns, prefix: str) -> TokenStore:
    return TokenStore(**{name: columns.read(prefix + name) for name in TokenStore._fields})


def _some(material: Material) -> Material:
    if not len(material.begin):
        raise SplitError("the training part has no target event", hint="change the split or the targets")
    return material


def _training_rows(store: TokenStore, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each member who has a training target, and the row behind the last such target.

    A member's training events come first, so these rows are a prefix of the history.
    """
    target = np.flatnonzero((store.target > 0) & (split.part[store.event] == Part.TRAIN))
    begin, last = np.unique(store.begin[target][::-1], return_index=True)
    return begin, target[len(target) - 1 - last] + 1
