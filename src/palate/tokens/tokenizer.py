"""The tokenizer: fitted once on training events, then frozen; turns any log of the same schema into a token store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, Part, Schema, Split, is_target, run_starts
from palate.errors import ColumnTypeError, ConfigError, MissingColumnError, SplitError
from palate.tokens.actions import actions, learn_merges
from palate.tokens.ages import Ages, ViewCounter
from palate.tokens.asked import Asked
from palate.tokens.batch import FieldSpec, Side
from palate.tokens.collapse import END, Tokens, collapse, keep_last
from palate.tokens.config import TokenizerConfig
from palate.tokens.fields import CategoricalField, Field, MultiCategoricalField, NumericField
from palate.tokens.fit import ATTRIBUTE, fit_fields, fitters
from palate.tokens.merges import Merges
from palate.tokens.metadata import ItemMetadata
from palate.tokens.moments import GAP, with_absolute, with_gap
from palate.tokens.open_runs import OpenRuns
from palate.tokens.sample import row_hashes
from palate.tokens.store import TokenStore
from palate.tokens.vocabulary import Vocabulary
from palate.words import FIRST_KNOWN, ITEM_ID, LAUNCH_TIME, TIMESTAMP, USER_ID


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Fields in the order of their columns: post-action ones first, the item first of all."""

    config: TokenizerConfig
    schema: Schema
    has_time: bool
    merges: Merges | None = None
    """Learned merges of actions, where runs are merged."""
    fields: tuple[Field, ...]
    metadata: ItemMetadata | None = None
    """How items are described; none where there is nothing to use."""
    described: pl.DataFrame | None = None
    """Those columns of the items table that speak of the trained items, as training had them."""
    ages: Ages | None = None
    """How old items were when; none before fitting."""
    added: int = 0
    """Items at the end of the vocabulary that were not in training."""

    @property
    def items(self) -> Vocabulary:
        """Items with a training event, in the order in which they became available.

        Columns beside ``value`` and ``count``: ``launch`` in milliseconds (null without time), ``first_seen`` and
        ``last_seen``.
        """
        field = self.fields[0]
        assert isinstance(field, CategoricalField)
        return field.vocabulary

    @property
    def specs(self) -> tuple[FieldSpec, ...]:
        """What the model has to know of the fields."""
        specs, start, value = [], 0, 0
        for field in self.fields:
            numeric = isinstance(field, NumericField)
            spec = FieldSpec(
                name=field.name,
                side=field.side,
                size=field.size,
                start=start,
                width=field.width,
                value=value if numeric else None,
            )
            specs.append(spec)
            start += field.width
            value += numeric
        return tuple(specs)

    @property
    def post_columns(self) -> int:
        """Index columns of post-action fields, which come first in a store."""
        return sum(field.width for field in self.fields if field.side == Side.POST_ACTION)

    @property
    def post_values(self) -> int:
        """Number columns of post-action fields, which come first in a store."""
        return sum(isinstance(field, NumericField) and field.side == Side.POST_ACTION for field in self.fields)

    @classmethod
    def fit(cls, dataset: Dataset, split: Split, config: TokenizerConfig) -> Tokenizer:
        """Learn merges, vocabularies and bucket edges from the training events, and from nothing else."""
        return cls.fit_parts(lambda: [(dataset, split)], config)

    @classmethod
    def fit_parts(cls, parts: Callable[[], Iterable[tuple[Dataset, Split]]], config: TokenizerConfig) -> Tokenizer:
        """The same for a log in parts, each of whole members; ``parts`` is gone through twice with
        merging, else once; beside that its first part is looked at.

        The parts have one schema and one items table. Raises `SplitError` where no part has a training target, and
        `ConfigError` where runs are merged while the schema makes targets of events within them, or with fewer actions
        than there are event types.
        """
        bare = cls.fit_merges(parts, config)
        schema, has_time, items = bare.schema, bare.has_time, next(iter(parts()))[0].items
        targets = 0
        views = ViewCounter(config.ages, has_time=has_time)

        def training() -> Iterator[tuple[pl.DataFrame, NDArray[np.uint64]]]:
            nonlocal targets
            for dataset, split in parts():
                train = split.part == Part.TRAIN
                targets += int((train & is_target(dataset)).sum())
                events = dataset.events.filter(pl.Series(train))
                views.add(events)
                first = first_of_members(events)
                tokens = bare.tokens(events, dataset.items, first)
                columns = bare._columns(tokens.frame, dataset.users)
                yield columns, row_hashes(columns[USER_ID], begins(first[tokens.first]))

        fields = fit_fields(
            training(), lambda columns: fitters(schema, config, columns.columns, items, has_time=has_time)
        )
        if not targets:
            raise SplitError("the training part has no target event", hint="change the split or the targets")
        bare = replace(bare, fields=fields)
        known = bare.items.values
        metadata = ItemMetadata.fit(items, schema, known, config.metadata)
        totals = bare.items.table["count"].to_numpy().astype(np.int64)
        return replace(
            bare,
            metadata=metadata,
            described=_described(items, metadata, known),
            ages=views.finish(known, totals),
        )

    def check(self, dataset: Dataset) -> None:
        """Raise a `ColumnTypeError` for ids of items, a `MissingColumnError` for times that training had otherwise."""
        there, known = dataset.events.schema[ITEM_ID], self.items.values.dtype
        if there != known:
            raise ColumnTypeError(
                f"column {ITEM_ID!r} holds {there}, but the run was trained on {known}",
                hint="give the column the type that it had in training",
            )
        if self.has_time and not dataset.has_time:
            raise MissingColumnError(
                f"the run was trained on events with a {TIMESTAMP}, and these have positions",
                hint="give the time of each event",
            )

    def with_items(self, dataset: Dataset) -> Tokenizer:
        """The tokenizer for a log that knows more items: they follow the trained ones, in the order of their ids.

        They have no embedding of an id, so only a model that reads metadata has a use for them. Raises what `check`
        raises.
        """
        assert not self.added, "a tokenizer as it was fitted"
        self.check(dataset)
        ids = [dataset.events[ITEM_ID]] if dataset.items is None else [dataset.events[ITEM_ID], dataset.items[ITEM_ID]]
        there = pl.concat(ids).unique()
        new = there.filter(~there.is_in(self.items.values.implode())).sort()
        if not len(new):
            return self
        table = pl.concat([self.items.table, pl.DataFrame({"value": new})], how="diagonal_relaxed")
        item = self.fields[0]
        assert isinstance(item, CategoricalField)
        field = replace(item, vocabulary=Vocabulary(table=table))
        return replace(self, fields=(field, *self.fields[1:]), added=len(new))

    @classmethod
    def fit_merges(cls, parts: Callable[[], Iterable[tuple[Dataset, Split]]], config: TokenizerConfig) -> Tokenizer:
        """A tokenizer without fields, which makes tokens and can't encode them yet."""
        first, _ = next(iter(parts()))
        inferred = config.runs == "auto"
        if inferred:
            runs = "merge" if first.schema.one_target_a_run else "keep"
            config = config.model_copy(update={"runs": runs})
        if config.runs != "keep" and not first.schema.one_target_a_run:
            raise ConfigError(
                f"runs: {config.runs} makes one token of what the schema counts as several targets",
                hint="set one_target_a_run: true in schema.yaml, so that the next different item is predicted",
            )
        merges = learn_merges(parts, config) if config.runs == "merge" else None
        if merges is not None and not inferred and merges.size > config.max_actions:
            raise ConfigError(
                f"{config.max_actions} actions are too few: there are {merges.size}, that for types unseen in training "
                "included",
                hint=f"state at least {merges.size}, and one more for each merge",
            )
        return cls(config=config, schema=first.schema, has_time=first.has_time, merges=merges, fields=())

    def tokens(
        self,
        events: pl.DataFrame,
        items: pl.DataFrame | None,
        first: NDArray[np.bool_],
        *,
        breaks: NDArray[np.bool_] | None = None,
    ) -> Tokens:
        """The tokens of histories laid end to end, which begin at ``first`` [n]; ``breaks`` [n] also end a run."""
        if self.has_time and GAP not in events.columns:
            events = with_gap(events, first)
        if self.config.runs == "keep":
            rows = np.arange(events.height)
            return Tokens(events, rows, rows)
        starts = run_starts(events, self.schema, items) | first
        if breaks is not None:
            starts |= breaks
        if self.merges is None:
            return keep_last(events, starts, self.schema)
        segments = self.merges.segment(actions(events, self.merges), starts)
        names = pl.Series(self.merges.names, dtype=pl.String).gather(segments.action)
        return collapse(events, segments, names, self.schema)

    def encode(self, dataset: Dataset, split: Split | None = None) -> TokenStore:
        """The dataset's tokens as arrays. With ``split`` no token reaches from the training part into a later one.

        Raises what `check` raises.
        """
        self.check(dataset)
        breaks = None if split is None else _part_starts(split)
        asked = Asked.of(dataset, breaks)
        return self.encode_events(dataset.events, dataset.users, dataset.items, asked=asked, breaks=breaks)

    def encode_events(
        self,
        events: pl.DataFrame,
        users: pl.DataFrame | None,
        items: pl.DataFrame | None,
        *,
        asked: Asked,
        first: NDArray[np.bool_] | None = None,
        breaks: NDArray[np.bool_] | None = None,
    ) -> TokenStore:
        """Events as arrays, a row a token: histories end to end, in order.

        A history begins at each of ``first`` [n], by default where the member changes; no run goes over ``breaks`` [n].
        A column that the events lack is unknown in every row; so is a null. A token is a target if its first event is.
        """
        first = first_of_members(events) if first is None else first
        tokens = self.tokens(events, items, first, breaks=breaks)
        return self._encode_tokens(tokens, events[ITEM_ID], users, asked, first)

    def open_runs(self, dataset: Dataset, split: Split) -> OpenRuns:
        """Training runs cut short, as a history shows them whose last run is still open; see `OpenRuns`.

        Each run of several events that a training target follows is cut behind a fixed random one of them.
        """
        assert self.merges is not None, "only merging makes open runs differ from closed ones"
        train = split.part == Part.TRAIN
        events = dataset.events.filter(pl.Series(train))
        asked = Asked.of(dataset, _part_starts(split))
        target = asked.target[train]
        starts = run_starts(events, self.schema, dataset.items)
        member = first_of_members(events)
        run = np.flatnonzero(starts)
        lengths = np.diff(np.append(run, events.height))
        followed = np.flatnonzero((lengths[:-1] > 1) & target[run[1:]] & ~member[run[1:]])
        chance = row_hashes(events[USER_ID], begins(member))[run[followed]]
        keep = 1 + (chance % (lengths[followed] - 1).astype(np.uint64)).astype(np.int64)
        # Each run cut short, and behind it the first event of the next run, which asks.
        rows = np.repeat(run[followed], keep + 1) + _within(keep + 1)
        ask = np.cumsum(keep + 1) - 1
        rows[ask] = run[followed + 1]
        shown, asks = events[rows], np.zeros(len(rows), np.bool_)
        asks[ask] = True
        first = np.concatenate([np.ones(1, np.bool_), asks[:-1]])[: len(rows)]
        if self.has_time:
            # A run follows what it follows in the log; who asks, the last event that is shown.
            before = with_gap(events, member)[GAP].gather(rows)
            gap = pl.when(pl.Series(first)).then(before).otherwise(GAP)
            shown = with_gap(shown, first).with_columns(gap.alias(GAP))
        tokens = self.tokens(shown, dataset.items, first, breaks=asks)
        whole = np.flatnonzero(train)
        store = self._encode_tokens(tokens, shown[ITEM_ID], dataset.users, asked.take(whole[rows]), first)
        return OpenRuns(
            store=store._replace(event=whole[rows[tokens.first]]),
            asking=whole[run[followed + 1]],
            run=whole[run[followed]],
            stop=np.searchsorted(tokens.first, ask) + 1,
        )

    def _encode_tokens(
        self,
        tokens: Tokens,
        item: pl.Series,
        users: pl.DataFrame | None,
        asked: Asked,
        first: NDArray[np.bool_],
    ) -> TokenStore:
        """Tokens as arrays; ``item``, ``asked`` and ``first`` [events] are those of the events."""
        columns = self._columns(tokens.frame, users)
        n = columns.height
        ids = np.empty((n, sum(field.width for field in self.fields)), dtype=np.int32)
        values = np.empty((n, sum(isinstance(field, NumericField) for field in self.fields)), dtype=np.float32)
        for field, spec in zip(self.fields, self.specs, strict=True):
            column = columns[field.name] if field.name in columns.columns else pl.Series(field.name, [None] * n)
            ids[:, spec.start : spec.start + spec.width] = field.encode(column)
            if spec.value is not None:
                scaled = field.scale(column)
                assert scaled is not None
                values[:, spec.value] = scaled
        merged = self.config.runs != "keep"
        by_group = merged and self.schema.runs.by == "group"
        wanted = self.fields[0].encode(item.gather(tokens.first))[:, 0] if by_group else ids[:, 0]
        time = columns[TIMESTAMP].to_numpy().astype(np.int64) if self.has_time else np.zeros(n, dtype=np.int64)
        is_asked = asked.target[tokens.first] & (wanted >= FIRST_KNOWN) & ~self._finds(wanted, time)
        return TokenStore(
            ids=ids,
            values=values,
            time=time,
            end=columns[END].to_numpy().astype(np.int64) if merged and self.has_time else time,
            target=np.where(is_asked, wanted, 0).astype(np.int32),
            available=np.maximum(self.available(time), wanted + 1).astype(np.int32),
            begin=begins(first[tokens.first]),
            session=asked.session[tokens.first],
            familiar=np.where(is_asked, asked.familiar[tokens.first], 0).astype(np.int8),
            weight=is_asked.astype(np.float32),
            shown=np.zeros((n, 0), np.int32),
            event=tokens.first.astype(np.int64),
        )

    def _columns(self, tokens: pl.DataFrame, users: pl.DataFrame | None) -> pl.DataFrame:
        """All columns that a field may read: the tokens', the member's attributes, the time features."""
        columns = tokens
        if users is not None and self.config.member_attributes:
            attributes = users.rename({name: ATTRIBUTE + name for name in users.columns if name != USER_ID})
            columns = columns.join(attributes, on=USER_ID, how="left", maintain_order="left")
        return with_absolute(columns) if self.has_time and self.config.time_features else columns

    def available(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each moment, the item index up to which (exclusive) items exist; all of them without time."""
        if not self.has_time:
            return np.full(len(time), self.items.size, dtype=np.int64)
        launch = self.items.table["launch"].head(self.trained).to_numpy()
        return np.searchsorted(launch, time, side="right") + FIRST_KNOWN

    def _finds(self, wanted: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether it is this event by which anybody learns that the item is there, ``[n]``.

        Before it the item is no candidate (`palate.data.availability`). Asked for all the same, it would be known by
        being there without an event, and a model would learn to offer what nobody has acted on.
        """
        if not self.has_time:
            return np.zeros(len(time), np.bool_)
        table = self.items.table.head(self.trained)
        found = table["first_seen"].to_numpy()
        unannounced = np.append(np.where(table["launch"].to_numpy() >= found, found, np.iinfo(np.int64).min), 0)
        place = wanted.astype(np.int64) - FIRST_KNOWN
        known = (place >= 0) & (place < self.trained)
        finds: NDArray[np.bool_] = known & (time <= unannounced[np.where(known, place, self.trained)])
        return finds

    @property
    def trained(self) -> int:
        """Items that were in training."""
        return len(self.items.values) - self.added

    def digest(self) -> str:
        """A hash of everything that decides what it makes of a log."""
        digest = hashlib.sha256(repr((self.config, self.schema, self.has_time, self.merges)).encode())
        for field in self.fields:
            if isinstance(field, NumericField):
                digest.update(repr(field).encode())
            elif isinstance(field, CategoricalField | MultiCategoricalField):
                digest.update(f"{field.name} {field.side} {field.width} {field.vocabulary.digest()}".encode())
        if self.metadata is not None:
            digest.update(self.metadata.digest().encode())
        return digest.hexdigest()


def _described(items: pl.DataFrame | None, metadata: ItemMetadata | None, known: pl.Series) -> pl.DataFrame | None:
    """What the items table says of the known items, as far as it is used."""
    if items is None:
        return None
    names = set() if metadata is None else {field.name for field in metadata.fields}
    columns = [name for name in items.columns if name in (ITEM_ID, LAUNCH_TIME) or name in names]
    return items.select(columns).filter(pl.col(ITEM_ID).is_in(known.implode()))


def _part_starts(split: Split) -> NDArray[np.bool_]:
    starts: NDArray[np.bool_] = np.diff(split.part, prepend=split.part[:1]) != 0
    return starts


def _within(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, … for each length, end to end."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def first_of_members(events: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each event is its member's first, ``[n]``."""
    starts: NDArray[np.bool_] = (events[USER_ID] != events[USER_ID].shift()).fill_null(True).to_numpy()
    return starts


def begins(first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The row at which each row's history begins; ``first`` [n] are the first rows of histories."""
    rows: NDArray[np.int64] = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
    return rows
