"""Members as they act: the state of whoever asks, from what was worked out for their earlier rows.

Row t of a history carries the request-time fields of event t and the post-action fields of event t - 1. A row is
committed to the member's cache as soon as its event is there and the one that it carries can't change any more; the
row that asks, with the request-time fields of the question, is worked out each time. The caches hold nothing that the
histories don't: any of them can be dropped at any moment, and is made anew when it is needed. A cached state is that of
`recomputed`, up to rounding.

A view begins where `palate.tokens.windows.view_start` says. When it moves on, all its rows would see less than they
did, and the cache is made anew: once in ``slide`` rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.errors import ConfigError
from palate.model import SequenceModel
from palate.model.cache import CacheConfig, CacheStore, MemberCache
from palate.model.transformer import Transformer
from palate.rank.versions import ItemVersions
from palate.tokens import Batch, Rectangle, Side, Tokenizer, TokenStore, WindowConfig
from palate.tokens.windows import view_start
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
    """Rows of histories, as the model reads them."""

    ids: NDArray[np.int32]
    values: NDArray[np.float32]
    query_time: NDArray[np.int64]
    key_time: NDArray[np.int64]
    version: NDArray[np.int64]


class LiveMembers:
    """States of members, from caches; the model is put into evaluation mode."""

    def __init__(
        self,
        model: SequenceModel,
        versions: ItemVersions,
        histories: Callable[[Hashable], History],
        *,
        windows: WindowConfig,
        config: CacheConfig | None = None,
    ) -> None:
        """``histories`` gives the tokens of a member; whoever changes some that were there calls `forget`.

        Raises `ConfigError` for a model whose encoder has no cache.
        """
        if not isinstance(model.encode, Transformer):
            raise ConfigError(
                "this run's encoder counts positions from the start of a window, so that its rows can't be cached",
                hint="train with model.encoder.kind: transformer",
            )
        self._encode = model.encode
        self.model, self._versions, self._histories = model.eval(), versions, histories
        self._windows = windows
        self._config = config or CacheConfig()
        self.store = CacheStore(self._config)
        """The caches."""

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the newest version of the items."""
        return self._versions.now.tokenizer

    def append(self, members: Sequence[Hashable]) -> None:
        """Commit what is new in the histories of these members, so that their next questions are answered at once."""
        with torch.inference_mode():
            self._caches(dict.fromkeys(members))

    def forget(self, member: Hashable) -> None:
        """Drop what is cached of a member, whose history is no longer what it was."""
        self.store.forget(member)

    def states(self, members: Sequence[Hashable], questions: Questions) -> Float[Tensor, "B D"]:
        """The encoder's state of each question, before intents; a member may ask several."""
        with torch.inference_mode():
            known = self._caches(dict.fromkeys(members))
            asked = self._asking(members, questions, known)
            return self.step([known[member][0] for member in members], asked, commit=False)

    def opened(self, members: Sequence[Hashable], questions: Questions) -> tuple[list[MemberCache], Rows]:
        """Copies of the caches, to go on from with rows that never happened, and the rows that ask."""
        known = self._caches(dict.fromkeys(members))
        asked = self._asking(members, questions, known)
        return [known[member][0].copy() for member in members], asked

    def step(self, caches: Sequence[MemberCache], rows: Rows, *, commit: bool) -> Float[Tensor, "B D"]:
        """The states of one more row of each cache."""
        batch = self._batch(rows)
        embedded = self._embedded(batch, rows)
        if commit:
            for cache, version in zip(caches, rows.version.tolist(), strict=True):
                cache.version = min(cache.version, max(version, self._versions.oldest))
        return self._encode.step(caches, embedded, batch.query_time, batch.key_time, commit=commit)

    def scores(self, state: Float[Tensor, "B D"], moment: Int64[Tensor, "B"]) -> Float[Tensor, "B V"]:
        """The score of every item for states as `states` gives them, by the newest version of the items."""
        now = self._versions.now
        with torch.inference_mode():
            intents = self.model.predict_intents(state)
            joined = state if intents is None else intents.state
            return self.model.scores(joined, now.catalogue, now.tables, moment).float()

    def chosen(self, rows: Rows, questions: Questions, items: NDArray[np.int32]) -> Rows:
        """The rows that ask once the members have chosen ``items``, of which nothing else is known."""
        post, values = self.tokenizer.post_columns, self.tokenizer.post_values
        ids, numbers = rows.ids.copy(), rows.values.copy()
        for spec in self.tokenizer.specs:
            if spec.side == Side.POST_ACTION:
                ids[:, spec.start : spec.start + spec.width] = PADDING
                ids[:, spec.start] = UNKNOWN
        ids[:, 0], ids[:, post:] = items, questions.ids
        numbers[:, :values], numbers[:, values:] = 0, questions.values
        version = np.full(len(items), self._versions.number)
        return Rows(ids, numbers, questions.time, questions.time, version)

    def recomputed(self, members: Sequence[Hashable], questions: Questions) -> Float[Tensor, "B D"]:
        """What `states` answers, worked out from the histories alone: the plain way, which caches are held against."""
        states = []
        with torch.inference_mode():
            for place, member in enumerate(members):
                history = self._histories(member)
                start = self._start(len(history.time))
                view = self._rows(history, start, len(history.time))
                rows = _end_to_end([view, self._question(history, questions.take([place]))])
                batch = self._batch(rows, first=start)
                states.append(self._encode(self._embedded(batch, rows), batch)[-1])
        return torch.stack(states)

    def _caches(self, members: dict[Hashable, None]) -> dict[Hashable, tuple[MemberCache, History]]:
        """Caches with all rows before the question's. Those of open runs are in copies, which are not kept."""
        found: dict[Hashable, tuple[MemberCache, History]] = {}
        pending: list[tuple[MemberCache, History, int]] = []
        open_rows: list[Hashable] = []
        for member in members:
            history = self._histories(member)
            n = len(history.time)
            start = self._start(n)
            committed = max(min(history.closed + 1, n), start)
            cache = self.store.get(member)
            if cache is None or not self._usable(cache, start, committed):
                cache = self._made(history, start, committed)
            if cache.stop < committed:
                pending.append((cache, history, committed))
            if committed < n:
                open_rows.append(member)
            found[member] = cache, history
        self._advance(pending)
        for member, (cache, _) in found.items():
            self.store.put(member, cache)
        if open_rows:
            for member in open_rows:
                cache, history = found[member]
                found[member] = cache.copy(), history
            self._advance([(*found[member], len(found[member][1].time)) for member in open_rows])
        return found

    def _usable(self, cache: MemberCache, start: int, committed: int) -> bool:
        fresh = cache.version >= self._versions.oldest
        return fresh and cache.start == start and committed - self._config.steps <= cache.stop <= committed

    def _made(self, history: History, start: int, stop: int) -> MemberCache:
        """The rows ``[start, stop)``, all at once."""
        cache = self._encode.new_cache(self._config.precision, start=start)
        cache.version = self._versions.number
        if stop > start:
            rows = self._rows(history, start, stop)
            batch = self._batch(rows, first=start)
            self._encode.read(cache, self._embedded(batch, rows), batch)
            cache.version = min(cache.version, max(int(rows.version.min()), self._versions.oldest))
        return cache

    def _advance(self, pending: list[tuple[MemberCache, History, int]]) -> None:
        """Commit the rows up to the one given with each, one of each member at a time."""
        while pending:
            rows = _end_to_end([self._rows(history, cache.stop, cache.stop + 1) for cache, history, _ in pending])
            self.step([cache for cache, _, _ in pending], rows, commit=True)
            pending = [each for each in pending if each[0].stop < each[2]]

    def _start(self, place: int) -> int:
        return int(view_start(np.array([place]), self._windows.context, self._windows.slide)[0])

    def _asking(
        self, members: Sequence[Hashable], questions: Questions, known: dict[Hashable, tuple[MemberCache, History]]
    ) -> Rows:
        """The rows that ask."""
        return _end_to_end(
            [self._question(known[member][1], questions.take([place])) for place, member in enumerate(members)]
        )

    def _rows(self, history: History, start: int, stop: int) -> Rows:
        """Rows ``[start, stop)`` of a history."""
        own = slice(start, stop)
        request = Questions(
            history.ids[own, self.tokenizer.post_columns :],
            history.values[own, self.tokenizer.post_values :],
            history.time[own],
        )
        return self._joined(history, np.arange(start, stop) - 1, request)

    def _question(self, history: History, question: Questions) -> Rows:
        """The row that asks, behind all that is there."""
        return self._joined(history, np.array([len(history.time) - 1]), question)

    def _joined(self, history: History, previous: NDArray[np.int64], request: Questions) -> Rows:
        """Request-time fields with the post-action fields of the tokens ``previous``, -1 for none."""
        post, values = self.tokenizer.post_columns, self.tokenizer.post_values
        if not len(history.time):
            ids, numbers = np.zeros((len(previous), post), np.int32), np.zeros((len(previous), values), np.float32)
            version = np.full(len(previous), _NEWEST)
            return self._row(ids, numbers, request, request.time, version)
        there = previous >= 0
        ids = np.where(there[:, None], history.ids[previous, :post], 0)
        numbers = np.where(there[:, None], history.values[previous, :values], 0)
        key_time = np.where(there, history.end[previous], request.time)
        return self._row(ids, numbers, request, key_time, np.where(there, history.version[previous], _NEWEST))

    @staticmethod
    def _row(
        ids: NDArray[np.int32],
        values: NDArray[np.float32],
        request: Questions,
        key_time: NDArray[np.int64],
        version: NDArray[np.int64],
    ) -> Rows:
        return Rows(
            np.concatenate([ids, request.ids], axis=1),
            np.concatenate([values, request.values], axis=1),
            request.time,
            key_time,
            version,
        )

    def _embedded(self, batch: Batch, rows: Rows) -> Float[Tensor, "T D"]:
        items = self._versions.inputs(batch.ids[:, 0], batch.key_time, torch.from_numpy(rows.version))
        embedded: Tensor = self.model.embed(batch, items)
        return embedded

    @staticmethod
    def _batch(rows: Rows, first: int = 0) -> Batch:
        """The rows as one sequence that begins at place ``first``, without anything that is learned from."""
        T = len(rows.query_time)
        nothing = torch.zeros(T, dtype=torch.int32)
        return Batch(
            ids=torch.from_numpy(rows.ids),
            values=torch.from_numpy(rows.values),
            query_time=torch.from_numpy(rows.query_time),
            key_time=torch.from_numpy(rows.key_time),
            target=nothing.long(),
            available=nothing,
            outcome=nothing[:, None][:, :0],
            familiar=nothing,
            session=nothing,
            weight=nothing.float(),
            shown=nothing[:, None][:, :0],
            first=torch.tensor([first]),
            rectangles=(Rectangle(1, T),),
        )


def _end_to_end(parts: Sequence[Rows]) -> Rows:
    return Rows(*map(np.concatenate, zip(*parts, strict=True)))
