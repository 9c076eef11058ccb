"""If these fail, a model learns from outcomes that it must not know, or takes what was given up for what was liked."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from palate.data import Column, Dataset, Kind, Part, Role, RunRule, Schema, Split, SplitRule, split
from palate.errors import ConfigError
from palate.simulate import preset, simulate
from palate.tokens.rewards import DurationReward, RatingReward, RewardConfig, Rewards, training_targets

MINUTE = 60_000
SCHEMA = Schema(
    events={
        "event_value": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC, duration=True),
        "rating": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC),
        "note": Column(role=Role.POST_ACTION, kind=Kind.CATEGORICAL),
    },
    items={"runtime_minutes": Column(role=Role.ITEM_METADATA, kind=Kind.NUMERIC)},
    target_event_types=("play", "watchlist"),
    one_target_a_run=False,
    duplicate_events="keep",
    split=SplitRule(kind="none"),
)
Row = tuple[str, str, float, str, float | None, float | None]
"""Member, item, minute, event type, seconds, rating."""


def log(rows: list[Row], schema: Schema = SCHEMA, runtimes: dict[str, float | None] | None = None) -> Dataset:
    events = pl.DataFrame(
        rows, schema=["user_id", "item_id", "minute", "event_type", "event_value", "rating"], orient="row"
    ).with_columns(
        (1_700_000_000_000 + pl.col("minute") * MINUTE).cast(pl.Int64).alias("timestamp"),
        pl.col("event_value").cast(pl.Float64),
        pl.col("rating").cast(pl.Float64),
        pl.lit("x").alias("note"),
    )
    there = set(events["event_type"])
    targets = tuple(name for name in schema.target_event_types or () if name in there)
    schema = schema.model_copy(update={"target_event_types": targets})
    runtimes = {"a": 10.0, "b": 20.0, "c": None, "d": 0.0} if runtimes is None else runtimes
    items = pl.DataFrame({"item_id": list(runtimes), "runtime_minutes": pl.Series(runtimes.values(), dtype=pl.Float64)})
    return Dataset.from_frames(events.drop("minute"), items, schema=schema)


def fitted(dataset: Dataset, config: RewardConfig) -> tuple[Rewards, np.ndarray]:
    division = split(dataset)
    rewards = Rewards.fit(lambda: [(dataset, division)], config)
    return rewards, rewards.weights(dataset, division)


EVERYTHING = RewardConfig(
    event_types={"watchlist": 0.5},
    duration=DurationReward(),
    rating=RatingReward(),
    recency_half_life_days=30,
)


def test_all_parts_off_weigh_every_target_alike() -> None:
    dataset = log([("m", "a", 0, "play", 60, None), ("m", "b", 1, "rate", None, 4), ("m", "b", 90, "watchlist", 0, 1)])
    _, weights = fitted(dataset, RewardConfig())
    assert weights.dtype == np.float32
    assert weights.tolist() == [1, 0, 1]


def test_the_share_watched_is_that_of_the_run() -> None:
    dataset = log(
        [
            ("m", "a", 0, "trailer", 60, None),  # its seconds are not of the item
            ("m", "a", 2, "play", 60, None),
            ("m", "a", 5, "play", 90, None),  # 150 of 600 seconds together
            ("m", "b", 30, "play", 9000, None),  # more than there is
            ("m", "c", 300, "play", 60, None),  # no runtime
            ("m", "a", 400, "play", 300, None),  # another run
            ("m", "d", 500, "play", 60, None),  # a runtime of nothing
            ("m", "a", 600, "play", None, None),  # no duration
        ]
    )
    rewards, weights = fitted(dataset, RewardConfig(duration=DurationReward(strength=0.8)))
    shares = np.array([0.25, 0.25, 1, np.nan, 0.5, np.nan, np.nan])
    assert rewards.mean_share == pytest.approx(0.5)
    raw = 0.2 + 0.8 * np.nan_to_num(shares, nan=0.5)
    np.testing.assert_allclose(weights, [0, *(raw / raw.mean())], rtol=1e-6)


def test_runs_of_a_group_keep_their_items_apart() -> None:
    schema = SCHEMA.model_copy(update={"runs": RunRule(by="group")})
    rows: list[Row] = [("m", "a", 0, "play", 600, None), ("m", "b", 11, "play", 300, None)]
    dataset = log(rows, schema)
    assert dataset.items is not None
    dataset = replace(dataset, items=dataset.items.with_columns(pl.lit("s").alias("group_id")))
    rewards, _ = fitted(dataset, RewardConfig(duration=DurationReward()))
    assert rewards.mean_share == pytest.approx((1 + 0.25) / 2)


def test_a_rating_belongs_to_the_latest_viewing() -> None:
    dataset = log(
        [
            ("m", "b", 0, "rate", None, 1),  # before any play: of no target
            ("m", "a", 1, "play", 60, None),  # 5, given later with another item in between
            ("m", "a", 3, "play", 60, None),  # the same viewing
            ("m", "b", 60, "play", 60, None),  # 2, its own
            ("m", "a", 120, "rate", None, 5),
            ("m", "b", 121, "rate", None, 4),  # too late: the play had its own
            ("m", "a", 300, "play", 60, None),  # not rated
            ("m", "c", 400, "play", 60, None),  # played again before it was rated
            ("m", "c", 600, "play", 60, 3),
            ("n", "c", 700, "play", 60, None),  # another member
        ]
    )
    dataset = replace(
        dataset,
        events=dataset.events.with_columns(
            pl.when(
                (pl.col("item_id") == "b") & (pl.col("event_type") == "play"),
            )
            .then(2.0)
            .otherwise("rating")
            .alias("rating")
        ),
    )
    rewards, weights = fitted(dataset, RewardConfig(rating=RatingReward(strength=1)))
    assert (rewards.lowest, rewards.highest) == (2, 5)
    score = (np.array([5, 5, 2, np.nan, np.nan, 3, np.nan]) - 2) / 3
    raw = np.nan_to_num(score, nan=float(np.nanmean(score)))
    assert rewards.mean_score == pytest.approx(np.nanmean(score))
    asked = training_targets(dataset, split(dataset))
    np.testing.assert_allclose(weights[asked], raw / raw.mean(), rtol=1e-6)
    assert not weights[~asked].any()


def test_a_stated_scale_of_ratings() -> None:
    dataset = log([("m", "a", 0, "play", 60, 3), ("m", "b", 60, "play", 60, 9)])
    rewards, weights = fitted(dataset, RewardConfig(rating=RatingReward(strength=0.5, lowest=1, highest=5)))
    assert rewards.mean_score == 0.75
    np.testing.assert_allclose(weights, np.array([0.75, 1.0]) / 0.875)
    with pytest.raises(ConfigError, match="between 3 and 9"):
        fitted(dataset, RewardConfig(rating=RatingReward(lowest=20)))


def test_equal_ratings_say_nothing() -> None:
    dataset = log([("m", "a", 0, "play", 60, 3), ("m", "b", 60, "play", 60, 3), ("m", "c", 120, "play", 60, None)])
    assert fitted(dataset, RewardConfig(rating=RatingReward()))[1].tolist() == [1, 1, 1]


def test_recency_halves() -> None:
    days = [0.0, 10.0, 30.0]
    dataset = log([("m", item, day * 1440, "play", 60, None) for item, day in zip("abc", days, strict=True)])
    _, weights = fitted(dataset, RewardConfig(recency_half_life_days=10))
    raw = np.array([1 / 8, 1 / 4, 1])
    np.testing.assert_allclose(weights, raw / raw.mean(), rtol=1e-6)


def test_the_type_of_an_event_and_of_a_run() -> None:
    rows: list[Row] = [
        ("m", "a", 0, "play", 60, None),
        ("m", "a", 2, "watchlist", None, None),
        ("m", "b", 60, "play", 60, None),
    ]
    config = RewardConfig(event_types={"watchlist": 3.0})
    np.testing.assert_allclose(fitted(log(rows), config)[1], np.array([1, 3, 1]) * 3 / 5)
    once = SCHEMA.model_copy(update={"one_target_a_run": True})
    np.testing.assert_allclose(fitted(log(rows, once), config)[1], [1.5, 0, 0.5])


def test_raw_weights_are_cut() -> None:
    dataset = log([("m", "a", 0, "play", 60, None), ("m", "b", 60, "watchlist", 60, None)])
    config = RewardConfig(event_types={"play": 100.0, "watchlist": 0.0}, least=0.5, most=2.5)
    np.testing.assert_allclose(fitted(dataset, config)[1], np.array([2.5, 0.5]) / 1.5)
    with pytest.raises(ConfigError, match="weight 0"):
        fitted(dataset, RewardConfig(event_types={"play": 0.0, "watchlist": 0.0}))


def simulated() -> tuple[Dataset, Split]:
    simulation = simulate(preset("tiny"))
    schema = simulation.schema.model_copy(update={"target_event_types": ("play", "watchlist")})
    dataset = Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=schema)
    return dataset, split(dataset)


@pytest.mark.parametrize("rule", [SplitRule(), SplitRule(kind="leave_one_out")], ids=["temporal", "leave one out"])
@pytest.mark.parametrize("one_target", [False, True])
def test_nothing_beyond_the_training_part_counts(rule: SplitRule, one_target: bool) -> None:
    dataset, _ = simulated()
    dataset = replace(dataset, schema=dataset.schema.model_copy(update={"one_target_a_run": one_target}))
    division = split(dataset, rule)
    rewards = Rewards.fit(lambda: [(dataset, division)], EVERYTHING)
    weights = rewards.weights(dataset, division)
    later = pl.Series(division.part != Part.TRAIN)
    rng = np.random.default_rng(0)
    n = dataset.events.height
    drawn = dataset.events[rng.permutation(n)]
    columns = ["item_id", "event_type", "event_value", "rating"]
    mixed = [
        pl.when(later).then(drawn[name].fill_null(7.0) if name == "rating" else drawn[name]).otherwise(name).alias(name)
        for name in columns
    ]
    changed = replace(dataset, events=dataset.events.with_columns(mixed))
    assert not changed.events.equals(dataset.events)
    assert Rewards.fit(lambda: [(changed, division)], EVERYTHING) == rewards
    np.testing.assert_array_equal(rewards.weights(changed, division), weights)
    np.testing.assert_array_equal(weights > 0, training_targets(dataset, division))
    cut = replace(dataset, events=dataset.events.filter(~later))
    alone = Split(rule, np.zeros(cut.events.height, np.int8), None)
    np.testing.assert_array_equal(rewards.weights(cut, alone), weights[division.part == Part.TRAIN])


def test_a_log_in_parts_has_the_weights_of_the_whole() -> None:
    dataset, division = simulated()
    whole = Rewards.fit(lambda: [(dataset, division)], EVERYTHING)
    weights = whole.weights(dataset, division)
    assert weights[weights > 0].mean() == pytest.approx(1, abs=1e-5)
    group = np.cumsum(np.isin(np.arange(dataset.events.height), dataset.member_starts)) % 3
    masks = [group == number for number in (2, 0, 1)]

    def parts() -> Iterator[tuple[Dataset, Split]]:
        for mask in masks:
            part = replace(dataset, events=dataset.events.filter(pl.Series(mask)))
            yield part, Split(division.rule, division.part[mask], division.cuts)

    assert Rewards.fit(parts, EVERYTHING) == whole
    for mask, (part, own) in zip(masks, parts(), strict=True):
        np.testing.assert_array_equal(whole.weights(part, own), weights[mask])


def test_what_was_fitted_survives_json() -> None:
    rewards, _ = fitted(log([("m", "a", 0, "play", 61, 3), ("m", "b", 60, "watchlist", 7, 4)]), EVERYTHING)
    assert Rewards.model_validate_json(rewards.model_dump_json()) == rewards


def test_a_part_without_training_events() -> None:
    dataset = log([("m", "a", 0, "play", 61, 3), ("m", "b", 60, "watchlist", 7, 4)])
    rewards, _ = fitted(dataset, EVERYTHING)
    later = Split(SplitRule(), np.full(2, Part.TEST, np.int8), None)
    assert rewards.weights(dataset, later).tolist() == [0, 0]
    empty = replace(dataset, events=dataset.events.clear())
    assert rewards.weights(empty, Split(SplitRule(), np.zeros(0, np.int8), None)).shape == (0,)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (RewardConfig(duration=DurationReward(column="watched")), r"events has no column 'watched'.*event_value"),
        (RewardConfig(duration=DurationReward(column="note")), r"'note' of events holds String.*event_value"),
        (RewardConfig(duration=DurationReward(runtime="length")), r"unit of 'length'"),
        (
            RewardConfig(duration=DurationReward(runtime="length", runtime_unit="hours")),
            r"items has no column 'length'.*runtime_minutes",
        ),
        (RewardConfig(rating=RatingReward(column="stars")), r"events has no column 'stars'.*rating"),
        (RewardConfig(event_types={"buy": 2.0}), r"'buy'.*types: play"),
    ],
)
def test_a_setting_that_the_data_lack_is_named(config: RewardConfig, said: str) -> None:
    dataset = log([("m", "a", 0, "play", 60, 3), ("m", "b", 60, "watchlist", 60, None)])
    with pytest.raises(ConfigError, match=said):
        fitted(dataset, config)


def test_data_without_what_is_asked_for() -> None:
    dataset = log([("m", "c", 0, "play", 60, None), ("m", "c", 60, "watchlist", 60, None)])
    with pytest.raises(ConfigError, match="both a duration and a runtime"):
        fitted(dataset, RewardConfig(duration=DurationReward()))
    with pytest.raises(ConfigError, match="no training target has a rating"):
        fitted(dataset, RewardConfig(rating=RatingReward()))
    with pytest.raises(ConfigError, match="no items table"):
        fitted(replace(dataset, items=None), RewardConfig(duration=DurationReward()))
    assert dataset.items is not None
    with pytest.raises(ConfigError, match="numeric columns: minutes"):
        fitted(
            replace(dataset, items=dataset.items.rename({"runtime_minutes": "minutes"})),
            RewardConfig(duration=DurationReward()),
        )
    no_duration = dataset.schema.model_copy(update={"events": {}})
    with pytest.raises(ConfigError, match="calls no column of events a duration"):
        fitted(replace(dataset, schema=no_duration), RewardConfig(duration=DurationReward()))
    positions = dataset.events.drop("timestamp").with_columns(pl.Series("position", [0, 1]))
    with pytest.raises(ConfigError, match="needs timestamps"):
        fitted(replace(dataset, events=positions), RewardConfig(recency_half_life_days=3))


def test_impossible_settings() -> None:
    for wrong in (
        {"least": 3.0, "most": 2.0},
        {"event_types": {"play": -1.0}},
        {"event_types": {"play": float("nan")}},
    ):
        with pytest.raises(ValidationError):
            RewardConfig.model_validate(wrong)
    with pytest.raises(ValidationError):
        RatingReward(lowest=5, highest=1)


events = st.tuples(
    st.sampled_from("mn"),
    st.sampled_from("abc"),
    st.integers(0, 200),
    st.sampled_from(["play", "play", "rate", "watchlist"]),
    st.one_of(st.none(), st.integers(0, 1500)),
    st.one_of(st.none(), st.integers(1, 5)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(events, min_size=1, max_size=30))
def test_ratings_like_the_plain_way(rows: list[Row]) -> None:
    rows = [*rows, ("m", "a", 500, "play", 60, 1), ("m", "b", 600, "watchlist", 60, 5)]
    dataset = log(rows)
    rewards, weights = fitted(dataset, RewardConfig(rating=RatingReward(strength=1)))
    table = dataset.events.rows(named=True)
    run, number = [0] * len(table), 0
    for place, row in enumerate(table):
        before = table[place - 1] if place else None
        end = 0 if before is None else before["timestamp"] + 1000 * (before["event_value"] or 0)
        same = before is not None and all(before[key] == row[key] for key in ("user_id", "item_id"))
        number += not (same and row["timestamp"] - end <= 30 * MINUTE)
        run[place] = number
    raw = []
    for place, row in enumerate(table):
        if row["event_type"] == "rate":
            raw.append(0.0)
            continue
        score = rewards.mean_score
        for later in range(place, len(table)):
            other = table[later]
            if any(other[key] != row[key] for key in ("user_id", "item_id")):
                continue
            if other["event_type"] != "rate" and run[later] != run[place]:
                break
            if other["rating"] is not None:
                score = (other["rating"] - 1) / 4
                break
        raw.append(score)
    np.testing.assert_allclose(weights, np.array(raw) / rewards.mean, rtol=1e-5, atol=1e-7)
