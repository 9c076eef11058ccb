"""The catalogue as tensors: what a model has to know of the items of a tokenizer, and how old they were when."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.data import Dataset
from palate.tokens.age_counts import AgeCounts
from palate.tokens.batch import Catalogue
from palate.tokens.metadata import MetadataArrays
from palate.tokens.tokenizer import Tokenizer
from palate.words import ITEM_ID, LAUNCH_TIME, TIMESTAMP

_UNKNOWN = np.iinfo(np.int64).min


def training_catalogue(tokenizer: Tokenizer) -> Catalogue:
    """The trained items, with the counts of the training events."""
    return _catalogue(tokenizer, None, tokenizer.items.table["launch"], None)


def present_catalogue(
    tokenizer: Tokenizer, dataset: Dataset, *, rolling: bool = True, later: pl.DataFrame | None = None
) -> Catalogue:
    """The items of ``tokenizer``, which has been given those of ``dataset`` (`Tokenizer.with_items`).

    Metadata are those of the dataset's items table, or of the training where it lacks a trained item. With ``rolling``
    the dataset's events after the training's last one count as well, each from the next point of the grid on; where it
    holds some of the members only, ``later`` gives the counts of all (`Ages.later`). Raises `ColumnTypeError` for ids
    or metadata of another type than in training.
    """
    assert tokenizer.ages is not None, "a fitted tokenizer"
    tokenizer.check(dataset)
    items = dataset.items
    launch = tokenizer.items.table.select(pl.col("value").alias(ITEM_ID), "launch")
    views = None
    if dataset.has_time:
        seen = dataset.events.group_by(ITEM_ID).agg(pl.col(TIMESTAMP).min().alias("seen"))
        launch = launch.join(seen, on=ITEM_ID, how="left", maintain_order="left")
        now = pl.lit(None, pl.Int64)
        if items is not None and LAUNCH_TIME in items.columns:
            launch = launch.join(items.select(ITEM_ID, now=LAUNCH_TIME), on=ITEM_ID, how="left", maintain_order="left")
            now = pl.col("now")
        launch = launch.select(ITEM_ID, pl.coalesce(now, "launch", "seen").alias("launch"))
        if rolling and tokenizer.has_time:
            places = pl.DataFrame({ITEM_ID: tokenizer.items.values}).with_row_index("item")
            counted = tokenizer.ages.later(dataset.events) if later is None else later
            views = counted.join(places, on=ITEM_ID)
    return _catalogue(tokenizer, items, launch["launch"], views)


def _catalogue(
    tokenizer: Tokenizer, items: pl.DataFrame | None, launch: pl.Series, views: pl.DataFrame | None
) -> Catalogue:
    assert tokenizer.ages is not None, "a fitted tokenizer"
    ids = tokenizer.items.values
    arrays = _metadata(tokenizer, items)
    known: NDArray[np.int64] = launch.fill_null(_UNKNOWN).to_numpy().astype(np.int64)
    since = np.where(known == _UNKNOWN, np.nan, known.astype(np.float64))
    moments, ages = tokenizer.ages.codes(since, views)
    return Catalogue(
        trained=tokenizer.trained,
        metadata=torch.from_numpy(arrays.ids),
        vectors=torch.from_numpy(arrays.vectors),
        counts=torch.from_numpy(np.pad(tokenizer.ages.totals, (0, len(ids) - tokenizer.trained))),
        launch=torch.from_numpy(known),
        moments=torch.from_numpy(moments),
        ages=ages if isinstance(ages, AgeCounts) else torch.from_numpy(ages),
    )


def _metadata(tokenizer: Tokenizer, items: pl.DataFrame | None) -> MetadataArrays:
    """What ``items`` say of each item; of what they lack, what training knew."""
    ids, metadata = tokenizer.items.values, tokenizer.metadata
    if metadata is None:
        return MetadataArrays(np.zeros((len(ids), 0), np.int32), np.zeros((len(ids), 0), np.float32))
    if items is None:
        return metadata.encode(tokenizer.described, ids)
    arrays = metadata.encode(items, ids)
    missing = ~ids.is_in(items[ITEM_ID].implode())
    if missing.any():
        # Apart from the others: as one table, a column of two types would take a third, and no error would be raised.
        known = metadata.encode(tokenizer.described, ids.filter(missing))
        arrays.ids[missing.to_numpy()], arrays.vectors[missing.to_numpy()] = known.ids, known.vectors
    return arrays
