"""Assembly: a packed batch from the store, with the shift that makes row t blind to its own outcome."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from palate.tokens.batch import Batch
from palate.tokens.pack import Pack
from palate.tokens.store import TokenStore
from palate.tokens.windows import Windows

_Number = TypeVar("_Number", bound=np.generic)


def assemble(
    store: TokenStore,
    windows: Windows,
    pack: Pack,
    *,
    post_columns: int,
    post_values: int,
    tails: TokenStore | None = None,
) -> tuple[Batch, NDArray[np.int64]]:
    """Build the batch of ``pack``; also the store's row of each slot, ``[T]``, -1 in padding and in tails.

    The first ``post_columns`` index columns and ``post_values`` number columns of the store belong to post-action
    fields and come from the row before; a history's first row has none (padding, 0). ``tails`` is where the windows'
    tails lie.
    """
    chosen = windows.take(pack.windows)
    lengths = chosen.lengths
    heights = np.repeat(
        [rectangle.length for rectangle in pack.rectangles],
        [rectangle.sequences for rectangle in pack.rectangles],
    )
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slot = np.repeat(np.cumsum(heights) - heights, lengths) + within
    total = int(heights.sum())
    rows = _Rows(store, chosen, within, tails)

    ids = np.zeros((total, store.ids.shape[1]), dtype=np.int32)
    own, before = rows.take("ids"), rows.take_previous("ids")
    ids[slot, post_columns:] = own[:, post_columns:]
    ids[slot, :post_columns] = np.where(rows.has_previous[:, None], before[:, :post_columns], 0)
    values = np.zeros((total, store.values.shape[1]), dtype=np.float32)
    if values.shape[1]:
        own_values, values_before = rows.take("values"), rows.take_previous("values")
        values[slot, post_values:] = own_values[:, post_values:]
        values[slot, :post_values] = np.where(rows.has_previous[:, None], values_before[:, :post_values], 0)

    target = np.where(rows.is_target, rows.take("target"), 0).astype(np.int64)
    asked = target > 0
    outcome = np.where(asked[:, None], own[:, :post_columns], 0)
    key_time = np.where(rows.has_previous, rows.take_previous("end"), rows.take("time"))
    batch = Batch(
        ids=torch.from_numpy(ids),
        values=torch.from_numpy(values),
        query_time=torch.from_numpy(_spread(rows.take("time"), slot, total)),
        key_time=torch.from_numpy(_spread(key_time, slot, total)),
        target=torch.from_numpy(_spread(target, slot, total)),
        available=torch.from_numpy(_spread(rows.take("available"), slot, total)),
        outcome=torch.from_numpy(_spread(outcome, slot, total)),
        familiar=torch.from_numpy(_spread(np.where(asked, rows.take("familiar"), 0).astype(np.int32), slot, total)),
        session=torch.from_numpy(_spread(rows.take("session"), slot, total)),
        weight=torch.from_numpy(_spread(np.where(asked, rows.take("weight"), np.float32(0)), slot, total)),
        shown=torch.from_numpy(_spread(np.where(asked[:, None], rows.take("shown"), 0), slot, total)),
        first=torch.from_numpy(chosen.start - store.begin[chosen.start]),
        rectangles=pack.rectangles,
    )
    return batch, _spread(np.where(rows.in_tail, -1, rows.row), slot, total, empty=-1)


class _Rows:
    """The rows of a batch's windows, end to end; those of tails are counted on from the end of the store."""

    def __init__(self, store: TokenStore, chosen: Windows, within: NDArray[np.int64], tails: TokenStore | None) -> None:
        self._store, self._tails, self._height = store, tails, len(store.begin)
        lengths = chosen.lengths
        row = np.repeat(chosen.start, lengths) + within
        self.in_tail = np.zeros(len(row), np.bool_)
        if chosen.tail is not None:
            own = np.repeat(chosen.stop - chosen.start, lengths)
            self.in_tail = within >= own
            row = np.where(self.in_tail, self._height + np.repeat(chosen.tail[0], lengths) + within - own, row)
        self.row = row
        self.is_target = self.in_tail | (row >= np.repeat(chosen.first_target, lengths))
        opens = within == 0
        assert not (opens & self.in_tail).any(), "a window begins in the store"
        self.has_previous = ~opens
        self.has_previous[opens] = row[opens] > store.begin[row[opens]]
        self._previous = np.where(opens, np.where(self.has_previous, row - 1, row), np.roll(row, 1))

    def take(self, name: str) -> NDArray[Any]:
        """A column of the store at each row."""
        return self._gather(name, self.row, self.in_tail)

    def take_previous(self, name: str) -> NDArray[Any]:
        """The same at the row before; at the row itself where there is none."""
        return self._gather(name, self._previous, self._previous >= self._height)

    def _gather(self, name: str, row: NDArray[np.int64], in_tail: NDArray[np.bool_]) -> NDArray[Any]:
        column: NDArray[Any] = getattr(self._store, name)
        if self._tails is None or not in_tail.any():
            return column[row]
        found = column[np.where(in_tail, 0, row)]
        found[in_tail] = getattr(self._tails, name)[row[in_tail] - self._height]
        return found


def _spread(values: NDArray[_Number], slot: NDArray[np.int64], total: int, empty: int = 0) -> NDArray[_Number]:
    """Values at their slots, ``empty`` elsewhere."""
    spread = np.full((total, *values.shape[1:]), empty, dtype=values.dtype)
    spread[slot] = values
    return spread
