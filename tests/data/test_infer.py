"""Inference: a user who writes no schema gets the safe reading, and is told what it was."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from palate.data import Column, Dataset, Kind, Role, Schema

N = 400
RNG = np.random.default_rng(0)


def events(**columns: object) -> pl.DataFrame:
    base = {"user_id": np.arange(N) % 20, "item_id": np.arange(N) % 40, "timestamp": 1_700_000_000 + np.arange(N) * 60}
    return pl.DataFrame({**base, **columns})


def items(**columns: object) -> pl.DataFrame:
    return pl.DataFrame({"item_id": np.arange(40), **columns})


WORDS = ["a quiet drama about rain", "the long way home again", "two heists and one very slow getaway car tonight"]


@pytest.mark.parametrize(
    ("name", "values", "kind", "role"),
    [
        ("rating", RNG.integers(1, 6, N), Kind.CATEGORICAL, Role.POST_ACTION),
        ("device", ["tv", "phone"] * (N // 2), Kind.CATEGORICAL, Role.POST_ACTION),
        ("clicked", [True, False] * (N // 2), Kind.CATEGORICAL, Role.POST_ACTION),
        ("watched_seconds", RNG.integers(1, 5, N), Kind.NUMERIC, Role.POST_ACTION),
        ("event_value", RNG.integers(1, 6, N), Kind.NUMERIC, Role.POST_ACTION),
        ("price", RNG.normal(size=N), Kind.NUMERIC, Role.POST_ACTION),
        ("studio_id", RNG.integers(0, 90, N), Kind.CATEGORICAL, Role.POST_ACTION),
        ("tags", ["a|b", "a", "b|c", None] * (N // 4), Kind.MULTI_CATEGORICAL, Role.POST_ACTION),
        ("labels", [["a", "b"], ["c"]] * (N // 2), Kind.MULTI_CATEGORICAL, Role.POST_ACTION),
        ("request_id", [f"r{n}" for n in range(N)], Kind.CATEGORICAL, Role.IGNORE),
        ("Unnamed: 0", np.arange(N), Kind.NUMERIC, Role.IGNORE),
        ("nothing", [None] * N, Kind.CATEGORICAL, Role.IGNORE),
        ("comment", [f"{WORDS[n % 3]} {n}" for n in range(N)], Kind.TEXT, Role.IGNORE),
        ("clicked_at", 1_700_000_000 + np.arange(N), Kind.TIMESTAMP, Role.IGNORE),
        ("state", [[0.5, 1.0]] * N, Kind.VECTOR, Role.IGNORE),
    ],
)
def test_columns_of_events(name: str, values: object, kind: Kind, role: Role) -> None:
    dataset = Dataset.from_frames(events(**{name: values}))
    column = dataset.schema.events[name]
    assert (column.kind, column.role) == (kind, role)
    noted = any(name in note and "ignored" in note for note in dataset.report.notes)
    assert noted == (role == Role.IGNORE)


@pytest.mark.parametrize(
    ("name", "values", "kind", "dtype"),
    [
        ("genre", ["drama", "crime"] * 20, Kind.CATEGORICAL, pl.String),
        ("age_limit", [0, 6, 12, 16] * 10, Kind.CATEGORICAL, pl.Int64),
        ("stars", [3.5, 4.0] * 20, Kind.NUMERIC, pl.Float64),
        ("release_date", ["2020-01-01", "22 Nov 1995"] * 20, Kind.TIMESTAMP, pl.Int64),
        ("released", [date(2020, 1, 1)] * 40, Kind.TIMESTAMP, pl.Int64),
        ("title", [f"{WORDS[n % 3]} {n}" for n in range(40)], Kind.TEXT, pl.String),
        ("vector", [[1.0, 2.0, 3.0]] * 40, Kind.VECTOR, pl.Array(pl.Float32, 3)),
        ("cast", ["Ann Lee, Bo Fox", "Bo Fox", "Ann Lee, Cy Dean"] * 13 + ["Bo Fox"], Kind.MULTI_CATEGORICAL, None),
        ("zip", ["02139", "94022-1", "10001"] * 13 + ["02139"], Kind.CATEGORICAL, pl.String),
        ("budget", ["12.5", "7"] * 19 + ["unknown", "30"], Kind.NUMERIC, pl.Float64),
    ],
)
def test_columns_of_items(name: str, values: object, kind: Kind, dtype: pl.DataType | None) -> None:
    dataset = Dataset.from_frames(events(), items(**{name: values}))
    assert dataset.schema.items[name].kind == kind
    assert dataset.schema.items[name].role == Role.ITEM_METADATA
    assert dataset.items is not None
    assert dataset.items[name].dtype == (dtype or pl.List(pl.String))


def test_commas_separate_values_that_come_back() -> None:
    dataset = Dataset.from_frames(events(), items(cast=["Ann Lee, Bo Fox", "Bo Fox,Cy Dean"] * 20))
    assert dataset.items is not None
    assert dataset.items["cast"].to_list()[:2] == [["Ann Lee", "Bo Fox"], ["Bo Fox", "Cy Dean"]]


def test_whole_numbers_written_as_floats_are_the_same_categories() -> None:
    whole = Dataset.from_frames(events(rating=RNG.integers(1, 6, N).astype(float)))
    assert whole.events["rating"].dtype == pl.Int64


def test_columns_known_before_the_choice_are_pointed_out() -> None:
    dataset = Dataset.from_frames(events(device=["tv", "phone"] * (N // 2), rating=RNG.integers(1, 6, N)))
    [note] = [note for note in dataset.report.notes if "request_time" in note]
    assert "device" in note
    assert "rating" not in note


def test_event_value_is_a_duration_where_it_looks_like_seconds() -> None:
    seconds = RNG.integers(20, 4000, N)
    seconds[7] = -1
    dataset = Dataset.from_frames(events(event_value=seconds))
    assert dataset.schema.events["event_value"].duration
    assert dataset.events["event_value"].null_count() == 1
    likes = Dataset.from_frames(events(event_value=RNG.integers(-1, 2, N)))
    assert not likes.schema.events["event_value"].duration
    assert likes.report.repairs == ()


def test_targets_are_what_members_want() -> None:
    dataset = Dataset.from_frames(events(event_type=["play", "trailer", "dislike", "purchase"] * (N // 4)))
    assert dataset.schema.target_event_types == ("play", "purchase")
    assert Dataset.from_frames(events()).schema.target_event_types is None
    unsure = Dataset.from_frames(events(event_type=["play", None] * (N // 2)))
    assert unsure.schema.target_event_types == ("play",)
    only = Dataset.from_frames(events(event_type=["search"] * N))
    assert only.schema.target_event_types == ("search",)


def test_seen_items_stay_candidates_where_members_come_back() -> None:
    once = pl.DataFrame({"user_id": [1] * 10, "item_id": range(10), "position": range(10)})
    assert Dataset.from_frames(once).schema.seen_items == {"*": "exclude"}
    again = once.with_columns(item_id=pl.col("item_id") % 5)
    assert Dataset.from_frames(again).schema.seen_items == {"*": "allow"}
    buys = again.with_columns(event_type=pl.lit("buy"))
    plays = once.with_columns(event_type=pl.lit("play"), position=pl.col("position") + 10)
    typed = pl.concat([buys, plays])  # each play is of an item that was bought before: no repeat of a play
    schema = Dataset.from_frames(typed).schema
    assert schema.seen_items == {"buy": "allow", "play": "exclude"}
    assert (schema.seen_policy("play"), schema.seen_policy("buy"), schema.seen_policy()) == (
        "exclude",
        "allow",
        "allow",
    )


def test_the_split_follows_the_clock() -> None:
    assert Dataset.from_frames(events()).schema.split.kind == "temporal"
    assert Dataset.from_frames(events().rename({"timestamp": "position"})).schema.split.kind == "leave_one_out"


def test_a_partial_schema_is_completed_and_believed() -> None:
    stated = Schema(events={"rating": Column(role=Role.REQUEST_TIME, kind=Kind.NUMERIC)})
    schema = Dataset.from_frames(
        events(rating=RNG.integers(1, 6, N), device=["tv", "web"] * (N // 2)), schema=stated
    ).schema
    assert schema.events["rating"] == stated.events["rating"]
    assert schema.events["device"].role == Role.POST_ACTION
    assert list(schema.events) == ["rating", "device"]
