"""A trained model as a scorer: each query's state from the member's last rows, then a score for every item."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.data import Dataset, Role, run_starts
from palate.model import ItemTables, SequenceModel
from palate.rank.history import EarlierRows, Histories
from palate.rank.threads import side_by_side
from palate.tokens import (
    Asked,
    Catalogue,
    Pack,
    Tokenizer,
    TokenStore,
    assemble,
    pack_in_order,
    present_catalogue,
    query_windows,
)
from palate.words import ITEM_ID, QUERY, USER_ID

BATCH_TOKENS = 4_096
"""Rows that go through the encoder at a time."""


class Answered(NamedTuple):
    """Some of the queries, and where the encoder leaves them."""

    places: Int64[Tensor, "n"]
    """Which queries, by their places in the table."""
    state: Float[Tensor, "n D"]
    """Before intents."""
    moment: Int64[Tensor, "n"]
    """Milliseconds; 0 without time."""


class States(NamedTuple):
    """Where the encoder leaves all queries of a table, in their order."""

    state: Float[Tensor, "Q D"]
    """Before intents."""
    moment: Int64[Tensor, "Q"]
    """Milliseconds; 0 without time."""

    def rows(self, first: int, last: int) -> States:
        """Those of the queries ``[first, last)``."""
        return States(self.state[first:last], self.moment[first:last])


class ModelScorer:
    """Scores queries of one dataset; the model is put into evaluation mode for as long as it scores."""

    def __init__(
        self,
        model: SequenceModel,
        tokenizer: Tokenizer,
        dataset: Dataset,
        *,
        context: int,
        slide: int = 1,
        store: TokenStore | None = None,
        rolling: bool = True,
        later: pl.DataFrame | None = None,
    ) -> None:
        """``context`` and ``slide`` are those of `WindowConfig`. ``store`` are the tokens of the dataset, where they
        are there and it has no other items than training had.

        With ``rolling`` the events after training's last count in the ages of items, up to each query's moment; where
        the dataset holds some of the members only, ``later`` are the counts of all (`palate.tokens.ages.Ages.later`).
        """
        self._model = model
        if model.tower.metadata is not None:
            tokenizer = tokenizer.with_items(dataset)
        elif model.intents is None:
            # Nobody reads metadata, and texts take long to encode.
            tokenizer = replace(tokenizer, metadata=None)
        self._tokenizer = tokenizer
        self._dataset = dataset
        self._context, self._slide = context, slide
        self._given_store = None if self._tokenizer.added else store
        self._catalogue = present_catalogue(self._tokenizer, dataset, rolling=rolling, later=later)
        self._histories = Histories(dataset)

    @property
    def catalogue(self) -> pl.Series:
        """Items with a training event; where the model reads metadata, then all others that the dataset knows."""
        return self._tokenizer.items.values.alias(ITEM_ID)

    @property
    def model(self) -> SequenceModel:
        """The model."""
        return self._model

    @property
    def tokenizer(self) -> Tokenizer:
        """The run's, with the items that only the dataset knows where the model can score them."""
        return self._tokenizer

    @property
    def dataset(self) -> Dataset:
        """The log whose queries are scored."""
        return self._dataset

    @cached_property
    def store(self) -> TokenStore:
        """Its tokens; made when a query first stands at an event."""
        return self._tokenizer.encode(self._dataset) if self._given_store is None else self._given_store

    @property
    def described(self) -> Catalogue:
        """What the model is told of the items of ``catalogue``."""
        return self._catalogue

    @property
    def anchored(self) -> bool:
        """Whether it matters how many rows a history has before what is read of it: to the grid of blocks, or to where
        views begin.
        """
        return self._slide > 1 or getattr(self._model.encode, "span", None) is not None

    @property
    def histories(self) -> Histories:
        """What came before each query."""
        return self._histories

    def of_members(self, part: Dataset) -> ModelScorer:
        """The same for some members of the log, whole: what is known of the items stays that of the whole log."""
        other = copy.copy(self)
        for made in ("store", "_run_starts"):
            other.__dict__.pop(made, None)
        other._dataset, other._given_store, other._histories = part, None, Histories(part)
        return other

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The model's scores; a query at an event's row knows its request-time fields, and nothing after them."""
        tables = self.tables()
        return self.scored(queries, self.states(queries, tables), tables)

    def tables(self) -> ItemTables:
        """What the tower makes of `described`, with the weights as they are now."""
        with evaluating(self._model):
            made: ItemTables = self._model.tower(self._catalogue)
            return made

    def states(self, queries: pl.DataFrame, tables: ItemTables | None) -> States:
        """The states of all queries, from the weights that made the ``tables``; without any, from what the tower makes
        of the items in their histories alone."""
        width = self._model.tower.id.shape[1]
        with evaluating(self._model):
            found = States(torch.empty(len(queries), width), torch.zeros(len(queries), dtype=torch.int64))
            for places, state, moment in self.answered(queries, tables):
                found.state[places], found.moment[places] = state.float(), moment
        return found

    def scored(self, queries: pl.DataFrame, states: States, tables: ItemTables) -> Float[Tensor, "Q V"]:
        """The scores of the queries that have these states."""
        with evaluating(self._model):
            return self._model.scores(self.joined(states.state), self._catalogue, tables, states.moment).float()

    def block(self, states: States, columns: slice) -> Float[Tensor, "Q N"]:
        """Some neighbouring columns of the scores of the queries that have these states."""
        with evaluating(self._model):
            joined = self.joined(states.state)
            return self._model.block_scores(joined, self._catalogue, states.moment, columns).float()

    def answered(
        self, queries: pl.DataFrame, tables: ItemTables | None, earlier: EarlierRows | None = None
    ) -> Iterator[Answered]:
        """The states of all queries, some at a time; inside `evaluating`, with the tables of `described`, or with none
        but of the items that they look back on.

        ``earlier`` are the rows that each query looks back on, where those are not all that precede it: it is answered
        as if the log held no others of its member.
        """
        of_event, token = self.tokens(queries)
        of_token = token >= 0 if earlier is None else np.zeros(len(queries), np.bool_)
        if of_token.any():
            places = torch.from_numpy(np.flatnonzero(of_token))
            for part in self._states(self.store, token[of_token], tables):
                yield part._replace(places=places[part.places])
        # What no token begins with: the present, and events in the middle of a run, which is still open for them.
        if not of_token.all():
            places = torch.from_numpy(np.flatnonzero(~of_token))
            others = queries.filter(pl.Series(~of_token))
            store, rows = self._with_next_rows(others, of_event[~of_token], earlier)
            for part in self._states(store, rows, tables):
                yield part._replace(places=places[part.places])

    def joined(self, state: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
        """The state behind the intents, which scores the items."""
        intents = self._model.predict_intents(state)
        return state if intents is None else intents.state

    def reach(self, rows: NDArray[np.int64], *, spare: int) -> int:
        """How many of a member's events, at these rows of the log, fill the context with ``spare`` of them gone."""
        if self._tokenizer.config.runs == "keep":
            return min(self._context + spare, len(rows))
        # Each event that goes may join the runs around it.
        from_end = np.cumsum(self._run_starts[rows][::-1])
        return int(np.searchsorted(from_end, self._context + 1 + 2 * spare, side="right"))

    def tokens(self, queries: pl.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which queries stand at an event, and the row of `store` that begins there, ``[Q]``; -1 for none."""
        rows = queries[QUERY].to_numpy()
        inside = rows < self._dataset.events.height
        users = self._dataset.events[USER_ID].gather(np.where(inside, rows, 0))
        of_event = inside & (users == queries[USER_ID]).to_numpy()
        if not of_event.any():
            return of_event, np.full(len(rows), -1)
        token = np.minimum(np.searchsorted(self.store.event, rows), len(self.store.event) - 1)
        return of_event, np.where(of_event & (self.store.event[token] == rows), token, -1)

    def _with_next_rows(
        self, queries: pl.DataFrame, of_event: NDArray[np.bool_], earlier: EarlierRows | None
    ) -> tuple[TokenStore, NDArray[np.int64]]:
        """A store of the last rows of each query's member and one more row, which asks; and where that row is.

        One event more than the context is kept, since a window's first row carries the event before it; where a token
        can be of several events, one run more, since a run has at least one token. Rows that are not kept count: the
        histories of the store begin so far before their first row. The row that asks knows the request-time fields of
        its event, if it is ``of_event``.
        """
        skipped = np.zeros(len(queries), np.int64)
        if earlier is not None:
            keep = np.ones(len(earlier.row), np.bool_)
        elif self._tokenizer.config.runs == "keep":
            earlier = self._histories.before(queries)
            from_end = np.repeat(np.cumsum(earlier.lengths), earlier.lengths) - np.arange(len(earlier.row))
            keep = from_end <= self._context
            skipped = np.maximum(earlier.lengths - self._context, 0)
        else:
            earlier = self._histories.before(queries)
            # Runs that begin from here on, up to the query: the last row of a history is in the last of them.
            run = np.cumsum(self._run_starts[earlier.row])
            last = np.cumsum(earlier.lengths) - 1
            keep = np.repeat(run[last], earlier.lengths) - run <= self._context
            if self.anchored:
                has, first = np.unique(earlier.query[keep], return_index=True)
                token = np.searchsorted(self.store.event, earlier.row[keep][first])
                skipped[has] = token - self.store.begin[token]
        asking = self._asking(queries, of_event)
        history = self._dataset.events[earlier.row[keep]]
        query = np.concatenate([earlier.query[keep], np.arange(len(queries))])
        order = np.argsort(query, kind="stable")
        events = pl.concat([history, asking], how="diagonal")[order]
        asks = order >= len(history)
        store = self._tokenizer.encode_events(
            events,
            self._dataset.users,
            self._dataset.items,
            asked=Asked.nothing(len(events)),
            first=np.diff(query[order], prepend=-1) != 0,
        )
        number = np.cumsum(store.begin == np.arange(len(store.begin))) - 1
        store = store._replace(begin=store.begin - skipped[number])
        return store, np.searchsorted(store.event, np.flatnonzero(asks))

    @cached_property
    def _run_starts(self) -> NDArray[np.bool_]:
        """Whether each event of the dataset begins a run."""
        starts = run_starts(self._dataset.events, self._dataset.schema, self._dataset.items)
        starts[self._dataset.member_starts] = True
        return starts

    def _asking(self, queries: pl.DataFrame, of_event: NDArray[np.bool_]) -> pl.DataFrame:
        """The rows that ask: the member, the moment, and what an event knows at its request."""
        asking = queries.drop(ITEM_ID, QUERY, strict=False)
        asking = asking.select(name for name in asking.columns if name in self._dataset.events.columns)
        known = [
            name
            for name in self._dataset.schema.with_role("events", Role.REQUEST_TIME)
            if name in self._dataset.events.columns and name not in asking.columns
        ]
        if not known or not of_event.any():
            return asking
        rows = pl.Series(np.where(of_event, queries[QUERY].to_numpy(), 0))
        events = self._dataset.events.select(known)[rows]
        there = pl.Series("there", of_event)
        return asking.hstack(events.select(pl.when(there).then(pl.col(name)).alias(name) for name in known))

    def _states(self, store: TokenStore, rows: NDArray[np.int64], tables: ItemTables | None) -> Iterator[Answered]:
        """The states of the queries at these rows of the store, some at a time."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        windows, window_of_query = query_windows(ascending, store.begin[ascending], self._context, self._slide)
        first = np.searchsorted(window_of_query, np.arange(windows.number + 1))

        def answered(pack: Pack) -> Answered:
            batch, _ = assemble(
                store,
                windows,
                pack,
                post_columns=self._tokenizer.post_columns,
                post_values=self._tokenizer.post_values,
            )
            heights = np.repeat(
                [rectangle.length for rectangle in pack.rectangles],
                [rectangle.sequences for rectangle in pack.rectangles],
            )
            asked = np.concatenate([np.arange(first[window], first[window + 1]) for window in pack.windows])
            begin = np.repeat(np.cumsum(heights) - heights, np.diff(first)[pack.windows])
            wanted = torch.from_numpy(begin + ascending[asked] - windows.start[window_of_query[asked]])
            with torch.inference_mode():
                if tables is None:
                    state = self._model.states(batch, self._catalogue, wanted)
                else:
                    state = self._model(batch, self._catalogue, tables, wanted)
            return Answered(torch.from_numpy(order[asked]), state, batch.query_time[wanted])

        yield from side_by_side(answered, list(pack_in_order(windows.lengths, BATCH_TOKENS)))


@contextmanager
def evaluating(model: SequenceModel) -> Iterator[None]:
    """The model in evaluation mode, without gradients; then in the mode that it was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
