"""What is known of items apart from events, as arrays: what the item tower reads.

Fitted once, on the items with a training event, and frozen. It encodes any item afterwards, so that a title nobody has
touched is described in the same words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from palate.config import Config
from palate.data import Kind, Role, Schema
from palate.errors import ConfigError, DamagedRunError
from palate.tokens.batch import MetadataKind, MetadataSpec
from palate.tokens.metadata_fields import (
    BucketField,
    CategoryField,
    MetadataField,
    Stored,
    UselessColumnError,
    VectorField,
)
from palate.tokens.text import TextField
from palate.words import GROUP_ID, ITEM_ID

_FILE: Final = "metadata.json"
_FOLDER: Final = "metadata"
_FORMS: Final = (CategoryField, BucketField, VectorField, TextField)


class MetadataConfig(Config):
    """How columns of the items table become what the item tower reads."""

    columns: tuple[str, ...] | None = None
    """Columns to use; null: every item_metadata column that carries something to new items."""
    max_categories: int = Field(default=10_000, ge=1)
    """Most frequent values that a column keeps; the others are unknown."""
    max_values: int = Field(default=16, ge=1)
    """Values kept of a cell with several."""
    min_count: int = Field(default=2, ge=1)
    """A value of fewer trained items is unknown: it says nothing about others, and teaches what unknown is like."""
    buckets: int = Field(default=32, ge=2)
    """Quantile buckets of a number or a date; fewer where trained items are few, so that 10 of them share one."""
    text_width: int = Field(default=64, ge=1)
    """Dimensions of the vector of a text."""


@dataclass(frozen=True)
class MetadataArrays:
    """Items, encoded."""

    ids: NDArray[np.int32]
    """[V, F] indices of the values of all category columns; 0 is padding, 1 unknown."""
    vectors: NDArray[np.float32]
    """[V, N] the numbers of all vector columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemMetadata:
    """The fitted columns, which encode items."""

    config: MetadataConfig
    fields: tuple[MetadataField, ...]
    """In the order of the schema."""
    left_out: Mapping[str, str]
    """Columns that carry nothing to new items, and why."""

    @classmethod
    def fit(
        cls, items: pl.DataFrame | None, schema: Schema, trained: pl.Series, config: MetadataConfig | None = None
    ) -> ItemMetadata | None:
        """Learn from the rows of ``trained`` items, the external ids of those with a training event.

        None where there is nothing usable. Raises `ConfigError` for a stated column that the items table doesn't have
        as item_metadata. A column that was stated is used even if it looks like an id.
        """
        config = config or MetadataConfig()
        available = schema.with_role("items", Role.ITEM_METADATA)
        columns = {name: kind for name, kind in available.items() if items is not None and name in items.columns}
        if config.columns is not None:
            _check_columns(config.columns, columns)
            columns = {name: kind for name, kind in columns.items() if name in config.columns}
        if items is None or not columns:
            return None
        # In the order of ids, so that neither the order of the table nor that of the log has an influence.
        rows = items.filter(pl.col(ITEM_ID).is_in(trained.implode())).sort(ITEM_ID)
        if not rows.height:
            return None
        fields: list[MetadataField] = []
        left_out: dict[str, str] = {}
        for name, kind in columns.items():
            try:
                fields.append(_fit_field(rows[name], kind, config))
            except UselessColumnError as reason:
                left_out[name] = str(reason)
        return cls(config=config, fields=tuple(fields), left_out=left_out) if fields else None

    @cached_property
    def specs(self) -> tuple[MetadataSpec, ...]:
        """Where the arrays hold each column."""
        next_start = dict.fromkeys(MetadataKind, 0)
        specs = []
        for field in self.fields:
            start = next_start[field.kind]
            specs.append(
                MetadataSpec(name=field.name, kind=field.kind, size=field.size, start=start, width=field.width)
            )
            next_start[field.kind] = start + field.width
        return tuple(specs)

    def encode(self, items: pl.DataFrame | None, ids: pl.Series) -> MetadataArrays:
        """The arrays of items by external id, a row each, also of items that were not trained.

        Unknown in every column, and without any vector, is an id that ``items`` has no row of; so is each in a column
        that ``items`` lacks. Raises `ColumnTypeError` for values of another type than in training.
        """
        rows = self._rows(items, ids)
        encoded: dict[MetadataKind, list[NDArray[np.int32] | NDArray[np.float32]]] = {kind: [] for kind in MetadataKind}
        for field in self.fields:
            encoded[field.kind].append(field.encode(rows[field.name]))
        return MetadataArrays(
            ids=np.concatenate([np.empty((len(ids), 0), np.int32), *encoded[MetadataKind.CATEGORY]], axis=1),
            vectors=np.concatenate([np.empty((len(ids), 0), np.float32), *encoded[MetadataKind.VECTOR]], axis=1),
        )

    def _rows(self, items: pl.DataFrame | None, ids: pl.Series) -> pl.DataFrame:
        """The columns of the fields for each id, null where they are not known."""
        names = [field.name for field in self.fields]
        asked = ids.alias(ITEM_ID).to_frame()
        if items is not None:
            there = items.select(ITEM_ID, *(name for name in names if name in items.columns))
            asked = asked.join(there, on=ITEM_ID, how="left", maintain_order="left")
        assert asked.height == len(ids), "an item has two rows"
        return asked.with_columns(pl.lit(None).alias(name) for name in names if name not in asked.columns)

    def digest(self) -> str:
        """A hash of everything that decides what it makes of items."""
        digest = hashlib.sha256()
        for field in self.fields:
            digest.update(f"{field.name}\x00{field.form}\x00{field.store().digest()}\x00".encode())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Write ``metadata.json`` and ``metadata/*`` into ``folder``."""
        (folder / _FOLDER).mkdir()
        described = []
        for number, field in enumerate(self.fields):
            stored = field.store()
            file = f"{_FOLDER}/{number:02d}"
            if stored.table is not None:
                stored.table.write_parquet(folder / f"{file}.parquet")
            if stored.arrays is not None:
                save_file(stored.arrays, folder / f"{file}.safetensors")
            described.append(
                {
                    "name": field.name,
                    "form": field.form,
                    "file": file,
                    "settings": stored.settings,
                    "table": stored.table is not None,
                    "arrays": stored.arrays is not None,
                    "sha256": stored.digest(),
                }
            )
        content = {"config": self.config.model_dump(), "fields": described, "left_out": dict(self.left_out)}
        (folder / _FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ItemMetadata:
        """Read what `write` wrote; what is missing, can't be read or has other content is a `DamagedRunError`."""
        try:
            content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedRunError(f"{folder / _FILE}: can't be read: {error}") from error
        return cls(
            config=MetadataConfig.model_validate(content["config"]),
            fields=tuple(_read_field(folder, entry) for entry in content["fields"]),
            left_out=content["left_out"],
        )


def _check_columns(stated: tuple[str, ...], columns: Mapping[str, Kind]) -> None:
    missing = [name for name in stated if name not in columns]
    if missing:
        raise ConfigError(
            f"metadata.columns: {', '.join(missing)} is no item_metadata of the items table",
            hint=f"it has {', '.join(columns) or 'none'}; see schema.yaml",
        )


def _fit_field(column: pl.Series, kind: Kind, config: MetadataConfig) -> MetadataField:
    if kind in (Kind.NUMERIC, Kind.TIMESTAMP):
        return BucketField.fit(column, buckets=config.buckets)
    if kind == Kind.VECTOR:
        return VectorField.fit(column)
    if kind == Kind.TEXT:
        return TextField.fit(column, width=config.text_width)
    return CategoryField.fit(
        column,
        max_categories=config.max_categories,
        max_values=config.max_values,
        min_count=config.min_count,
        # Episodes share their group, even where most groups have a single title.
        may_be_id=column.name == GROUP_ID or config.columns is not None,
    )


def _read_field(folder: Path, entry: dict[str, Any]) -> MetadataField:
    name, file = entry["name"], folder / entry["file"]
    try:
        table = pl.read_parquet(file.with_suffix(".parquet")) if entry["table"] else None
        arrays = load_file(file.with_suffix(".safetensors")) if entry["arrays"] else None
    except (OSError, pl.exceptions.PolarsError, SafetensorError) as error:
        raise DamagedRunError(f"{file}: the metadata of {name} can't be read: {error}") from error
    stored = Stored(entry["settings"], table, arrays)
    if stored.digest() != entry["sha256"]:
        raise DamagedRunError(f"{file} does not hold the metadata of {name} that {_FILE} names")
    form = next(form for form in _FORMS if form.form == entry["form"])
    return form.restore(name, stored)
