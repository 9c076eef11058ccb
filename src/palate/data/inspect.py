"""The figures that say what a dataset is like, before anything is trained on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.availability import AVAILABLE_FROM, available_from
from palate.data.codes import repeats
from palate.data.dataset import Dataset
from palate.data.schema import Role
from palate.data.split import HISTORY_LENGTH, Part, Split, is_target, queries, split
from palate.errors import PalateError
from palate.words import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID

_QUANTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True)
class EventType:
    """How often one type of event occurs."""

    name: str
    events: int
    share: float
    target: bool
    repeat_share: float
    """Share of these events on an item that the member already had."""


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
class Inspection:
    """What a dataset is like."""

    events: int
    members: int
    items: int
    """Different items of the events."""
    described_items: int | None
    """Rows of the items table, and how many of them no event has."""
    items_without_events: int | None
    described_members: int | None
    density: float
    """Share of all pairs of a member and an item of the events that have an event."""
    repeat_share: float
    """Share of the events on an item that the member already had."""
    history_length: dict[str, float]
    """Events a member: mean, min, quantiles, max."""
    item_events: dict[str, float]
    """Events an item, alike."""
    top_item_share: float
    """Share of the events on the most frequent 1 % of the items."""
    first_time: str | None
    last_time: str | None
    event_types: tuple[EventType, ...]
    missing: dict[str, float]
    """Share of missing values of each used column that has any, as table.column."""
    split: dict[str, PartFigures] | None
    split_note: str | None
    """Why there is no split, or what it leaves out."""
    cuts: tuple[str, str] | None
    schema: dict[str, object]
    report: dict[str, object]

    def to_dict(self) -> dict[str, object]:
        """The figures as plain values, for JSON."""
        return asdict(self)


def inspect(dataset: Dataset) -> Inspection:
    """Count and describe; the schema's split is tried, and a split that fails is a note."""
    events = dataset.events
    lengths = np.diff(np.append(dataset.member_starts, events.height))
    item_counts = events.group_by(ITEM_ID).len()["len"].to_numpy()
    repeated = repeats(events)
    pairs = events.height - int(repeated.sum())
    top = np.sort(item_counts)[::-1][: max(1, round(len(item_counts) / 100))]
    parts, note, cuts = _split_figures(dataset)
    times = events[TIMESTAMP] if dataset.has_time else None
    described = dataset.items
    return Inspection(
        events=events.height,
        members=len(lengths),
        items=len(item_counts),
        described_items=None if described is None else described.height,
        items_without_events=None
        if described is None
        else described.height - int(described[ITEM_ID].is_in(events[ITEM_ID].unique().implode()).sum()),
        described_members=None if dataset.users is None else dataset.users.height,
        density=pairs / (len(lengths) * len(item_counts)),
        repeat_share=float(repeated.to_numpy().mean()),
        history_length=_distribution(lengths),
        item_events=_distribution(item_counts),
        top_item_share=float(top.sum() / events.height),
        first_time=None if times is None else moment_text(int(times.to_numpy().min())),
        last_time=None if times is None else moment_text(int(times.to_numpy().max())),
        event_types=_event_types(dataset, repeated),
        missing=_missing(dataset),
        split=parts,
        split_note=note,
        cuts=cuts,
        schema=dataset.schema.model_dump(mode="json"),
        report=dataset.report.to_dict(),
    )


def moment_text(milliseconds: int) -> str:
    """A moment as ISO 8601 text to the second, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _distribution(counts: npt.NDArray[np.int64]) -> dict[str, float]:
    quantiles = np.quantile(counts, list(_QUANTILES.values()))
    return {
        "mean": float(counts.mean()),
        "min": float(counts.min()),
        **{name: float(value) for name, value in zip(_QUANTILES, quantiles, strict=True)},
        "max": float(counts.max()),
    }


def _event_types(dataset: Dataset, repeated: pl.Series) -> tuple[EventType, ...]:
    if EVENT_TYPE not in dataset.events.columns:
        return ()
    table = (
        dataset.events.select(EVENT_TYPE)
        .with_columns(repeated.alias("repeated"), pl.Series("target", is_target(dataset)))
        .group_by(EVENT_TYPE)
        .agg(pl.len().alias("events"), pl.col("target").first(), pl.col("repeated").mean())
        .sort("events", EVENT_TYPE, descending=[True, False])
    )
    return tuple(
        EventType(
            name=row[EVENT_TYPE],
            events=row["events"],
            share=row["events"] / dataset.events.height,
            target=row["target"],
            repeat_share=row["repeated"],
        )
        for row in table.iter_rows(named=True)
    )


def _missing(dataset: Dataset) -> dict[str, float]:
    shares: dict[str, float] = {}
    for table, frame in (("events", dataset.events), ("items", dataset.items), ("users", dataset.users)):
        if frame is None:
            continue
        described = dataset.schema.columns(table)  # type: ignore[arg-type]
        for name in frame.columns:
            ignored = name in described and described[name].role == Role.IGNORE
            if frame[name].null_count() and not ignored:
                shares[f"{table}.{name}"] = frame[name].null_count() / frame.height
    return shares


def _split_figures(
    dataset: Dataset,
) -> tuple[dict[str, PartFigures] | None, str | None, tuple[str, str] | None]:
    try:
        divided = split(dataset)
    except PalateError as error:
        return None, str(error), None
    note = None
    if divided.members_without_test:
        note = f"{divided.members_without_test:,} members have fewer than three targets and only train"
    cuts = None if divided.cuts is None else (moment_text(divided.cuts[0]), moment_text(divided.cuts[1]))
    trained = dataset.events[ITEM_ID].gather(divided.rows(Part.TRAIN)).unique()
    existing = available_from(dataset).select(ITEM_ID, AVAILABLE_FROM)
    parts = {
        part.name.lower(): _part_figures(dataset, divided, part, trained, existing)
        for part in Part
        if part == Part.TRAIN or divided.rule.kind != "none"
    }
    return parts, note, cuts


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
