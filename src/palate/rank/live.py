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

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from palate.errors import ConfigError
from palate.model import SequenceModel
from palate.model.cache import CacheConfig, CacheStore, MemberCache
from palate.model.transformer import Transformer
from palate.rank.member_rows import History, Questions, Rows, asking, committed, end_to_end
from palate.rank.versions import ItemVersions
from palate.tokens import Batch, Tokenizer, WindowConfig
from palate.tokens.windows import view_start


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
        self.model, self.versions, self._histories = model.eval(), versions, histories
        self._windows = windows
        self._config = config or CacheConfig()
        self.store = CacheStore(self._config)
        """The caches."""

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the newest version of the items."""
        return self.versions.now.tokenizer

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
        batch = rows.batch()
        embedded = self._embedded(batch, rows)
        if commit:
            for cache, version in zip(caches, rows.version.tolist(), strict=True):
                cache.version = min(cache.version, max(version, self.versions.oldest))
        return self._encode.step(caches, embedded, batch.query_time, batch.key_time, commit=commit)

    def scores(self, state: Float[Tensor, "B D"], moment: Int64[Tensor, "B"]) -> Float[Tensor, "B V"]:
        """The score of every item for states as `states` gives them, by the newest version of the items."""
        now = self.versions.now
        with torch.inference_mode():
            intents = self.model.predict_intents(state)
            joined = state if intents is None else intents.state
            return self.model.scores(joined, now.catalogue, now.tables, moment).float()

    def recomputed(self, members: Sequence[Hashable], questions: Questions) -> Float[Tensor, "B D"]:
        """What `states` answers, worked out from the histories alone: the plain way, which caches are held against."""
        states = []
        with torch.inference_mode():
            for place, member in enumerate(members):
                history = self._histories(member)
                start = self._start(len(history.time))
                view = committed(history, self.tokenizer, start, len(history.time))
                rows = end_to_end([view, asking(history, self.tokenizer, questions.take([place]))])
                batch = rows.batch(start)
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
            stop = max(min(history.closed + 1, n), start)
            cache = self.store.get(member)
            if cache is None or not self._usable(cache, start, stop):
                cache = self._made(history, start, stop)
            if cache.stop < stop:
                pending.append((cache, history, stop))
            if stop < n:
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

    def _usable(self, cache: MemberCache, start: int, stop: int) -> bool:
        fresh = cache.version >= self.versions.oldest
        return fresh and cache.start == start and stop - self._config.steps <= cache.stop <= stop

    def _made(self, history: History, start: int, stop: int) -> MemberCache:
        """The rows ``[start, stop)``, all at once."""
        cache = self._encode.new_cache(self._config.precision, start=start)
        cache.version = self.versions.number
        if stop > start:
            rows = committed(history, self.tokenizer, start, stop)
            batch = rows.batch(start)
            self._encode.read(cache, self._embedded(batch, rows), batch)
            cache.version = min(cache.version, max(int(rows.version.min()), self.versions.oldest))
        return cache

    def _advance(self, pending: list[tuple[MemberCache, History, int]]) -> None:
        """Commit the rows up to the one given with each, one of each member at a time."""
        while pending:
            rows = end_to_end(
                [committed(history, self.tokenizer, cache.stop, cache.stop + 1) for cache, history, _ in pending]
            )
            self.step([cache for cache, _, _ in pending], rows, commit=True)
            pending = [each for each in pending if each[0].stop < each[2]]

    def _start(self, place: int) -> int:
        return int(view_start(np.array([place]), self._windows.context, self._windows.slide)[0])

    def _asking(
        self, members: Sequence[Hashable], questions: Questions, known: dict[Hashable, tuple[MemberCache, History]]
    ) -> Rows:
        """The rows that ask."""
        return end_to_end(
            [asking(known[member][1], self.tokenizer, questions.take([n])) for n, member in enumerate(members)]
        )

    def _embedded(self, batch: Batch, rows: Rows) -> Float[Tensor, "T D"]:
        items = self.versions.inputs(batch.ids[:, 0], batch.key_time, torch.from_numpy(rows.version))
        embedded: Tensor = self.model.embed(batch, items)
        return embedded
