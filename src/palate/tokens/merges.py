"""Learned merges of adjacent actions, after byte-pair encoding.

A run of events is a sequence of action symbols, at first one for each event type. Learning joins the adjacent pair
that occurs most often in the training runs to a new symbol, then the next, up to a vocabulary size. Source: Gage, "A
new algorithm for data compression", 1994; Sennrich, Haddow and Birch, "Neural machine translation of rare words with
subword units", ACL 2016, on runs of events where they have words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UNTYPED = "event"
"""The one action of a log without event types."""
OTHER = "?"
"""Stands for event types that training had not seen, and for what has none."""


@dataclass(frozen=True, kw_only=True)
class Merges:
    """Actions: the event types, then the merges in the order in which they were learned."""

    types: tuple[str, ...]
    """Event types of the training part, most frequent first, and `OTHER`."""
    pairs: tuple[tuple[int, int], ...] = ()
    """The two actions that action ``len(types) + i`` joins."""

    @property
    def size(self) -> int:
        """Number of actions."""
        return len(self.types) + len(self.pairs)

    @cached_property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """The event types that each action stands for, in order: unmerging."""
        found: list[tuple[int, ...]] = [(action,) for action in range(len(self.types))]
        for left, right in self.pairs:
            found.append(found[left] + found[right])
        return tuple(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each action is called: ``play×2+rate``."""
        return tuple("+".join(self._counted(sequence)) for sequence in self.sequences)

    def _counted(self, sequence: tuple[int, ...]) -> Iterator[str]:
        for kind, group in groupby(sequence):
            count = len(list(group))
            yield self.types[kind] if count == 1 else f"{self.types[kind]}×{count}"

    def head(self, pairs: int) -> Merges:
        """Only the first merges: what learning up to a smaller vocabulary gives."""
        return Merges(types=self.types, pairs=self.pairs[:pairs])

    def segment(self, types: NDArray[np.int64], starts: NDArray[np.bool_]) -> Segments:
        """Cut events into tokens: ``types`` [n] is the type of each event, ``starts`` [n] where runs begin."""
        patterns = run_patterns(types, starts)
        sequence, lengths = patterns.sequence, patterns.lengths
        action, span, owner = sequence, np.ones(len(sequence), np.int64), np.repeat(np.arange(len(lengths)), lengths)
        for number, pair in enumerate(self.pairs):
            joined = _matches(action, owner, *pair)
            if not len(joined):
                continue
            action = action.copy()
            action[joined] = len(self.types) + number
            span[joined] += span[joined + 1]
            keep = np.ones(len(action), np.bool_)
            keep[joined + 1] = False
            action, span, owner = action[keep], span[keep], owner[keep]
        return patterns.spread(action, span, owner)


@dataclass(frozen=True)
class Segments:
    """Tokens of a log: which events each holds, and its action."""

    first: NDArray[np.int64]
    """Row of each token's first event, ascending, ``[tokens]``; the token ends where the next one begins."""
    action: NDArray[np.int64]
    """Action of each token, ``[tokens]``."""

    def last(self, events: int) -> NDArray[np.int64]:
        """Row of each token's last event, ``[tokens]``, of a log of so many events."""
        return np.append(self.first[1:], events)[: len(self.first)] - 1


@dataclass(frozen=True)
class RunPatterns:
    """The different runs of a log and where they occur; runs of one event are a pattern of length one."""

    sequence: NDArray[np.int64]
    """Event types of all patterns, end to end."""
    lengths: NDArray[np.int64]
    """Events of each pattern."""
    pattern: NDArray[np.int64]
    """Pattern of each run of the log, ``[runs]``."""
    first: NDArray[np.int64]
    """Row of each run's first event, ``[runs]``."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each pattern occurs."""
        return np.bincount(self.pattern, minlength=len(self.lengths))

    def spread(self, action: NDArray[np.int64], span: NDArray[np.int64], owner: NDArray[np.int64]) -> Segments:
        """Give every run the tokens of its pattern: token j is of pattern ``owner[j]`` and holds ``span[j]`` events."""
        tokens = np.bincount(owner, minlength=len(self.lengths))
        begin = np.cumsum(tokens) - tokens
        offset = np.cumsum(span) - span - np.repeat(np.cumsum(self.lengths) - self.lengths, tokens)
        of_run = tokens[self.pattern]
        place = np.arange(int(of_run.sum())) - np.repeat(np.cumsum(of_run) - of_run, of_run)
        token = np.repeat(begin[self.pattern], of_run) + place
        return Segments(np.repeat(self.first, of_run) + offset[token], action[token])


def run_patterns(types: NDArray[np.int64], starts: NDArray[np.bool_]) -> RunPatterns:
    """The different runs among the events."""
    first = np.flatnonzero(starts)
    lengths = np.diff(np.append(first, len(types)))
    single = lengths == 1
    pattern = np.empty(len(first), np.int64)
    # One event: the pattern is its type. Several: the bytes of their types, told apart by Arrow's dictionary encoding.
    kinds = int(types.max(initial=0)) + 1
    pattern[single] = types[first[single]]
    several = np.repeat(~single, lengths)
    content = types[several].astype("<u2")
    offsets = np.concatenate([[0], np.cumsum(lengths[~single])]) * 2
    runs = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(content)]
    )
    encoded = runs.dictionary_encode()
    pattern[~single] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64) + kinds
    distinct = [np.frombuffer(each.as_py(), dtype="<u2") for each in encoded.dictionary]
    sequence = np.concatenate([np.arange(kinds), *distinct]).astype(np.int64)
    return RunPatterns(
        sequence=sequence,
        lengths=np.concatenate([np.ones(kinds, np.int64), np.array([len(each) for each in distinct], np.int64)]),
        pattern=pattern,
        first=first,
    )


class MergeLearner:
    """Counts runs, part by part of a log, and learns merges from the counts."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._types: dict[str, int] = {}

    def add(self, names: list[str], types: NDArray[np.int64], starts: NDArray[np.bool_]) -> None:
        """Count the runs of training events: ``types`` [n] indexes ``names``."""
        local = np.array([self._types.setdefault(name, len(self._types)) for name in names], np.int64)
        patterns = run_patterns(local[types], starts)
        ends = np.cumsum(patterns.lengths)
        for length, end, count in zip(patterns.lengths, ends, patterns.counts, strict=True):
            if count:
                key = patterns.sequence[end - length : end].astype("<u2").tobytes()
                self._counts[key] = self._counts.get(key, 0) + int(count)

    def learn(self, size: int, *, least: int = 2) -> Merges:
        """Merges up to ``size`` actions; a pair that occurs fewer than ``least`` times is not joined.

        Ties go to the pair of older actions, and types of equal frequency are in the order of their names, so that the
        order of the log has no influence.
        """
        ordered = sorted(self._counts)
        sequence = np.concatenate([np.frombuffer(key, "<u2") for key in ordered]).astype(np.int64)
        weight = np.array([self._counts[key] for key in ordered], np.int64)
        owner = np.repeat(np.arange(len(ordered)), [len(key) // 2 for key in ordered])
        names = list(self._types)
        frequency = np.bincount(sequence, weights=weight[owner], minlength=len(names))
        order = sorted(range(len(names)), key=lambda kind: (-frequency[kind], names[kind]))
        rank = np.empty(len(names), np.int64)
        rank[order] = np.arange(len(names))
        action = rank[sequence]
        types = tuple(names[kind] for kind in order)
        types = types if OTHER in types else (*types, OTHER)
        pairs: list[tuple[int, int]] = []
        while len(types) + len(pairs) < size:
            best = _most_frequent(action, owner, weight, len(types) + len(pairs), least)
            if best is None:
                break
            joined = _matches(action, owner, *best)
            action[joined] = len(types) + len(pairs)
            keep = np.ones(len(action), np.bool_)
            keep[joined + 1] = False
            action, owner = action[keep], owner[keep]
            pairs.append(best)
        return Merges(types=types, pairs=tuple(pairs))


def _most_frequent(
    action: NDArray[np.int64], owner: NDArray[np.int64], weight: NDArray[np.int64], size: int, least: int
) -> tuple[int, int] | None:
    """The adjacent pair that can be joined most often."""
    neighbours = _unoverlapped(action, owner, owner[1:] == owner[:-1])
    if not len(neighbours):
        return None
    code = action[neighbours] * size + action[neighbours + 1]
    distinct, place = np.unique(code, return_inverse=True)
    count = np.bincount(place, weights=weight[owner[neighbours]])
    best = int(np.argmax(count))
    if count[best] < least:
        return None
    return int(distinct[best] // size), int(distinct[best] % size)


def _matches(action: NDArray[np.int64], owner: NDArray[np.int64], left: int, right: int) -> NDArray[np.int64]:
    """Places of the pair, from left to right without overlap."""
    same = (action[:-1] == left) & (action[1:] == right) & (owner[1:] == owner[:-1])
    return _unoverlapped(action, owner, same)


def _unoverlapped(action: NDArray[np.int64], owner: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of the chosen pairs, all but those of two equal actions that overlap the one before: of aaaa the 1st and 3rd."""
    equal = (action[1:] == action[:-1]) & (owner[1:] == owner[:-1])
    place = np.arange(len(equal))
    before = np.maximum.accumulate(np.where(equal, -1, place))
    odd = equal & ((place - before) % 2 == 0)
    return np.flatnonzero(chosen & ~odd)
