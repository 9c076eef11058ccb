"""A leak makes every figure a lie; columns that are known in time must not be accused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from palate.data import Kind
from palate.data.advice import Finding, Severity
from palate.data.advice.association import agreement, lift, rank_correlation

from .conftest import DAY, START, Log

Found = Callable[[Log, str], Finding]


def test_a_column_that_is_the_item(clean: Log, found: Found) -> None:
    leaky = clean.with_events(("t" + pl.col("item_id").cast(pl.String)).alias("page")).known_before("page")
    same = clean.with_items(("t" + pl.col("item_id").cast(pl.String)).alias("code"))
    leaky = leaky.having(items=same.items)
    finding = found(leaky, "column_equals_target")
    assert (finding.severity, finding.column) == (Severity.ERROR, "page")
    assert "page: {role: post_action" in finding.advice


def test_a_column_that_is_the_genre(clean: Log, found: Found) -> None:
    joined = clean.events.join(clean.items.select("item_id", pl.col("genre").alias("row")), on="item_id")
    finding = found(clean.having(events=joined).known_before("row"), "column_equals_target")
    assert "genre" in finding.what


def test_a_column_that_determines_the_item(clean: Log, found: Found) -> None:
    leaky = clean.with_events((pl.col("item_id") * 7 % 1009).cast(pl.String).alias("slot")).known_before("slot")
    finding = found(leaky, "column_tells_target")
    assert finding.severity == Severity.ERROR
    assert finding.figure > 0.9


@pytest.mark.parametrize("of", ["event_id", "user_id", "session_id"])
def test_a_column_with_many_values_is_not_accused(clean: Log, of: str) -> None:
    """In hindsight an id of its own in each row determines everything; on other members it says nothing."""
    many = clean.with_events(("d" + pl.col(of).cast(pl.String)).alias("request")).known_before("request")
    assert {each.code for each in many.findings()} <= {"unique_values"}


def test_a_column_that_is_known_afterwards(clean: Log, found: Found) -> None:
    percent = clean.with_events((pl.col("watched_seconds") / 60).round(2).alias("progress"))
    finding = found(percent.known_before("progress", Kind.NUMERIC), "column_known_after")
    assert "watched_seconds" in finding.what
    outcome = clean.with_events((pl.col("event_type") == "play").cast(pl.String).alias("autoplay"))
    assert "event_type" in found(outcome.known_before("autoplay"), "column_known_after").what


def test_a_column_that_rises(clean: Log, found: Found) -> None:
    clock = clean.with_events(((pl.col("timestamp") - START) / DAY).alias("log_age")).known_before(
        "log_age", Kind.NUMERIC
    )
    finding = found(clock, "rising_column")
    assert "log_age: {role: ignore" in finding.advice


def test_attributes_that_count(clean: Log, found: Found) -> None:
    counts = clean.events.group_by("user_id").agg(pl.len().alias("plays"))
    finding = found(clean.having(users=clean.users.join(counts, on="user_id")), "column_counts_events")
    assert (finding.severity, finding.where) == (Severity.ERROR, "users.plays")
    row = pl.int_range(pl.len()) % 25
    torn = counts.sort("user_id").with_columns(
        pl.when(row == 0)
        .then(pl.col("plays").shuffle(seed=0))
        .when(row == 1)
        .then(44)
        .otherwise("plays")
        .alias("plays")
    )
    finding = found(clean.having(users=clean.users.join(torn, on="user_id")), "column_counts_events")
    assert finding.figure > finding.threshold, "what is named is what is too high"
    likes = clean.events.group_by("item_id").agg((pl.len() * 3 + 1).alias("likes"))
    finding = found(clean.having(items=clean.items.join(likes, on="item_id")), "column_counts_events")
    assert (finding.severity, finding.where) == (Severity.WARNING, "items.likes")


def test_dates_of_the_last_event(clean: Log, found: Found) -> None:
    last = clean.events.group_by("user_id").agg(pl.col("timestamp").max().alias("seen_at"))
    finding = found(clean.having(users=clean.users.join(last, on="user_id")), "column_knows_last_event")
    assert finding.where == "users.seen_at"
    end = clean.events.group_by("item_id").agg(pl.col("timestamp").max().alias("available_until"))
    finding = found(clean.having(items=clean.items.join(end, on="item_id")), "column_knows_last_event")
    assert finding.where == "items.available_until"


def test_averages_of_the_log(clean: Log, found: Found) -> None:
    liked = clean.with_events((pl.col("stars") * 0.3 + pl.col("item_id") % 7 * 0.5).alias("score"))
    mean = liked.events.group_by("item_id").agg(pl.col("score").mean().round(2).alias("mean_score"))
    finding = found(liked.having(items=clean.items.join(mean, on="item_id")), "column_averages_events")
    assert finding.column == "mean_score"


def test_a_launch_taken_from_the_log(clean: Log, found: Found) -> None:
    first = clean.events.group_by("item_id").agg(pl.col("timestamp").min().alias("launch_time"))
    taken = clean.having(items=clean.items.drop("launch_time").join(first, on="item_id"))
    assert found(taken, "launch_is_first_event").figure == 1


def test_lift_is_held_out() -> None:
    draw = np.random.default_rng(0)
    target, fit = draw.integers(0, 50, 20_000), draw.random(20_000) < 0.5
    assert lift(target, target, fit) == 1
    assert lift(np.arange(20_000), target, fit) == 0
    assert lift(draw.integers(0, 5000, 20_000), target, fit) < 0.02


def test_agreement_is_beyond_chance() -> None:
    mostly = pl.Series(["en"] * 990 + ["de"] * 10)
    assert agreement(mostly, mostly.shuffle(seed=1)) < 0.1
    assert agreement(mostly, mostly) == 1


def test_rank_correlation_ignores_scale() -> None:
    numbers = np.arange(200.0)
    assert rank_correlation(numbers, np.exp(numbers / 50)) == pytest.approx(1)
    assert rank_correlation(numbers, -numbers) == pytest.approx(-1)
    assert rank_correlation(numbers, np.ones(200)) == 0
