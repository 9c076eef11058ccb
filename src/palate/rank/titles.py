"""What items are called, where the items table says so."""

from __future__ import annotations

import polars as pl

from palate.data.dataset import Dataset
from palate.words import ITEM_ID

_COLUMNS = ("title", "name")


def with_titles(table: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The table, which has ``item_id``, with the items' titles; as it is where the items table has no such column."""
    column = _column(dataset)
    if dataset.items is None or column is None:
        return table
    return table.join(dataset.items.select(ITEM_ID, column), on=ITEM_ID, how="left", maintain_order="left")


def title(dataset: Dataset, item: int | str) -> str | None:
    """The title of one item; none where it has none."""
    column = _column(dataset)
    if dataset.items is None or column is None:
        return None
    found = dataset.items.filter(pl.col(ITEM_ID) == item)[column].drop_nulls()
    return str(found[0]) if len(found) else None


def _column(dataset: Dataset) -> str | None:
    names = [] if dataset.items is None else dataset.items.columns
    return next((name for name in _COLUMNS if name in names), None)
