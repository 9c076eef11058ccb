"""Rows of a member's history as the model reads them: request-time fields of one event, post-action fields of the last.

They are what `palate.tokens.assemble` makes of a store, for histories that grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from palate.tokens import Batch, Rectangle, Side, Tokenizer, TokenStore
from palate.words import PADDING, UNKNOWN

_NEWEST = np.iinfo(np.int64).max


class History(NamedTuple):
    """A member's ``n`` tokens so far; ``F`` index and ``N`` number columns, as in `TokenStore`."""

    ids: NDArray[np.int32]
    values: NDArray[np.float32]
    time: NDArray[np.int64]
    end: NDArray[np.int64]
    version: NDArray[np.int64]
    """Version of the items' metadata at each token's moment; see `palate.rank.versions`."""
    closed: int
    """The first so many tokens can't change any more: where runs are merged, the last run is open."""

    @classmethod
    def of(cls, store: TokenStore, begin: int, end: int, *, open_tokens: int = 0) -> History:
        """Rows ``[begin, end)`` of a store, with the first version of the metadata."""
        rows = slice(begin, end)
        version = np.zeros(end - begin, np.int64)
        return cls(
            store.ids[rows], store.values[rows], store.time[rows], store.end[rows], version, end - begin - open_tokens
        )


class Questions(NamedTuple):
    """Request-time fields of ``B`` questions: the columns of a store behind those of post-action fields."""

    ids: NDArray[np.int32]
    values: NDArray[np.float32]
    time: NDArray[np.int64]

    def take(self, places: Sequence[int]) -> Questions:
        """Some of them."""
        rows = list(places)
        return Questions(self.ids[rows], self.values[rows], self.time[rows])


class Rows(NamedTuple):
    """``T`` rows of histories."""

    ids: NDArray[np.int32]
    values: NDArray[np.float32]
    query_time: NDArray[np.int64]
    key_time: NDArray[np.int64]
    version: NDArray[np.int64]
    """That of the token that the row carries; the newest possible one where it carries none."""

    def batch(self, first: int = 0) -> Batch:
        """The rows as one sequence that begins at place ``first``, without anything that is learned from."""
        T = len(self.query_time)
        nothing = torch.zeros(T, dtype=torch.int32)
        return Batch(
            ids=torch.from_numpy(self.ids),
            values=torch.from_numpy(self.values),
            query_time=torch.from_numpy(self.query_time),
            key_time=torch.from_numpy(self.key_time),
            target=nothing.long(),
            available=nothing,
            outcome=nothing.view(T, 1)[:, :0],
            familiar=nothing,
            session=nothing,
            weight=nothing.float(),
            shown=nothing.view(T, 1)[:, :0],
            first=torch.tensor([first]),
            rectangles=(Rectangle(1, T),),
        )


def end_to_end(parts: Sequence[Rows]) -> Rows:
    """All of them."""
    return Rows(*map(np.concatenate, zip(*parts, strict=True)))


def committed(history: History, tokenizer: Tokenizer, start: int, stop: int) -> Rows:
    """Rows ``[start, stop)`` of a history, whose events are there."""
    own = slice(start, stop)
    request = Questions(
        history.ids[own, tokenizer.post_columns :], history.values[own, tokenizer.post_values :], history.time[own]
    )
    return _carrying(history, tokenizer, np.arange(start, stop) - 1, request)


def asking(history: History, tokenizer: Tokenizer, question: Questions) -> Rows:
    """The row that asks, behind all that is there."""
    return _carrying(history, tokenizer, np.array([len(history.time) - 1]), question)


def chosen(rows: Rows, tokenizer: Tokenizer, questions: Questions, items: NDArray[np.int32], version: int) -> Rows:
    """The rows that ask after ``rows``, once ``items`` have been chosen, of which nothing else is known."""
    post, values = tokenizer.post_columns, tokenizer.post_values
    ids, numbers = rows.ids.copy(), rows.values.copy()
    for spec in tokenizer.specs:
        if spec.side == Side.POST_ACTION:
            ids[:, spec.start : spec.start + spec.width] = PADDING
            ids[:, spec.start] = UNKNOWN
    ids[:, 0], ids[:, post:] = items, questions.ids
    numbers[:, :values], numbers[:, values:] = 0, questions.values
    return Rows(ids, numbers, questions.time, questions.time, np.full(len(items), version))


def _carrying(history: History, tokenizer: Tokenizer, previous: NDArray[np.int64], request: Questions) -> Rows:
    """Request-time fields with the post-action fields of the tokens ``previous``, -1 for none."""
    there = previous >= 0
    shape = (len(previous), tokenizer.post_columns), (len(previous), tokenizer.post_values)
    ids, values = np.zeros(shape[0], np.int32), np.zeros(shape[1], np.float32)
    key_time, version = request.time.copy(), np.full(len(previous), _NEWEST)
    known = previous[there]
    ids[there] = history.ids[known, : tokenizer.post_columns]
    values[there] = history.values[known, : tokenizer.post_values]
    key_time[there], version[there] = history.end[known], history.version[known]
    return Rows(
        np.concatenate([ids, request.ids], axis=1),
        np.concatenate([values, request.values], axis=1),
        request.time,
        key_time,
        version,
    )
