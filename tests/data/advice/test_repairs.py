"""What reading repaired comes back as a finding with a next step, as loud as it was frequent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from palate.data import Dataset, inspect
from palate.data.advice import Finding, Severity

from .conftest import DAY, START, Log

Found = Callable[[Log, str], Finding]
Plant = Callable[[Log], Log]

SOME = pl.int_range(pl.len()) % 10 == 3


def cells(name: str, value: object) -> Plant:
    """Every tenth cell of a column of events replaced."""
    return lambda log: log.with_events(pl.when(SOME).then(pl.lit(value)).otherwise(pl.col(name)).alias(name))


def _text_times(log: Log) -> Log:
    moment = pl.from_epoch("timestamp", time_unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return log.with_events(pl.when(SOME).then(pl.lit("soon")).otherwise(moment).alias("timestamp"))


def _again(log: Log, **changes: pl.Expr) -> Log:
    return log.plus(log.events.filter(SOME).with_columns(**changes))


def _positions(log: Log) -> pl.DataFrame:
    number = pl.int_range(pl.len()).over("user_id")
    return log.events.sort("user_id", "timestamp").drop("timestamp").with_columns(number.alias("position"))


def _tied(log: Log) -> Log:
    return log.having(events=_positions(log).with_columns(pl.col("position") // 2 * 2))


def _unnumbered(log: Log) -> Log:
    return log.having(events=_positions(log).with_columns(pl.when(~SOME).then("position").alias("position")))


PLANTS: dict[str, Plant] = {
    "null_ids": cells("item_id", None),
    "unparsable_times": _text_times,
    "far_future_times": cells("timestamp", 4_000_000_000_000),
    "mixed_time_units": lambda log: log.with_events(
        pl.when(SOME).then(pl.col("timestamp") // 1000).otherwise("timestamp").alias("timestamp")
    ),
    "unparsable_positions": _unnumbered,
    "tied_positions": _tied,
    "null_event_types": cells("event_type", None),
    "wrong_types": lambda log: log.with_events(
        pl.when(SOME)
        .then(pl.lit("broken"))
        .otherwise(pl.col("watched_seconds").cast(pl.String))
        .alias("watched_seconds")
    ),
    "negative_durations": cells("watched_seconds", -5.0),
    "duplicate_events": lambda log: _again(log.having(events=log.events.drop("event_id"))),
    "duplicate_event_ids": lambda log: _again(log, stars=pl.lit(1)),
    "duplicate_rows": lambda log: log.having(items=pl.concat([log.items, log.items.head(20)])),
    "items_without_row": lambda log: log.having(items=log.items.filter(pl.col("item_id") >= 1010)),
    "members_without_row": lambda log: log.having(users=log.users.filter(pl.col("user_id") > 25)),
    "events_before_launch": lambda log: log.with_items(pl.lit(START + 10 * DAY).alias("launch_time")),
}


@pytest.mark.parametrize("code", PLANTS)
def test_a_repair_is_a_finding(clean: Log, found: Found, code: str) -> None:
    finding = found(PLANTS[code](clean), code)
    assert finding.severity == Severity.WARNING
    assert finding.threshold < finding.figure <= 1
    assert finding.example is not None


def test_a_rare_repair_is_information(clean: Log, found: Found) -> None:
    finding = found(clean.plus(clean.events.head(1)), "duplicate_events")
    assert finding.severity == Severity.INFO


def test_tables_that_do_not_belong_together_are_an_error(clean: Log, found: Found) -> None:
    renamed = clean.with_items(pl.col("item_id") + 50_000)
    assert found(renamed, "items_without_row").severity == Severity.ERROR


def test_rows_that_do_not_fit_the_header(clean: Log, tmp_path: Path) -> None:
    lines = clean.events.write_csv().splitlines()
    lines[10:20] = ["1,2"] * 10
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    codes = [each.code for each in inspect(Dataset.from_folder(tmp_path)).findings]
    assert "malformed_rows" in codes
