"""A trained model as a scorer: each query's state from the member's last rows, then a score for every item."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.data import Dataset, Role, run_starts
from palate.model import ItemTables, SequenceModel
from palate.rank.history import Histories
from palate.tokens import (
    Asked,
    Tokenizer,
    TokenStore,
    assemble,
    pack_in_order,
    present_catalogue,
    query_windows,
)
from palate.words import ITEM_ID, QUERY, USER_ID

BATCH_TOKENS = 16_384
"""Rows that go through the encoder at a time."""


class ModelScorer:
    """Scores queries of one dataset; the model is put into evaluation mode for as long as it scores."""

    def __init__(
        self,
        model: SequenceModel,
        tokenizer: Tokenizer,
        dataset: Dataset,
        *,
        context: int,
        store: TokenStore | None = None,
        rolling: bool = True,
    ) -> None:
        """``store`` are the tokens of the dataset, where they are there and it has no other items than training had.

        With ``rolling`` the events after training's last count in the ages of items, up to each query's moment.
        """
        self._model = model
        self._tokenizer = tokenizer.with_items(dataset) if model.tower.metadata is not None else tokenizer
        self._dataset = dataset
        self._context = context
        fits = store is not None and not self._tokenizer.added
        self._store = store if store is not None and fits else self._tokenizer.encode(dataset)
        self._catalogue = present_catalogue(self._tokenizer, dataset, rolling=rolling)
        self._histories = Histories(dataset)

    @property
    def catalogue(self) -> pl.Series:
        """Items with a training event; where the model reads metadata, then all others that the dataset knows."""
        return self._tokenizer.items.values.alias(ITEM_ID)

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The model's scores; a query at an event's row knows its request-time fields, and nothing after them."""
        rows = queries[QUERY].to_numpy()
        inside = rows < self._dataset.events.height
        users = self._dataset.events[USER_ID].gather(np.where(inside, rows, 0))
        of_event = inside & (users == queries[USER_ID]).to_numpy()
        token = np.minimum(np.searchsorted(self._store.event, rows), len(self._store.event) - 1)
        of_token = of_event & (self._store.event[token] == rows)
        scores = torch.empty(len(queries), len(self.catalogue))
        if of_token.any():
            scores[torch.from_numpy(of_token)] = self._score_rows(self._store, token[of_token])
        # What no token begins with: the present, and events in the middle of a run, which is still open for them.
        if not of_token.all():
            store, places = self._with_next_rows(queries.filter(pl.Series(~of_token)), of_event[~of_token])
            scores[torch.from_numpy(~of_token)] = self._score_rows(store, places)
        return scores

    def _with_next_rows(
        self, queries: pl.DataFrame, of_event: NDArray[np.bool_]
    ) -> tuple[TokenStore, NDArray[np.int64]]:
        """A store of the last rows of each query's member and one more row, which asks; and where that row is.

        One event more than the context is kept, since a window's first row carries the event before it; where a token
        can be of several events, one run more, since a run has at least one token. The row that asks knows the
        request-time fields of its event, if it is ``of_event``.
        """
        earlier = self._histories.before(queries)
        if self._tokenizer.config.runs == "keep":
            from_end = np.repeat(np.cumsum(earlier.lengths), earlier.lengths) - np.arange(len(earlier.row))
            keep = from_end <= self._context
        else:
            # Runs that begin from here on, up to the query: the last row of a history is in the last of them.
            run = np.cumsum(self._run_starts[earlier.row])
            last = np.cumsum(earlier.lengths) - 1
            keep = np.repeat(run[last], earlier.lengths) - run <= self._context
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

    def _score_rows(self, store: TokenStore, rows: NDArray[np.int64]) -> Float[Tensor, "Q V"]:
        """Scores of the queries at these rows of the store, in their order."""
        scores = torch.empty(len(rows), len(self.catalogue))
        with evaluating(self._model):
            tables = self._model.tower(self._catalogue)
            for places, state, moment in self._states(store, rows, tables):
                intents = self._model.predict_intents(state)
                joined = state if intents is None else intents.state
                scores[places] = self._model.scores(joined, self._catalogue, tables, moment).float()
        return scores

    def _states(
        self, store: TokenStore, rows: NDArray[np.int64], tables: ItemTables
    ) -> Iterator[tuple[Tensor, Float[Tensor, "n D"], Int64[Tensor, "n"]]]:
        """Places of the queries, their states and moments, some at a time."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        windows, window_of_query = query_windows(ascending, store.begin[ascending], self._context)
        begin_slot = np.empty(windows.number, dtype=np.int64)
        for pack in pack_in_order(windows.lengths, BATCH_TOKENS):
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
            begin_slot[pack.windows] = np.cumsum(heights) - heights
            asked = np.flatnonzero(np.isin(window_of_query, pack.windows))
            window = window_of_query[asked]
            slots = torch.from_numpy(begin_slot[window] + ascending[asked] - windows.start[window])
            state = self._model(batch, self._catalogue, tables)[slots]
            yield torch.from_numpy(order[asked]), state, batch.query_time[slots]


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
