"""The parts of the schema's split, and what their targets are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from palate.data.advice.wording import moment_text
from palate.data.availability import AVAILABLE_FROM, available_from
from palate.data.dataset import Dataset
from palate.data.split import HISTORY_LENGTH, Part, Split, queries, split
from palate.errors import PalateError
from palate.words import ITEM_ID, TIMESTAMP, USER_ID


@dataclass(frozen=True)
class PartFigures:
    """One part of the split."""

    events: int
    targets: int
    members: int
    new_member_share: float | None
    """Share of the targets of members without any earlier event; None in training."""
    cold_item_share: float | None
    """Share of the targets on items without a training event; None in training."""
    unreachable_share: float | None
    """Share of the targets on items that are not yet available at that moment; None in training."""


@dataclass(frozen=True)
class Parts:
    """The split as far as it succeeds."""

    figures: dict[str, PartFigures] | None
    note: str | None
    """Why there is no split, or what it leaves out."""
    cuts: tuple[str, str] | None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Try the schema's split; one that fails is a note."""
        try:
            divided = split(dataset)
        except PalateError as error:
            return cls(None, str(error), None)
        note = None
        if divided.members_without_test:
            note = f"{divided.members_without_test:,} members have fewer than three targets and only train"
        cuts = None if divided.cuts is None else (moment_text(divided.cuts[0]), moment_text(divided.cuts[1]))
        trained = dataset.events[ITEM_ID].gather(divided.rows(Part.TRAIN)).unique()
        existing = available_from(dataset).select(ITEM_ID, AVAILABLE_FROM)
        figures = {
            part.name.lower(): _part_figures(dataset, divided, part, trained, existing)
            for part in Part
            if part == Part.TRAIN or divided.rule.kind != "none"
        }
        return cls(figures, note, cuts)


def _part_figures(
    dataset: Dataset, divided: Split, part: Part, trained: pl.Series, existing: pl.DataFrame
) -> PartFigures:
    asked = queries(dataset, divided, part)
    rows = divided.rows(part)
    members = dataset.events[USER_ID].gather(rows).n_unique()
    if part == Part.TRAIN or not asked.height:
        return PartFigures(len(rows), asked.height, members, None, None, None)
    unreachable = 0.0
    if dataset.has_time:
        start = asked.join(existing, on=ITEM_ID, how="left", maintain_order="left")
        unreachable = float((start[AVAILABLE_FROM] > start[TIMESTAMP]).fill_null(True).to_numpy().mean())
    return PartFigures(
        events=len(rows),
        targets=asked.height,
        members=members,
        new_member_share=float((asked[HISTORY_LENGTH] == 0).to_numpy().mean()),
        cold_item_share=float((~asked[ITEM_ID].is_in(trained.implode())).to_numpy().mean()),
        unreachable_share=unreachable,
    )
