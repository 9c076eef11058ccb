"""The figures that say what a dataset is like, before anything is trained on it, and what to do about them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.advice import AdviceConfig, Evidence, Finding, PartFigures, advise
from palate.data.advice.wording import moment_text
from palate.data.dataset import Dataset
from palate.data.schema import Role
from palate.data.table import TableName
from palate.words import EVENT_TYPE, ITEM_ID

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
    findings: tuple[Finding, ...]
    """What to do about what was found, errors first."""

    def to_dict(self) -> dict[str, object]:
        """The figures as plain values, for JSON."""
        return asdict(self)


def inspect(dataset: Dataset, config: AdviceConfig | None = None) -> Inspection:
    """Count, describe and advise; the schema's split is tried, and a split that fails is a note and a finding.

    ``config`` holds the thresholds of the advice.
    """
    evidence = Evidence(dataset, config)
    events, counts = evidence.events, evidence.item_counts
    pairs = events - int(evidence.repeated.sum())
    top = np.sort(counts)[::-1][: max(1, round(len(counts) / 100))]
    times = evidence.times if dataset.has_time else None
    described = dataset.items
    return Inspection(
        events=events,
        members=len(evidence.lengths),
        items=len(counts),
        described_items=None if described is None else described.height,
        items_without_events=None
        if described is None
        else described.height - int(described[ITEM_ID].is_in(evidence.item_ids.implode()).sum()),
        described_members=None if dataset.users is None else dataset.users.height,
        density=pairs / (len(evidence.lengths) * len(counts)),
        repeat_share=float(evidence.repeated.mean()),
        history_length=_distribution(evidence.lengths),
        item_events=_distribution(counts),
        top_item_share=float(top.sum() / events),
        first_time=None if times is None else moment_text(int(times.min())),
        last_time=None if times is None else moment_text(int(times.max())),
        event_types=_event_types(evidence),
        missing=_missing(dataset),
        split=evidence.parts.figures,
        split_note=evidence.parts.note,
        cuts=evidence.parts.cuts,
        schema=dataset.schema.model_dump(mode="json"),
        report=dataset.report.to_dict(),
        findings=advise(evidence),
    )


def _distribution(counts: npt.NDArray[np.int64]) -> dict[str, float]:
    quantiles = np.quantile(counts, list(_QUANTILES.values()))
    return {
        "mean": float(counts.mean()),
        "min": float(counts.min()),
        **{name: float(value) for name, value in zip(_QUANTILES, quantiles, strict=True)},
        "max": float(counts.max()),
    }


def _event_types(evidence: Evidence) -> tuple[EventType, ...]:
    events = evidence.dataset.events
    if EVENT_TYPE not in events.columns:
        return ()
    table = (
        events.select(EVENT_TYPE)
        .with_columns(pl.Series("repeated", evidence.repeated), pl.Series("target", evidence.target))
        .group_by(EVENT_TYPE)
        .agg(pl.len().alias("events"), pl.col("target").first(), pl.col("repeated").mean())
        .sort("events", EVENT_TYPE, descending=[True, False])
    )
    return tuple(
        EventType(
            name=row[EVENT_TYPE],
            events=row["events"],
            share=row["events"] / events.height,
            target=row["target"],
            repeat_share=row["repeated"],
        )
        for row in table.iter_rows(named=True)
    )


def _missing(dataset: Dataset) -> dict[str, float]:
    shares: dict[str, float] = {}
    tables: dict[TableName, pl.DataFrame | None]
    tables = {"events": dataset.events, "items": dataset.items, "users": dataset.users}
    for table, frame in tables.items():
        if frame is None:
            continue
        described = dataset.schema.columns(table)
        for name in frame.columns:
            ignored = name in described and described[name].role == Role.IGNORE
            if frame[name].null_count() and not ignored:
                shares[f"{table}.{name}"] = frame[name].null_count() / frame.height
    return shares
