"""Too little to learn from, or too little to measure with, must be said before a night of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from palate.data import Schema, SplitRule
from palate.data.advice import AdviceConfig, Evidence, Finding, Severity
from palate.data.advice.heldout import standard_error
from palate.data.advice.volume import check_volume

from .conftest import DAY, DAYS, START, Log

Found = Callable[[Log, str], Finding]


def first_members(clean: Log, members: int) -> Log:
    return clean.having(events=clean.events.filter(pl.col("user_id") <= members))


def test_few_targets(clean: Log, found: Found) -> None:
    finding = found(first_members(clean, 10), "few_targets")
    assert finding.severity == Severity.ERROR
    assert finding.figure < finding.threshold == 1000
    assert "schema.yaml" in finding.advice


def test_few_members_and_items(clean: Log, found: Found) -> None:
    assert found(first_members(clean, 60), "few_members").figure == 60
    few = clean.having(events=clean.events.filter(pl.col("item_id") < 1015))
    assert found(few, "few_items").figure == 15


def test_short_histories_and_one_event_members(clean: Log, found: Found) -> None:
    short = clean.having(events=clean.events.filter(pl.int_range(pl.len()).over("user_id") < 1 + pl.col("user_id") % 3))
    assert found(short, "short_histories").figure == 2
    finding = found(short, "one_event_members")
    assert finding.figure == pytest.approx(1 / 3, abs=0.01)
    assert finding.example == "user_id 3"


def test_one_item_members(clean: Log, found: Found) -> None:
    stuck = clean.with_events(
        pl.when(pl.col("user_id") % 4 == 0).then(1000).otherwise(pl.col("item_id")).alias("item_id")
    )
    finding = found(stuck, "one_item_members")
    assert finding.figure == pytest.approx(0.25)
    assert "palate tokenize" in finding.advice


def test_rare_items(clean: Log, found: Found) -> None:
    extra = clean.events.head(600).with_columns(
        (pl.int_range(pl.len()) + 5000).alias("item_id"), (pl.col("event_id") + "x").alias("event_id")
    )
    finding = found(clean.plus(extra), "rare_items")
    assert finding.figure == pytest.approx(600 / 800, abs=0.01)
    assert "genre" in finding.advice, "what is known of the items is named"


def test_a_dominating_item(clean: Log, found: Found) -> None:
    home = clean.events.with_columns(pl.lit(7777).alias("item_id"), (pl.col("event_id") + "x").alias("event_id"))
    finding = found(clean.plus(home), "dominating_item")
    assert finding.example == "item_id 7777"
    assert finding.figure == pytest.approx(0.5)


def test_no_times(clean: Log, found: Found) -> None:
    numbered = clean.events.sort("user_id", "timestamp").drop("timestamp")
    numbered = numbered.with_columns(pl.int_range(pl.len()).over("user_id").alias("position"))
    assert found(clean.having(events=numbered), "no_times").severity == Severity.INFO


def test_no_split(clean: Log, found: Found) -> None:
    one = clean.having(events=clean.events.head(1))
    assert found(one, "no_split").severity == Severity.ERROR


def test_an_empty_part(clean: Log, found: Found) -> None:
    late = START + 100 * DAY
    no_plays = clean.with_events(
        pl.when(pl.col("timestamp") > late).then(pl.lit("trailer")).otherwise("event_type").alias("event_type")
    )
    finding = found(no_plays, "empty_part")
    assert finding.severity == Severity.ERROR
    assert "test" in finding.what


def test_small_parts_say_the_standard_error(clean: Log, found: Found) -> None:
    finding = found(first_members(clean, 150), "small_parts")
    targets = 0.2 * 0.8 / finding.figure**2
    assert f"{round(targets):,} target" in finding.what
    assert standard_error(1600) == pytest.approx(0.01)


def test_cold_items(clean: Log, found: Found) -> None:
    late = START + int(0.7 * DAYS) * DAY
    renamed = clean.with_events(
        pl.when((pl.col("timestamp") > late) & (pl.col("item_id") % 4 == 0))
        .then(pl.col("item_id") + 4000)
        .otherwise("item_id")
        .alias("item_id")
    )
    moved = renamed.having(schema=clean.schema.model_copy(update={"split": SplitRule(train_share=0.6)}))
    finding = found(moved, "cold_items")
    assert finding.figure > 0.1
    assert "target popularity: cold" in finding.advice, "the slice as palate evaluate calls it"


def test_new_members(clean: Log, found: Found) -> None:
    visits = clean.with_events(
        pl.when(pl.col("event_id").str.ends_with("3"))
        .then(pl.int_range(pl.len()) + 9000)
        .otherwise("user_id")
        .alias("user_id")
    )
    finding = found(visits, "new_members")
    assert finding.figure == pytest.approx(0.1, abs=0.03)
    assert "member: cold" in finding.advice, "the slice as palate evaluate calls it"


def test_unreachable_targets(clean: Log, found: Found) -> None:
    late = clean.with_items(
        pl.when(pl.col("item_id") % 8 == 0).then(START + (DAYS + 5) * DAY).otherwise("launch_time").alias("launch_time")
    )
    finding = found(late, "unreachable_targets")
    assert finding.figure > 0.05
    assert "launch_time" in finding.advice


def test_thresholds_are_settings(clean: Log) -> None:
    evidence = Evidence(clean.dataset(), AdviceConfig(min_members=1000))
    assert [each.code for each in check_volume(evidence)] == ["few_members"]


def test_seen_items(clean: Log, found: Found) -> None:
    refused = Schema(**{**dict(clean.schema), "seen_items": {"play": "exclude"}})
    allowed = Schema(**{**dict(clean.schema), "seen_items": {"play": "allow"}})
    again = clean.events.filter(pl.col("event_id").str.ends_with("5")).with_columns(
        pl.col("timestamp") + np.int64(3 * DAY), pl.col("event_id") + "x"
    )
    finding = found(clean.plus(again).plus(again.with_columns(pl.col("event_id") + "y", pl.col("timestamp") + DAY))
                    .having(schema=refused), "seen_items_refused")  # fmt: skip
    assert finding.figure > 0.1
    assert "play" in finding.advice
    assert found(clean.having(schema=allowed), "seen_items_allowed").figure < 0.005


def test_a_target_that_is_a_step(clean: Log, found: Found) -> None:
    click = clean.events.filter(pl.col("event_type") == "play").with_columns(
        pl.lit("click").alias("event_type"), pl.col("timestamp") - 20_000, pl.col("event_id") + "c"
    )
    stated = Schema(**{**dict(clean.schema), "target_event_types": ("click", "play")})
    finding = found(clean.plus(click).having(schema=stated), "target_is_a_step")
    assert "`target_event_types: [play]`" in finding.advice
    assert finding.column == "event_type"
