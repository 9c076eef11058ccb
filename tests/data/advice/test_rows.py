"""Rows and columns that can't be right: bots, doubles, outliers, metadata that say nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from palate.data import Column, Kind, Role
from palate.data.advice import Finding, Severity
from palate.data.advice.values import fence

from .conftest import DAY, DAYS, MINUTE, START, Log, make_log

Found = Callable[[Log, str], Finding]


def rows(member: int, item: np.ndarray, times: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"user_id": member, "item_id": item, "timestamp": times, "event_type": "play", "device": "web"})


def test_a_dominating_member(clean: Log, found: Found) -> None:
    draw = np.random.default_rng(0)
    times = START + draw.integers(0, DAYS * DAY, 4000)
    finding = found(clean.plus(rows(9001, 1000 + draw.integers(0, 200, 4000), times)), "dominating_member")
    assert finding.figure == pytest.approx(4000 / (4000 + clean.events.height))
    assert "9001" in str(finding.example)


def test_dominating_members(found: Found) -> None:
    many = make_log(members=1200)
    draw = np.random.default_rng(0)
    times = START + draw.integers(0, DAYS * DAY, 30_000)
    finding = found(many.plus(rows(9001, 1000 + draw.integers(0, 200, 30_000), times)), "dominating_members")
    assert finding.figure > 0.2


def test_one_member_who_makes_an_item(clean: Log, found: Found) -> None:
    draw = np.random.default_rng(0)
    times = START + draw.integers(0, DAYS * DAY, 500)
    finding = found(clean.plus(rows(3, np.full(500, 1150), times)), "hammered_items")
    assert "item_id 1150" in str(finding.example)


def test_near_duplicates(clean: Log, found: Found) -> None:
    again = clean.events.filter(pl.col("event_id").str.ends_with("4")).with_columns(
        pl.col("timestamp") + 700, pl.col("event_id") + "x"
    )
    finding = found(clean.plus(again), "near_duplicates")
    assert finding.figure == pytest.approx(0.09, abs=0.02)
    assert "event_id" in finding.advice


def test_runs_of_one_item(clean: Log, found: Found) -> None:
    parts = [
        clean.events.with_columns(pl.col("timestamp") + step * MINUTE, pl.col("event_id") + f"-{step}")
        for step in range(3)
    ]
    log = clean.having(events=pl.concat(parts))
    for one_target in (False, True):
        schema = log.schema.model_copy(update={"one_target_a_run": one_target})
        finding = found(log.having(schema=schema), "runs_of_one_item")
        assert finding.severity == Severity.WARNING
        assert "palate tokenize" in finding.advice
        assert ("`one_target_a_run: true`" in finding.advice) is not one_target, "it is advised where it is not set"
    assert "near_duplicates" not in {each.code for each in clean.having(events=pl.concat(parts)).findings()}


def test_outliers(clean: Log, found: Found) -> None:
    year = clean.with_items(
        pl.when(pl.col("item_id") == 1004).then(9999).otherwise(1950 + pl.col("item_id") % 73).alias("year")
    )
    finding = found(year, "numeric_outliers")
    assert finding.example == "item_id 1004, year 9999"


def test_a_long_tail_is_no_outlier() -> None:
    draw = np.random.default_rng(0)
    for values in (draw.lognormal(0, 2, 100_000), draw.normal(0, 1, 100_000), draw.pareto(1.2, 100_000)):
        assert fence(values)[0].max() < 3
    assert fence(np.append(draw.normal(100, 5, 1000), 1e6))[0].max() > 3


def test_durations(clean: Log, found: Found) -> None:
    running = pl.when(pl.int_range(pl.len()) == 5).then(1_000_000.0).otherwise("watched_seconds")
    finding = found(clean.with_events(running.alias("watched_seconds")), "durations_over_a_day")
    assert finding.figure == pytest.approx(1_000_000 / 3600)
    paused = pl.when(pl.int_range(pl.len()) % 20 == 0).then(4.0).otherwise(1.0) * pl.col("watched_seconds")
    finding = found(clean.with_events(paused.alias("watched_seconds")), "durations_over_runtime")
    assert "runtime_minutes" in finding.what


def test_ratings_off_their_scale(clean: Log, found: Found) -> None:
    wrong = clean.with_events(pl.when(pl.int_range(pl.len()) < 7).then(99).otherwise("stars").alias("stars"))
    finding = found(wrong, "ratings_off_scale")
    assert finding.figure == 7
    assert "1 to 5" in finding.what


def test_missing_values(clean: Log, found: Found) -> None:
    holes = clean.with_items(pl.when(pl.col("item_id") % 2 == 0).then("genre").alias("genre"))
    finding = found(holes, "missing_values")
    assert (finding.severity, finding.figure, finding.where) == (Severity.WARNING, 0.5, "items.genre")
    of_trailers = clean.with_events(pl.when(pl.col("event_type") == "trailer").then("stars").alias("stars"))
    assert "missing_values" not in {each.code for each in of_trailers.findings()}, "they belong to another type"
    series = clean.with_items(pl.when(pl.col("item_id") % 2 == 0).then(pl.col("item_id") // 10).alias("group_id"))
    series = series.with_items(pl.when(pl.col("group_id").is_not_null()).then(pl.col("item_id") % 10).alias("episode"))
    assert "missing_values" not in {each.code for each in series.findings()}, "films have no episodes"


def test_columns_that_tell_nothing(clean: Log, found: Found) -> None:
    finding = found(clean.with_users(pl.lit("x").alias("plan")), "constant_column")
    assert "`plan: {role: ignore, kind: categorical}` under users" in finding.advice
    ids = clean.with_users(pl.format("zz{}", "user_id").alias("mail"))
    stated = {"mail": Column(role=Role.USER_ATTRIBUTE, kind=Kind.CATEGORICAL)}
    ids = ids.having(schema=clean.schema.model_copy(update={"users": stated}))
    assert found(ids, "unique_values").column == "mail"


def test_items_without_a_description(clean: Log, found: Found) -> None:
    assert found(clean.having(items=None), "no_item_metadata").severity == Severity.WARNING
    bare = clean.having(items=clean.items.select("item_id", "launch_time"))
    assert "no categories" in found(bare, "no_item_metadata").what


def test_items_never_acted_on(clean: Log, found: Found) -> None:
    more = clean.items.with_columns(pl.col("item_id") + 50_000)
    twice = clean.having(items=pl.concat([clean.items, more, more.with_columns(pl.col("item_id") + 50_000)]))
    finding = found(twice, "items_never_acted_on")
    assert finding.severity == Severity.INFO
    other = clean.having(items=more)
    assert found(other, "items_never_acted_on").severity == Severity.ERROR
