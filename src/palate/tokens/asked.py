"""What is asked at each event: whether it is a target, in which session, and what the member knew of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, has_target_type, is_target, session_starts
from palate.tokens.batch import Familiar
from palate.words import GROUP_ID, ITEM_ID, USER_ID


class Asked(NamedTuple):
    """Labels by event, ``n`` of them."""

    target: NDArray[np.bool_]
    """Whether the model is asked for it, ``[n]``."""
    session: NDArray[np.int32]
    """Number of its session within its member's history, from 0, ``[n]``."""
    familiar: NDArray[np.int8]
    """`Familiar` where it is a target, ``[n]``."""

    @classmethod
    def of(cls, dataset: Dataset, breaks: NDArray[np.bool_] | None = None) -> Asked:
        """The labels of a log; what follows one of ``breaks`` [n] has no say in what came before it."""
        target = is_target(dataset, breaks=breaks)
        starts = session_starts(dataset.events, dataset.schema)
        if breaks is not None:
            starts |= breaks
        counted: NDArray[np.int64] = np.cumsum(starts)
        # Within the member: else what others do later would change the numbers.
        member = dataset.member_starts
        lengths = np.diff(member, append=len(counted))
        session = (counted - np.repeat(counted[member], lengths)).astype(np.int32)
        return cls(target, session, _familiar(dataset, target))

    @classmethod
    def nothing(cls, n: int) -> Asked:
        """``n`` events of which none is a target."""
        return cls(np.zeros(n, np.bool_), np.zeros(n, np.int32), np.zeros(n, np.int8))

    def take(self, rows: NDArray[np.int64]) -> Asked:
        """The labels of some events."""
        return Asked(self.target[rows], self.session[rows], self.familiar[rows])


def _familiar(dataset: Dataset, target: NDArray[np.bool_]) -> NDArray[np.int8]:
    """By the member's earlier events of target types."""
    events = dataset.events.select(USER_ID, ITEM_ID)
    typed = has_target_type(dataset.events, dataset.schema)
    again = _had(events.select(USER_ID, thing=ITEM_ID), typed)
    known = again
    if dataset.items is not None and GROUP_ID in dataset.items.columns:
        groups = dataset.items.select(ITEM_ID, GROUP_ID)
        group = events.join(groups, on=ITEM_ID, how="left", maintain_order="left")
        known = again | _had(group.select(USER_ID, thing=GROUP_ID), typed)
    found = np.where(again, Familiar.AGAIN, np.where(known, Familiar.CONTINUE, Familiar.DISCOVER))
    return np.where(target, found, Familiar.NONE).astype(np.int8)


def _had(things: pl.DataFrame, typed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the member had an earlier event of a target type with the same thing, ``[n]``; null is nothing."""
    rows = things.with_row_index("row")
    first = rows.filter(pl.Series(typed)).drop_nulls("thing").group_by(USER_ID, "thing").agg(pl.col("row").min())
    joined = rows.join(first, on=[USER_ID, "thing"], how="left", maintain_order="left", suffix="_first")
    had: NDArray[np.bool_] = (joined["row_first"] < joined["row"]).fill_null(False).to_numpy()
    return had
