"""Whether times are local ones: regions whose clocks lie hours apart should not sleep at the same hour."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from palate.data.advice.evidence import DAY, Evidence, Floats
from palate.data.advice.finding import Finding, Severity
from palate.data.advice.wording import row_text
from palate.data.table import TableName
from palate.words import TIMESTAMP

_REGION: Final = re.compile(r"(^|_)(country|locale|region|market|territory)(_|$)")
_OFFSETS: Final = {
    **dict.fromkeys(("us", "ca"), -6.0),
    **dict.fromkeys(("mx", "co", "pe", "ec"), -5.5),
    **dict.fromkeys(("br", "ar", "cl", "uy"), -3.0),
    **dict.fromkeys(("gb", "uk", "ie", "pt"), 0.0),
    **dict.fromkeys(("de", "fr", "es", "it", "nl", "be", "at", "ch", "pl", "se", "no", "dk", "cz", "ng"), 1.0),
    **dict.fromkeys(("fi", "gr", "ro", "ua", "za", "eg", "il"), 2.0),
    **dict.fromkeys(("tr", "sa", "ke"), 3.0),
    **dict.fromkeys(("in", "lk"), 5.5),
    **dict.fromkeys(("id", "th", "vn"), 7.0),
    **dict.fromkeys(("cn", "tw", "hk", "sg", "my", "ph"), 8.0),
    **dict.fromkeys(("jp", "kr"), 9.0),
    "au": 10.0,
    "nz": 12.0,
}
"""Rough hours from UTC of a country's people."""
_ENOUGH: Final = 500
_RHYTHM: Final = 0.1
"""Length of the mean vector of the hours, below which there is no daily rhythm to compare."""


def check_zones(evidence: Evidence) -> Iterator[Finding]:
    """Compare the mean hour of regions with the difference of their clocks; needs a column of regions."""
    if not evidence.has_clock:
        return
    tables: tuple[TableName, ...] = ("users", "events")
    for table in tables:
        for name in evidence.used(table):
            if _REGION.search(name.lower()):
                found = _compare(evidence, table, name)
                if found is not None:
                    yield found
                    return


def _compare(evidence: Evidence, table: TableName, name: str) -> Finding | None:
    offset = _offsets(evidence, table, name)
    angle = (evidence.times % DAY) / DAY * 2 * np.pi
    zones: list[float] = []
    hours: list[float] = []
    for zone in np.unique(offset[np.isfinite(offset)]):
        rows = offset == zone
        mean = complex(np.exp(1j * angle[rows]).mean())
        if rows.sum() >= _ENOUGH and abs(mean) >= _RHYTHM:
            zones.append(float(zone))
            hours.append(float(np.angle(mean)) / (2 * np.pi) * 24)
    if len(zones) < 2 or max(zones) - min(zones) < evidence.config.zone_spread_hours:
        return None
    # In UTC, whoever lives h hours further east acts h hours earlier.
    west, east = int(np.argmin(zones)), int(np.argmax(zones))
    apart = zones[east] - zones[west]
    shift = (hours[west] - hours[east]) % 24
    shown = min(shift, 24 - shift) / min(apart, 24 - apart)
    if shown >= evidence.config.min_zone_share:
        return None
    return Finding(
        code="local_times",
        severity=Severity.WARNING,
        what=f"Members whose clocks are {apart:g} hours apart (by {table}.{name}) are active at the same hours, "
        f"{min(shift, 24 - shift):.1f} hours apart: the times are probably local, not UTC.",
        table="events",
        column=TIMESTAMP,
        example=row_text(
            zone=zones[west],
            mean_hour=round(hours[west] % 24, 1),
            other_zone=zones[east],
            other_mean_hour=round(hours[east] % 24, 1),
        ),
        advice="Write times in UTC, or as text with their zone (2024-05-01T20:15:00-06:00): else the order of events "
        "of different members is wrong by hours, and so are availability and the cuts of the split.",
        measure="share of the clocks' difference that the hours show",
        figure=shown,
        bound="at least",
        threshold=evidence.config.min_zone_share,
    )


def _offsets(evidence: Evidence, table: TableName, name: str) -> Floats:
    """Hours from UTC of each event's region, NaN where it is not known, ``[E]``."""
    frame = evidence.frame(table)
    assert frame is not None
    values = frame[name]
    if values.dtype != pl.String:
        return np.full(evidence.events, np.nan)
    code = values.str.to_lowercase().str.extract(r"([a-z]{2})$")
    plain = values.str.contains(r"^(?:[a-zA-Z]{2}[-_])?[a-zA-Z]{2}$")
    hours = code.replace_strict(_OFFSETS, default=None, return_dtype=pl.Float64).set(~plain.fill_null(False), None)
    known = hours.fill_null(float("nan")).to_numpy()
    if table == "events":
        return known
    place, row = evidence.rows_of_members()
    of_member = np.full(len(evidence.starts), np.nan)
    of_member[place] = known[row]
    return of_member[evidence.member]
