"""What the simulated log looks like: a user who develops on it must not be misled about real ones."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palate.simulate import Simulation, SimulationConfig, preset, simulate
from palate.simulate.world import DAY, START

HOUR = 3_600_000


def share_of_top_tenth(counts: pl.Series) -> float:
    ordered = counts.sort(descending=True)
    return float(ordered[: max(1, len(ordered) // 10)].sum() / ordered.sum())


def hour(time: pl.Expr) -> pl.Expr:
    return time // HOUR % 24


def test_most_is_played_by_few_and_few_titles_get_most(plays: pl.DataFrame) -> None:
    assert share_of_top_tenth(plays.group_by("user_id").len()["len"]) > 0.3
    assert share_of_top_tenth(plays.group_by("item_id").len()["len"]) > 0.25


def test_default_histories_have_the_promised_length() -> None:
    simulation = simulate(SimulationConfig(members=500))
    length = simulation.events.group_by("user_id").len()["len"]
    assert 40 <= simulation.events.height / simulation.config.members <= 60
    assert length.quantile(0.95) > 3 * length.median()


def test_evenings_and_weekends_are_busy(plays: pl.DataFrame) -> None:
    by_hour = plays.group_by(hour(pl.col("timestamp"))).len().sort("timestamp")
    night, evening = ((pl.col("timestamp").is_between(a, b)) for a, b in ((3, 6), (19, 22)))
    assert by_hour.filter(evening)["len"].sum() > 8 * by_hour.filter(night)["len"].sum()
    weekday = (plays["timestamp"] - START * 1000) // (DAY * 1000) % 7
    assert (weekday >= 4).mean() > 1.15 * 3 / 7


def test_members_have_hours_of_their_own(plays: pl.DataFrame) -> None:
    """A model that knows a member's habits must be able to use them."""
    clock = (pl.col("timestamp") / HOUR - 4) % 24
    halves = (
        plays.with_columns(clock.alias("clock"), (pl.int_range(pl.len()).over("user_id") % 2).alias("half"))
        .group_by("user_id", "half")
        .agg(pl.col("clock").median(), pl.len())
        .filter(pl.col("len") >= 8)
        .pivot("half", index="user_id", values="clock")
        .drop_nulls()
    )
    assert np.corrcoef(halves["0"].to_numpy(), halves["1"].to_numpy())[0, 1] > 0.5


def test_device_and_hour_carry_signal(plays: pl.DataFrame) -> None:
    noon = plays.filter(hour(pl.col("timestamp")).is_between(12, 13))
    evening = plays.filter(hour(pl.col("timestamp")).is_between(19, 22))
    assert (noon["device"] == "phone").mean() > 1.5 * (evening["device"] == "phone").mean()
    on_phone = plays.filter(pl.col("device") == "phone")["entity_type"]
    on_tv = plays.filter(pl.col("device") == "tv")["entity_type"]
    assert (on_phone == "short").mean() > 2 * (on_tv == "short").mean()
    assert (on_tv == "film").mean() > 2 * (on_phone == "film").mean()


def test_sessions_stay_with_what_they_are_after(service: Simulation) -> None:
    """What was played first in a session must tell something of what comes next."""
    first = pl.col("genres").str.split("|").list.first()
    pairs = (
        service.events.filter(pl.col("event_type") == "play")
        .join(service.items, on="item_id")
        .sort("user_id", "timestamp")
        .with_columns(first.alias("genre"))
        .with_columns(
            pl.col("genre", "session_id").shift(1).over("user_id").name.suffix("_before"),
        )
        .drop_nulls("genre_before")
        .group_by(pl.col("session_id") == pl.col("session_id_before"))
        .agg((pl.col("genre") == pl.col("genre_before")).mean().alias("same"))
        .sort("session_id")
    )
    across, within = pairs["same"].to_list()
    assert within > 1.1 * across


def test_series_are_followed_in_order(plays: pl.DataFrame) -> None:
    parts = plays.filter(pl.col("title").str.contains(": Season ")).with_columns(
        pl.col("title").str.extract(r"Season (\d+)$").cast(pl.Int64).alias("part")
    )
    steps = parts.select((pl.col("part") - pl.col("part").shift(1)).over("user_id", "group_id")).drop_nulls()
    assert (steps["part"] == 1).mean() > 0.4


def test_new_titles_are_played_more(plays: pl.DataFrame) -> None:
    inside = plays.filter(pl.col("launch_time") >= START * 1000)
    age = (inside["timestamp"] - inside["launch_time"]) // (DAY * 1000)
    exposure = pl.DataFrame({"age": age}).group_by("age").len().sort("age")
    assert exposure.filter(pl.col("age") < 5)["len"].mean() > 1.5 * exposure.filter(pl.col("age") >= 15)["len"].mean()


def test_tastes_drift(service: Simulation) -> None:
    taste = service.truth.arrays["taste"].astype(np.float64)

    def likeness(a: int, b: int) -> float:
        product = (taste[a] * taste[b]).sum(axis=1)
        return float((product / np.linalg.norm(taste[a], axis=1) / np.linalg.norm(taste[b], axis=1)).mean())

    assert likeness(0, 1) > likeness(0, 2) > likeness(0, len(taste) - 1)
    assert 0.5 < likeness(0, len(taste) - 1) < 0.97


def check_contract(simulation: Simulation) -> None:
    """What holds for every log that the simulator writes."""
    config, events = simulation.config, simulation.events
    assert simulation.items["item_id"].n_unique() == simulation.items.height == config.items
    assert simulation.items["title"].n_unique() == config.items
    assert simulation.users["user_id"].n_unique() == simulation.users.height == config.members
    rows = events.join(simulation.items, on="item_id", how="left").join(simulation.users, on="user_id", how="left")
    assert rows.filter(pl.col("timestamp") < pl.col("launch_time")).is_empty(), "played before the launch"
    assert rows.filter(pl.col("timestamp") < pl.col("joined")).is_empty(), "played before joining"
    assert rows.filter(pl.col("timestamp") >= (START + DAY * config.days) * 1000).is_empty()
    assert rows.filter(pl.col("event_value") <= 0).is_empty()
    plays = rows.filter(pl.col("event_type") == "play")
    assert plays.filter(pl.col("event_value") > 60 * pl.col("runtime_minutes")).is_empty()
    assert not plays.select("user_id", "item_id").is_duplicated().any(), "played twice"
    in_order = events.sort("user_id", "timestamp")
    same = in_order["user_id"] == in_order["user_id"].shift(1)
    gap = in_order["timestamp"].diff() - 1000 * in_order["event_value"].shift(1)
    assert (gap.filter(same) > 0).all(), "two things at once"
    before_play = in_order.with_columns(
        pl.col("event_type", "session_id").shift(-1).over("user_id").name.suffix("_next")
    ).filter(pl.col("event_type") == "trailer")
    assert (before_play["event_type_next"] == "play").all(), "a trailer that leads to no play"
    assert (before_play["session_id_next"] == before_play["session_id"]).all()
    assert plays["rating"].drop_nulls().is_between(1, 5).all()


def test_default_service_keeps_the_contract(service: Simulation) -> None:
    check_contract(service)
    trailers = service.events.filter(pl.col("event_type") == "trailer")
    assert 0.1 < trailers.height / service.truth.choices.height < 0.25


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=st.integers(1, 30),
    items=st.integers(30, 60),
    days=st.integers(2, 20),
    seed=st.integers(0, 1000),
    plays_per_day=st.floats(0.1, 5),
    launching_share=st.floats(0, 0.9),
)
def test_every_service_keeps_the_contract(**given_settings: float) -> None:
    check_contract(simulate(SimulationConfig.model_validate(given_settings)))


def test_a_catalogue_can_be_exhausted() -> None:
    """A member who has played everything plays no more, rather than something twice."""
    check_contract(simulate(SimulationConfig(members=3, items=30, days=120, plays_per_day=5)))


@pytest.mark.parametrize("trait", ["country", "age_band"])
def test_attributes_tell_something_of_taste(service: Simulation, plays: pl.DataFrame, trait: str) -> None:
    """Against the same attribute dealt out at random, members of one kind play more of the same."""
    kinds = {"country": "language", "age_band": "genres"}[trait]

    def spread(users: pl.DataFrame) -> float:
        table = plays.join(users, on="user_id").group_by(trait, kinds).len()
        shares = table.with_columns((pl.col("len") / pl.col("len").sum().over(trait)).alias("share"))
        overall = plays.group_by(kinds).len().with_columns((pl.col("len") / pl.col("len").sum()).alias("all"))
        joined = shares.join(overall, on=kinds)
        return float((joined["share"] - joined["all"]).pow(2).sum())

    users = service.users.select("user_id", trait)
    shuffled = [users.with_columns(pl.col(trait).shuffle(seed=seed)) for seed in range(20)]
    assert spread(users) > np.mean([spread(table) for table in shuffled])


def test_presets_are_named() -> None:
    assert preset("service").members == 2000
    assert preset("tiny", seed=3).seed == 3
