"""Titles that are hidden from training, and the log without them.

A hidden title is a series with all its episodes, or a single item. None of its events is in the log that is learned
from, validated on or looked back at; its test events are kept apart, as questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.data import Dataset, Part, Split, queries, split
from palate.words import GROUP_ID, ITEM_ID, LAUNCH_TIME, QUERY, USER_ID


@dataclass(frozen=True)
class Hidden:
    """A log, and which items of it are hidden."""

    dataset: Dataset
    """The whole log."""
    division: Split
    items: pl.Series
    """Hidden items, ascending."""
    part: Part = Part.TEST
    """The part whose targets are asked for."""

    @classmethod
    def draw(cls, dataset: Dataset, *, share: float, seed: int) -> Hidden:
        """Hide a share of the titles of the items table, drawn by the seed."""
        assert dataset.items is not None, "new titles are known by the items table"
        known = not dataset.has_time or LAUNCH_TIME in dataset.items.columns
        assert known, "without a launch a hidden item never begins"
        return cls(dataset, split(dataset), _draw(dataset.items, share, seed))

    def again(self, *, share: float, seed: int) -> Hidden:
        """A rehearsal: of what is not hidden, without the test part, a share hidden, for the validation targets."""
        dataset, division = self.log
        assert dataset.items is not None
        earlier = division.part != self.part
        before = replace(dataset, events=dataset.events.filter(pl.Series(earlier)))
        rest = dataset.items.filter(~pl.col(ITEM_ID).is_in(self.items.implode()))
        parts = replace(division, part=division.part[earlier])
        return Hidden(before, parts, _draw(rest, share, seed), Part.VALIDATION)

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each event is of an item that is not hidden, ``[events]``."""
        kept: NDArray[np.bool_] = (~self.dataset.events[ITEM_ID].is_in(self.items.implode())).to_numpy()
        return kept

    @cached_property
    def log(self) -> tuple[Dataset, Split]:
        """The log without any event of hidden items; the items table still describes them."""
        return self._only(self.kept), replace(self.division, part=self.division.part[self.kept])

    @cached_property
    def targets(self) -> pl.DataFrame:
        """The targets, in the form of `palate.data.split.queries`, by row of the whole log."""
        return queries(self.dataset, self.division, self.part)

    @cached_property
    def hidden_targets(self) -> pl.DataFrame:
        """Those that are hidden items."""
        return self.targets.filter(pl.col(ITEM_ID).is_in(self.items.implode()))

    @cached_property
    def known_targets(self) -> pl.DataFrame:
        """Those that are not."""
        return self.targets.filter(~pl.col(ITEM_ID).is_in(self.items.implode()))

    @cached_property
    def round_of_row(self) -> NDArray[np.int64]:
        """The round in which each event can be asked about, ``[events]``: 0 for what is not hidden, -1 for never.

        Round r puts each member's r-th hidden target back, with another item in its place, so that it is asked about
        with its moment and its request-time fields, and no later question sees it.
        """
        rounds = np.where(self.kept, 0, -1)
        asked = self.hidden_targets
        rounds[asked[QUERY].to_numpy()] = (
            asked.select(pl.int_range(1, pl.len() + 1).over(USER_ID)).to_series().to_numpy()
        )
        return rounds

    def round(self, number: int) -> tuple[Dataset, NDArray[np.int64]]:
        """The log in which the questions of a round are asked, and the row in it of each event of the whole log."""
        back = self.round_of_row == number
        there = self.kept | back
        ids = self.dataset.events[ITEM_ID]
        nothing = -(2**53) if ids.dtype == pl.Int64 else "(hidden)"
        assert nothing not in ids
        events = self.dataset.events.with_columns(
            pl.when(pl.Series(self.kept)).then(pl.col(ITEM_ID)).otherwise(pl.lit(nothing)).alias(ITEM_ID)
        )
        return replace(self.dataset, events=events.filter(pl.Series(there))), np.cumsum(there) - 1

    def _only(self, keep: NDArray[np.bool_]) -> Dataset:
        return replace(self.dataset, events=self.dataset.events.filter(pl.Series(keep)))


def _draw(items: pl.DataFrame, share: float, seed: int) -> pl.Series:
    """The items of a share of the titles, ascending."""
    title = pl.concat_str(pl.lit("item "), pl.col(ITEM_ID).cast(pl.String))
    if GROUP_ID in items.columns:
        title = pl.coalesce(pl.concat_str(pl.lit("group "), pl.col(GROUP_ID).cast(pl.String)), title)
    titles = items.select(ITEM_ID, title.alias("title"))
    names = titles["title"].unique().sort()
    drawn = names.gather(np.random.default_rng(seed).permutation(len(names))[: round(share * len(names))])
    return titles.filter(pl.col("title").is_in(drawn.implode()))[ITEM_ID].sort()
