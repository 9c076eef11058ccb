"""What the simulated log looks like: a user who develops on it must not be misled about real ones."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palate.errors import ConfigError
from palate.simulate import Simulation, SimulationConfig, preset, simulate
from palate.simulate.world import DAY, START

HOUR = 3_600_000


@pytest.fixture(scope="module")
def larger() -> pl.DataFrame:
    """First plays of titles in a larger service, with the members' attributes."""
    simulation = simulate(preset("service", members=800, days=60))
    plays = simulation.truth.plays.filter(pl.col("begins") == 0).select("user_id", "item_id", "timestamp", "session_id")
    return plays.join(simulation.items, on="item_id").join(simulation.users, on="user_id").sort("user_id", "timestamp")


def share_of_top_tenth(counts: pl.Series) -> float:
    ordered = counts.sort(descending=True)
    return float(ordered[: max(1, len(ordered) // 10)].sum() / ordered.sum())


def hour(time: pl.Expr) -> pl.Expr:
    return time // HOUR % 24


@pytest.mark.parametrize(
    ("settings", "lengths"),
    [(preset("tiny"), (20, 50)), (preset("service"), (40, 80)), (preset("long", members=8, days=120), (700, 2800))],
    ids=["tiny", "service", "long"],
)
def test_presets_have_the_promised_statistics(settings: SimulationConfig, lengths: tuple[int, int]) -> None:
    simulation = simulate(settings)
    events = simulation.events
    plays = events.filter(pl.col("event_type") == "play").sort("user_id", "timestamp")
    assert lengths[0] <= events.height / settings.members <= lengths[1]
    same = ((plays["item_id"] == plays["item_id"].shift(1)) & (plays["user_id"] == plays["user_id"].shift(1))).mean()
    assert 0.10 <= same <= 0.30, "adjacent plays of the same item"
    repeats = 1 - plays.unique(["user_id", "item_id"]).height / plays.height
    assert 0.2 <= repeats <= 0.7, "plays of items that the member has had"
    assert 0.35 <= share_of_top_tenth(plays.group_by("item_id").len()["len"]) <= 0.85
    shares = {name: count / events.height for name, count in events["event_type"].value_counts().iter_rows()}
    for name, low, high in (
        ("play", 0.75, 0.92),
        ("trailer", 0.03, 0.12),
        ("rate", 0.02, 0.09),
        ("watchlist", 0.003, 0.05),
        ("dislike", 0.005, 0.05),
    ):
        assert low <= shares[name] <= high, name


def test_most_is_played_by_few(plays: pl.DataFrame) -> None:
    assert share_of_top_tenth(plays.group_by("user_id").len()["len"]) > 0.25


def test_evenings_and_weekends_are_busy(plays: pl.DataFrame) -> None:
    by_hour = plays.group_by(hour(pl.col("timestamp"))).len().sort("timestamp")
    night, evening = ((pl.col("timestamp").is_between(a, b)) for a, b in ((3, 6), (19, 22)))
    assert by_hour.filter(evening)["len"].sum() > 6 * by_hour.filter(night)["len"].sum()
    weekday = (plays["timestamp"] - START * 1000) // (DAY * 1000) % 7
    assert (weekday >= 4).mean() > 1.1 * 3 / 7


def test_members_have_hours_of_their_own(plays: pl.DataFrame) -> None:
    """A model that knows a member's habits must be able to use them."""
    clock = (pl.col("timestamp") / HOUR - 4) % 24
    starts = plays.unique("session_id", keep="first", maintain_order=True)
    halves = (
        starts.with_columns(clock.alias("clock"), (pl.int_range(pl.len()).over("user_id") % 2).alias("half"))
        .group_by("user_id", "half")
        .agg(pl.col("clock").filter(pl.col("clock") > 12).mean(), pl.len())
        .filter(pl.col("len") >= 5)
        .pivot("half", index="user_id", values="clock")
        .drop_nulls()
    )
    assert np.corrcoef(halves["0"].to_numpy(), halves["1"].to_numpy())[0, 1] > 0.3


def test_device_and_hour_carry_signal(plays: pl.DataFrame) -> None:
    noon = plays.filter(hour(pl.col("timestamp")).is_between(12, 13))
    evening = plays.filter(hour(pl.col("timestamp")).is_between(19, 22))
    assert (noon["device"] == "phone").mean() > 1.5 * (evening["device"] == "phone").mean()
    on_phone = plays.filter(pl.col("device") == "phone")["entity_type"]
    on_tv = plays.filter(pl.col("device") == "tv")["entity_type"]
    assert (on_phone == "short").mean() > 2 * (on_tv == "short").mean()
    assert (on_tv == "film").mean() > 1.5 * (on_phone == "film").mean()


def test_sessions_stay_with_what_they_are_after(larger: pl.DataFrame) -> None:
    """What was chosen first in a session must tell something of what is chosen next."""
    first = pl.col("genres").str.split("|").list.first()
    pairs = (
        larger.with_columns(first.alias("genre"))
        .with_columns(pl.col("genre", "session_id", "title").shift(1).over("user_id").name.suffix("_before"))
        .drop_nulls("genre_before")
        .filter((pl.col("title") != pl.col("title_before")) & (pl.col("entity_type") != "episode"))
        .group_by(pl.col("session_id") == pl.col("session_id_before"))
        .agg((pl.col("genre") == pl.col("genre_before")).mean().alias("same"))
        .sort("session_id")
    )
    across, within = pairs["same"].to_list()
    assert within > 1.1 * across


def test_episodes_follow_each_other(plays: pl.DataFrame) -> None:
    episodes = plays.filter(pl.col("entity_type") == "episode")
    steps = episodes.select((pl.col("episode") - pl.col("episode").shift(1)).over("user_id", "group_id")).drop_nulls()
    assert set(steps["episode"].unique()) >= {0, 1}
    assert steps["episode"].is_in([0, 1]).mean() > 0.85
    binges = plays.filter(pl.col("begins") == 2)
    assert 0.1 < binges.height / plays.height < 0.4


def test_new_titles_are_played_more(service: Simulation, plays: pl.DataFrame) -> None:
    inside = plays.filter((pl.col("launch_time") >= START * 1000) & (pl.col("entity_type") != "episode"))
    age = (inside["timestamp"] - inside["launch_time"]) // (DAY * 1000)
    exposure = pl.DataFrame({"age": age}).group_by("age").len().sort("age")
    assert exposure.filter(pl.col("age") < 5)["len"].mean() > 1.5 * exposure.filter(pl.col("age") >= 15)["len"].mean()


def test_titles_are_seen_again_for_comfort(service: Simulation) -> None:
    """Children's titles and comedies come back more often than the rest."""
    viewings, titles = service.truth.viewings, service.truth.titles.with_row_index("title")
    again = viewings.with_columns((pl.col("via") == "rewatch").alias("again"))
    joined = again.join(titles.with_columns(pl.col("title").cast(pl.Int32)), on="title")
    found = joined.group_by(pl.col("comfort") > 0.4).agg(pl.col("again").mean()).sort("comfort")["again"]
    assert found[1] > 1.5 * found[0]
    assert 0.02 < viewings.filter(pl.col("via") == "rewatch").height / viewings.height < 0.2


def test_rows_bias_what_is_chosen(service: Simulation) -> None:
    """First places are taken more often than their relevance explains, and the item chosen is among those shown."""
    chosen = service.events.drop_nulls("impressions")
    assert chosen.select(pl.col("item_id").is_in(pl.col("impressions"))).to_series().all()
    assert (chosen["impressions"].list.len() == 10).all()
    place = service.truth.viewings.filter(pl.col("place") >= 0)["place"]
    counts = np.bincount(place.to_numpy(), minlength=10)
    assert counts[0] > 2 * counts[5]


def test_disappointed_members_leave() -> None:
    """Whoever leaves for a cause shows it."""
    simulation = simulate(SimulationConfig(members=600, items=300, days=90, leaving_disappointed=0.6))
    truth = simulation.truth
    assert set(truth.members["left"]) == {"stayed", "price", "content", "disappointment"}
    sessions = truth.sessions.with_row_index("session").with_columns(pl.col("session").cast(pl.Int64))
    viewings = truth.viewings.join(sessions.select("session", "member"), on="session")
    abandoned = viewings.group_by("member").agg(
        pl.col("status").is_in(["abandoned", "disliked"]).tail(5).mean().alias("share")
    )
    members = truth.members.with_row_index("member").with_columns(pl.col("member").cast(pl.Int64))
    joined = abandoned.join(members, on="member").group_by("left").agg(pl.col("share").mean())
    by_cause = dict(joined.iter_rows())
    assert by_cause["disappointment"] > by_cause["stayed"] + 0.2
    assert simulation.events["user_id"].n_unique() <= 600


def test_tastes_drift(service: Simulation) -> None:
    taste = service.truth.taste().astype(np.float64)

    def likeness(a: int, b: int) -> float:
        product = (taste[:, a] * taste[:, b]).sum(axis=1)
        return float((product / np.linalg.norm(taste[:, a], axis=1) / np.linalg.norm(taste[:, b], axis=1)).mean())

    last = taste.shape[1] - 1
    assert likeness(0, 1) > likeness(0, 2) > likeness(0, last)
    assert 0.5 < likeness(0, last) < 0.97


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
    in_order = events.sort("user_id", "timestamp")
    same = in_order["user_id"] == in_order["user_id"].shift(1)
    lasts = in_order["event_value"].fill_null(0).shift(1)
    assert ((in_order["timestamp"].diff() - 1000 * lasts).filter(same) > 0).all(), "two things at once"
    sessions = in_order.select((pl.col("session_id") != pl.col("session_id").shift(1)).over("user_id")).to_series()
    gaps = (in_order["timestamp"].diff() - 1000 * lasts).filter(same & sessions.fill_null(False))
    assert (gaps >= 1_800_000).all(), "sessions less than half an hour apart"
    before_play = in_order.with_columns(
        pl.col("event_type", "session_id").shift(-1).over("user_id").name.suffix("_next")
    ).filter((pl.col("event_type") == "trailer") & pl.col("event_type_next").is_not_null())
    assert (before_play["event_type_next"] == "play").all(), "a trailer that leads to no play"
    assert events.filter((pl.col("rating").is_not_null()) != (pl.col("event_type") == "rate")).is_empty()
    assert events["rating"].drop_nulls().is_between(1, 5).all()
    truth = simulation.truth
    written = events.filter(pl.col("event_type") == "play").select("user_id", "timestamp", "item_id")
    assert written.sort("user_id", "timestamp").equals(
        truth.plays.select("user_id", "timestamp", "item_id").sort("user_id", "timestamp")
    ), "truth and log differ"


def test_default_service_keeps_the_contract(service: Simulation) -> None:
    check_contract(service)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=st.integers(1, 30),
    items=st.integers(40, 90),
    days=st.integers(2, 20),
    seed=st.integers(0, 1000),
    sessions_per_day=st.floats(0.05, 6),
    launching_share=st.floats(0, 0.9),
    series_share=st.floats(0, 0.9),
)
def test_every_service_keeps_the_contract(**given_settings: float) -> None:
    check_contract(simulate(SimulationConfig.model_validate(given_settings)))


def test_a_catalogue_can_be_exhausted() -> None:
    """A member who has seen everything goes on with what there is."""
    simulation = simulate(SimulationConfig(
        members=3, items=40, days=120, sessions_per_day=6,
        leaving_content=0, leaving_disappointed=0, leaving_price=0,
    ))  # fmt: skip
    check_contract(simulation)
    assert simulation.events["item_id"].n_unique() == 40


@pytest.mark.parametrize("trait", ["country", "age_band"])
def test_attributes_tell_something_of_taste(larger: pl.DataFrame, trait: str) -> None:
    """Against the same attribute dealt out at random, members of one kind play more of the same."""
    kinds = {"country": "language", "age_band": "genres"}[trait]

    def spread(users: pl.DataFrame) -> float:
        table = larger.drop(trait).join(users, on="user_id").group_by(trait, kinds).len()
        shares = table.with_columns((pl.col("len") / pl.col("len").sum().over(trait)).alias("share"))
        overall = larger.group_by(kinds).len().with_columns((pl.col("len") / pl.col("len").sum()).alias("all"))
        joined = shares.join(overall, on=kinds)
        return float((joined["share"] - joined["all"]).pow(2).sum())

    users = larger.select("user_id", trait).unique().sort("user_id")
    shuffled = [users.with_columns(pl.col(trait).shuffle(seed=seed)) for seed in range(20)]
    assert spread(users) > np.mean([spread(table) for table in shuffled])


def test_presets_are_named() -> None:
    assert preset("service").members == 2000
    assert preset("tiny", seed=3).seed == 3
    assert preset("long", members=7).members == 7
    with pytest.raises(ConfigError, match="presets: tiny, service, long"):
        preset("huge")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="items"):
        SimulationConfig.parse({"items": 3}, source="test")
