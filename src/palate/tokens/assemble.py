"""Assembly: a packed batch from the store, with the shift that makes row t blind to its own outcome."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from palate.tokens.batch import Batch
from palate.tokens.pack import Pack
from palate.tokens.store import TokenStore
from palate.tokens.windows import Windows

_Number = TypeVar("_Number", bound=np.generic)


def assemble(
    store: TokenStore, windows: Windows, pack: Pack, *, post_columns: int, post_values: int
) -> tuple[Batch, NDArray[np.int64]]:
    """Build the batch of ``pack``; also the store's row of each slot, ``[T]``, -1 in padding.

    The first ``post_columns`` index columns and ``post_values`` number columns of the store belong to post-action
    fields and come from the row before; a history's first row has none (padding, 0).
    """
    chosen = windows.take(pack.windows)
    lengths = chosen.lengths
    heights = np.repeat(
        [rectangle.length for rectangle in pack.rectangles],
        [rectangle.sequences for rectangle in pack.rectangles],
    )
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slot = np.repeat(np.cumsum(heights) - heights, lengths) + within
    row = np.repeat(chosen.start, lengths) + within
    total = int(heights.sum())

    has_previous = row > store.begin[row]
    previous = np.where(has_previous, row - 1, row)

    ids = np.zeros((total, store.ids.shape[1]), dtype=np.int32)
    own, before = store.ids[row], store.ids[previous]
    ids[slot, post_columns:] = own[:, post_columns:]
    ids[slot, :post_columns] = np.where(has_previous[:, None], before[:, :post_columns], 0)
    values = np.zeros((total, store.values.shape[1]), dtype=np.float32)
    if values.shape[1]:
        own_values, values_before = store.values[row], store.values[previous]
        values[slot, post_values:] = own_values[:, post_values:]
        values[slot, :post_values] = np.where(has_previous[:, None], values_before[:, :post_values], 0)

    is_target = row >= np.repeat(chosen.first_target, lengths)
    rows = _spread(row, slot, total, empty=-1)
    batch = Batch(
        ids=torch.from_numpy(ids),
        values=torch.from_numpy(values),
        query_time=torch.from_numpy(_spread(store.time[row], slot, total)),
        key_time=torch.from_numpy(_spread(store.time[previous], slot, total)),
        target=torch.from_numpy(_spread(np.where(is_target, store.target[row], 0).astype(np.int64), slot, total)),
        available=torch.from_numpy(_spread(store.available[row], slot, total)),
        rectangles=pack.rectangles,
    )
    return batch, rows


def _spread(values: NDArray[_Number], slot: NDArray[np.int64], total: int, empty: int = 0) -> NDArray[_Number]:
    """Values at their slots, ``empty`` elsewhere."""
    spread = np.full(total, empty, dtype=values.dtype)
    spread[slot] = values
    return spread
