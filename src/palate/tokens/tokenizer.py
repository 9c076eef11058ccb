"""The tokenizer: fitted once on training events, then frozen; turns any log of the same schema into a token store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, Kind, Part, Role, Schema, Split, is_target
from palate.errors import DamagedRunError, SplitError
from palate.tokens.batch import FieldSpec, Side
from palate.tokens.config import TokenizerConfig
from palate.tokens.fields import CategoricalField, Field, MultiCategoricalField, NumericField
from palate.tokens.moments import absolute_columns, fit_time_fields, gap_column
from palate.tokens.store import TokenStore
from palate.tokens.vocabulary import Vocabulary
from palate.words import EVENT_TYPE, FIRST_KNOWN, ITEM_ID, LAUNCH_TIME, TIMESTAMP, USER_ID

ITEM_FIELD = ITEM_ID
ATTRIBUTE = "member:"


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Fields in the order of their columns: post-action ones first, the item first of all."""

    config: TokenizerConfig
    schema: Schema
    has_time: bool
    fields: tuple[Field, ...]

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
        """Learn vocabularies and bucket edges from the training events, and from nothing else."""
        train = split.part == Part.TRAIN
        events = dataset.events.filter(pl.Series(train))
        if not (train & is_target(dataset)).any():
            raise SplitError("the training part has no target event", hint="change the split or the targets")
        columns = _columns(dataset.events, dataset.users).filter(pl.Series(train))
        items = _item_vocabulary(events, dataset.items, has_time=dataset.has_time)
        item = CategoricalField(name=ITEM_FIELD, side=Side.POST_ACTION, vocabulary=items)
        found = list(_fit_fields(columns, dataset.schema, config, has_time=dataset.has_time))
        fields = (
            item,
            *(field for field in found if field.side == Side.POST_ACTION),
            *(field for field in found if field.side == Side.REQUEST_TIME),
        )
        return cls(config=config, schema=dataset.schema, has_time=dataset.has_time, fields=fields)

    def encode(self, dataset: Dataset) -> TokenStore:
        """The dataset's events as arrays, row for row."""
        return self.encode_events(dataset.events, dataset.users, target=is_target(dataset))

    def encode_events(
        self, events: pl.DataFrame, users: pl.DataFrame | None, *, target: NDArray[np.bool_]
    ) -> TokenStore:
        """Events as arrays, row for row; members lie together, in order.

        A column that the events lack is unknown in every row; so is a null.
        """
        columns = _columns(events, users)
        n = len(events)
        ids = np.empty((n, sum(field.width for field in self.fields)), dtype=np.int32)
        values = np.empty((n, sum(isinstance(field, NumericField) for field in self.fields)), dtype=np.float32)
        for field, spec in zip(self.fields, self.specs, strict=True):
            column = columns[field.name] if field.name in columns.columns else pl.Series(field.name, [None] * n)
            ids[:, spec.start : spec.start + spec.width] = field.encode(column)
            if spec.value is not None:
                scaled = field.scale(column)
                assert scaled is not None
                values[:, spec.value] = scaled
        item = ids[:, 0]
        time = events[TIMESTAMP].to_numpy() if self.has_time else np.zeros(n, dtype=np.int64)
        return TokenStore(
            ids=ids,
            values=values,
            time=time.astype(np.int64),
            target=np.where(target & (item >= FIRST_KNOWN), item, 0).astype(np.int32),
            available=np.maximum(self.available(time), item + 1).astype(np.int32),
            begin=_member_begin(events),
        )

    def available(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each moment, the item index up to which (exclusive) items exist; all of them without time."""
        if not self.has_time:
            return np.full(len(time), self.items.size, dtype=np.int64)
        return np.searchsorted(self.items.table["launch"].to_numpy(), time, side="right") + FIRST_KNOWN

    def write(self, folder: Path) -> None:
        """Write ``tokenizer.json``, ``schema.yaml`` and ``vocabulary/*.parquet`` into ``folder``."""
        (folder / "vocabulary").mkdir()
        described = []
        for number, field in enumerate(self.fields):
            entry: dict[str, object] = {"name": field.name, "side": field.side.value}
            if isinstance(field, NumericField):
                entry |= {"kind": "numeric", "knots": field.knots}
            elif isinstance(field, CategoricalField | MultiCategoricalField):
                name = f"vocabulary/{number:02d}-{_file_name(field.name)}.parquet"
                field.vocabulary.write(folder / name)
                multi = isinstance(field, MultiCategoricalField)
                entry |= {"kind": "multi_categorical" if multi else "categorical", "width": field.width}
                entry |= {"vocabulary": name, "sha256": field.vocabulary.digest()}
            described.append(entry)
        content = {"config": self.config.model_dump(), "has_time": self.has_time, "fields": described}
        (folder / "tokenizer.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        self.schema.write(folder / "schema.yaml")

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """Read what `write` wrote; a vocabulary whose hash differs is a `DamagedRunError`."""
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return cls(
            config=TokenizerConfig.model_validate(content["config"]),
            schema=Schema.from_yaml(folder / "schema.yaml"),
            has_time=content["has_time"],
            fields=tuple(_read_field(folder, entry) for entry in content["fields"]),
        )


def _read_field(folder: Path, entry: dict[str, object]) -> Field:
    name, side = str(entry["name"]), Side(str(entry["side"]))
    if entry["kind"] == "numeric":
        knots = entry["knots"]
        assert isinstance(knots, list)
        return NumericField(name=name, side=side, knots=tuple(map(float, knots)))
    path = folder / str(entry["vocabulary"])
    vocabulary = Vocabulary.read(path)
    if vocabulary.digest() != entry["sha256"]:
        raise DamagedRunError(f"{path} does not hold the vocabulary that tokenizer.json names")
    if entry["kind"] == "categorical":
        return CategoricalField(name=name, side=side, vocabulary=vocabulary)
    width = entry["width"]
    assert isinstance(width, int)
    return MultiCategoricalField(name=name, side=side, vocabulary=vocabulary, width=width)


def _columns(events: pl.DataFrame, users: pl.DataFrame | None) -> pl.DataFrame:
    """All columns that a field may read: the events', the member's attributes, the time features."""
    columns = events
    if users is not None:
        attributes = users.rename({name: ATTRIBUTE + name for name in users.columns if name != USER_ID})
        columns = columns.join(attributes, on=USER_ID, how="left", maintain_order="left")
    if TIMESTAMP in events.columns:
        gaps = events.select(pl.col(TIMESTAMP).diff().over(USER_ID))[TIMESTAMP]
        columns = columns.hstack(absolute_columns(events[TIMESTAMP])).with_columns(gap_column(gaps))
    return columns


def _fit_fields(columns: pl.DataFrame, schema: Schema, config: TokenizerConfig, *, has_time: bool) -> Iterator[Field]:
    """The fields of everything but the item."""
    if EVENT_TYPE in columns.columns:
        vocabulary = Vocabulary.fit(columns[EVENT_TYPE], limit=config.max_categories)
        yield CategoricalField(name=EVENT_TYPE, side=Side.POST_ACTION, vocabulary=vocabulary)
    for role, side in ((Role.POST_ACTION, Side.POST_ACTION), (Role.REQUEST_TIME, Side.REQUEST_TIME)):
        for name, kind in schema.with_role("events", role).items():
            yield _fit_field(columns[name], name, side, kind, config)
    if config.member_attributes:
        for name, kind in schema.with_role("users", Role.USER_ATTRIBUTE).items():
            if ATTRIBUTE + name in columns.columns and kind in _USABLE:
                yield _fit_field(columns[ATTRIBUTE + name], ATTRIBUTE + name, Side.REQUEST_TIME, kind, config)
    if has_time and config.time_features:
        yield from fit_time_fields(columns, buckets=config.buckets)


_USABLE = (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL, Kind.NUMERIC)


def _fit_field(column: pl.Series, name: str, side: Side, kind: Kind, config: TokenizerConfig) -> Field:
    if kind == Kind.NUMERIC:
        return NumericField.fit(column, name=name, side=side, buckets=config.buckets)
    assert kind in _USABLE, f"{name}: the data room lets no {kind} column through as a field of events"
    if kind == Kind.MULTI_CATEGORICAL:
        values = column.list.explode(keep_nulls=False, empty_as_null=False)
        vocabulary = Vocabulary.fit(values, limit=config.max_categories)
        longest = column.list.len().max()
        width = min(config.max_values, int(longest) if isinstance(longest, int) else 1)
        return MultiCategoricalField(name=name, side=side, vocabulary=vocabulary, width=max(width, 1))
    vocabulary = Vocabulary.fit(column, limit=config.max_categories)
    return CategoricalField(name=name, side=side, vocabulary=vocabulary)


def _item_vocabulary(events: pl.DataFrame, items: pl.DataFrame | None, *, has_time: bool) -> Vocabulary:
    """Items of the training events in order of launch (or first event), so that what exists is a prefix."""
    moment = pl.col(TIMESTAMP) if has_time else pl.lit(None, dtype=pl.Int64)
    table = events.group_by(pl.col(ITEM_ID).alias("value")).agg(
        pl.len().alias("count"), moment.min().alias("first_seen"), moment.max().alias("last_seen")
    )
    launch = pl.col("first_seen")
    if has_time and items is not None and LAUNCH_TIME in items.columns:
        known = items.select(pl.col(ITEM_ID).alias("value"), LAUNCH_TIME)
        table = table.join(known, on="value", how="left")
        launch = pl.coalesce(LAUNCH_TIME, "first_seen")
    table = table.with_columns(launch.alias("launch")).sort("launch", "value", nulls_last=True)
    return Vocabulary(table=table.select("value", "count", "launch", "first_seen", "last_seen"))


def _member_begin(events: pl.DataFrame) -> NDArray[np.int64]:
    """The first row of each row's member."""
    change = events.select((pl.col(USER_ID) != pl.col(USER_ID).shift(1)).fill_null(True))[USER_ID].to_numpy()
    starts = np.flatnonzero(change)
    begins: NDArray[np.int64] = starts[np.cumsum(change) - 1] if len(change) else np.zeros(0, dtype=np.int64)
    return begins


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)
