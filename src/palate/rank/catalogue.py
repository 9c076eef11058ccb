"""What a score matrix has as columns: external item ids, and the fixed order in which equal scores rank."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Int64
from torch import Tensor

from palate.data.dataset import Dataset
from palate.data.hashing import stable_hash
from palate.words import ITEM_ID


def known_items(dataset: Dataset) -> pl.Series:
    """All items the dataset knows, of events and of the items table, each once, ascending."""
    ids = [dataset.events[ITEM_ID]]
    if dataset.items is not None:
        ids.append(dataset.items[ITEM_ID])
    return pl.concat(ids).unique().sort().alias(ITEM_ID)


def tie_break(catalogue: pl.Series) -> Int64[Tensor, " V"]:
    """The rank of each item by a fixed hash of its external id: of equal scores the lower one wins.

    The order of two items depends on nothing but their ids; it is the same in every run and catalogue.
    """
    keys = pl.DataFrame({"hash": stable_hash(catalogue), "id": catalogue.cast(pl.String)})
    order = keys.select(pl.arg_sort_by("hash", "id")).to_series().to_numpy()
    rank = np.empty(len(catalogue), dtype=np.int64)
    rank[order] = np.arange(len(catalogue))
    return torch.from_numpy(rank)


def codes(ids: pl.Series, catalogue: pl.Series) -> np.ndarray:
    """The column of each id in the catalogue, int64; −1 where it is not in it."""
    columns = pl.DataFrame({"id": catalogue, "column": np.arange(len(catalogue), dtype=np.int64)})
    found = pl.DataFrame({"id": ids}).join(columns, on="id", how="left", maintain_order="left")
    return found["column"].fill_null(-1).to_numpy()
