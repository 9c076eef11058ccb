"""Times that are no times spoil order, gaps, sessions and the split, and nothing else would tell."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from palate.data.advice import Finding, Severity

from .conftest import DAY, DAYS, HOUR, MINUTE, SECOND, START, ZONES, Log

Found = Callable[[Log, str], Finding]


def test_dates_for_times(clean: Log, found: Found) -> None:
    dates = clean.with_events(pl.col("timestamp") // DAY * DAY)
    finding = found(dates, "dates_not_times")
    assert finding.figure > 0.95
    assert "order" in finding.advice
    assert not {"bursts", "crowded_moments", "near_duplicates"} & {each.code for each in dates.findings()}


def test_some_dates_among_times(clean: Log, found: Found) -> None:
    mixed = clean.with_events(
        pl.when(pl.col("event_id").str.ends_with("7"))
        .then(pl.col("timestamp") // DAY * DAY)
        .otherwise("timestamp")
        .alias("timestamp")
    )
    assert found(mixed, "dates_not_times").figure == pytest.approx(0.1, abs=0.02)


def test_dates_of_another_zone(clean: Log, found: Found) -> None:
    finding = found(clean.with_events(pl.col("timestamp") // DAY * DAY + 5 * HOUR), "dates_not_times")
    assert "05:00:00" in finding.what


def test_times_rounded_to_hours_are_times(clean: Log) -> None:
    rounded = clean.with_events(pl.col("timestamp") // HOUR * HOUR)
    assert "dates_not_times" not in {each.code for each in rounded.findings()}


def test_an_import_at_one_moment(clean: Log, found: Found) -> None:
    imported = clean.with_events(
        pl.when(pl.int_range(pl.len()).over("user_id") == 0)
        .then(START + 50 * DAY)
        .otherwise("timestamp")
        .alias("timestamp")
    )
    finding = found(imported, "crowded_moments")
    assert "500 members" in finding.what


def test_bursts_of_one_member(clean: Log, found: Found) -> None:
    uploaded = clean.with_events(
        pl.when(pl.col("user_id") % 20 == 0)
        .then(START + pl.col("user_id") * HOUR)
        .otherwise("timestamp")
        .alias("timestamp")
    )
    assert found(uploaded, "bursts").figure > 0.01


def test_sessions(clean: Log, found: Found) -> None:
    device = clean.with_events(("d" + pl.col("user_id").cast(pl.String)).alias("session_id"))
    assert found(device, "sessions_over_days").figure > 0.9
    shared = clean.with_events((pl.col("timestamp") // (6 * HOUR)).cast(pl.String).alias("session_id"))
    assert found(shared, "shared_sessions").figure > 10


def test_a_session_gap_in_a_peak(clean: Log, found: Found) -> None:
    bare = clean.having(events=clean.events.drop("session_id"))
    finding = found(bare, "session_gap_in_a_peak")
    stated = re.search(r"session_gap_seconds: (\d+)", finding.advice)
    assert stated is not None
    taken = bare.having(schema=clean.schema.model_copy(update={"session_gap_seconds": float(stated[1])}))
    assert "session_gap_in_a_peak" not in {each.code for each in taken.findings()}, "the advice helps"


def test_missing_days(clean: Log, found: Found) -> None:
    day = (pl.col("timestamp") - START) // DAY
    hole = clean.having(events=clean.events.filter(~day.is_between(40, 42)))
    finding = found(hole, "missing_days")
    assert finding.figure == 3
    assert finding.example == "day '2023-02-11'"
    closed = clean.having(events=clean.events.filter(day % 7 != 6))
    assert "missing_days" not in {each.code for each in closed.findings()}, "closed on Sundays"


def test_a_step_in_the_volume(clean: Log, found: Found) -> None:
    day = (pl.col("timestamp") - START) // DAY
    sampled = clean.having(events=clean.events.filter((day >= 60) | (pl.int_range(pl.len()) % 10 == 0)))
    finding = found(sampled, "volume_step")
    assert finding.figure > 5


def test_a_partial_last_day(clean: Log, found: Found) -> None:
    cut = clean.having(events=clean.events.filter(pl.col("timestamp") < START + (DAYS - 1) * DAY + 2 * HOUR))
    assert found(cut, "partial_last_day").severity == Severity.INFO


def test_local_times(clean: Log, found: Found) -> None:
    zone = clean.users["country"].replace_strict(ZONES, return_dtype=pl.Int64)
    offset = clean.users.select("user_id", zone.alias("zone"))
    local = clean.events.join(offset, on="user_id").with_columns(pl.col("timestamp") + pl.col("zone") * HOUR)
    finding = found(clean.having(events=local.drop("zone")), "local_times")
    assert "15 hours apart" in finding.what


def test_lonely_times(clean: Log, found: Found) -> None:
    unset = clean.with_events(
        pl.when(pl.int_range(pl.len()) % 2000 == 1).then(946_684_800_000).otherwise("timestamp").alias("timestamp")
    )
    finding = found(unset, "lonely_times")
    assert finding.figure > 3
    assert not {"missing_days", "volume_step"} & {each.code for each in unset.findings()}


def test_machine_pace(clean: Log, found: Found) -> None:
    bot = pl.DataFrame(
        {
            "user_id": 9001,
            "item_id": 1000 + np.arange(600) % 200,
            "timestamp": START + 30 * DAY + np.arange(600) * SECOND,
            "event_type": "trailer",
            "device": "web",
        }
    )
    finding = found(clean.plus(bot), "machine_pace")
    assert finding.example is not None
    assert "user_id 9001" in finding.example


def test_regular_intervals(clean: Log, found: Found) -> None:
    draw = np.random.default_rng(1)
    night = np.arange(300) // 16 * (8 * HOUR)
    poll = pl.DataFrame(
        {
            "user_id": 9002,
            "item_id": 1000 + draw.integers(0, 200, 300),
            "timestamp": START + 9 * DAY + np.arange(300) * HOUR + night + draw.integers(0, MINUTE, 300),
            "event_type": "trailer",
            "device": "web",
        }
    )
    finding = found(clean.plus(poll), "regular_intervals")
    assert finding.figure < 0.1
    assert "9002" in str(finding.example)
