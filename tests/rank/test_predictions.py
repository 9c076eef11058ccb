"""If these fail, `palate predict` names the wrong class, or a head's accuracy is not what it says."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from tests.rank.asking import Asking
from tests.tokens.worlds import world

from palate.data import Dataset, Part, has_target_type, is_target, present_queries, queries, split
from palate.errors import ConfigError
from palate.model import IntentConfig
from palate.rank.ahead_scorer import AheadScorer
from palate.rank.candidates import Candidates
from palate.rank.predictions import head_names, head_tables, predict
from palate.rank.recommend import recommend
from palate.words import ITEM_ID, QUERY, RANK, USER_ID

EVERY = IntentConfig(heads=("event_type", "genres", "origin", "minutes", "familiar", "release"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return world(1)


@pytest.fixture(scope="module")
def run(dataset: Dataset) -> Asking:
    return Asking.of(dataset, intents=EVERY)


def test_probabilities_of_a_head_add_up_and_come_in_order(dataset: Dataset, run: Asking) -> None:
    scorer, asked = run(dataset), present_queries(dataset)
    names = head_names(scorer.model, scorer.tokenizer)
    assert list(names) == ["event_type", "genres", "origin", "minutes", "familiar", "release"]
    table = predict(scorer, asked, k=100)
    assert table.height == len(asked) * sum(map(len, names.values()))
    sums = table.group_by(QUERY, "head").agg(pl.col("probability").sum())["probability"]
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
    shares = table.filter(pl.col(RANK) == 1).group_by(QUERY).agg(pl.col("attention").sum())["attention"]
    np.testing.assert_allclose(shares, 1, rtol=1e-5)
    falls = table.select(pl.col("probability").diff().over(QUERY, "head").fill_null(0) <= 0).to_series()
    assert falls.all()
    assert table[QUERY].unique(maintain_order=True).to_list() == asked[QUERY].to_list()
    assert table.filter(pl.col(QUERY) == asked[QUERY][0])["head"].unique(maintain_order=True).to_list() == list(names)
    assert set(names["origin"]) == {"us", "se", "kr"}
    best = predict(scorer, asked[::-1], ["origin", "genres", "origin"], k=1)
    assert best["head"].to_list()[:2] == ["origin", "genres"]
    assert best[QUERY].to_list()[::2] == asked[QUERY].to_list()[::-1], "in the order that was asked"
    again = best.join(table.filter(pl.col(RANK) == 1), on=[QUERY, "head"])
    assert again["value"].equals(again["value_right"].rename("value"))


def test_class_names_are_those_of_the_weights(dataset: Dataset, run: Asking) -> None:
    """A head whose bias shouts for one class predicts that class by its name."""
    scorer = run(dataset)
    names = head_names(scorer.model, scorer.tokenizer)
    intents = scorer.model.intents
    assert intents is not None
    start = 0
    for spec in intents.specs:
        before = intents.predict.bias.detach().clone()
        with torch.no_grad():
            intents.predict.bias[start + spec.classes - 1] += 1000
        found = predict(scorer, present_queries(dataset), [spec.name], k=1)
        assert set(found["value"]) == {names[spec.name][-1]}
        with torch.no_grad():
            intents.predict.bias.copy_(before)
        start += spec.classes


def test_head_tables_hold_the_targets_own_values(dataset: Dataset, run: Asking) -> None:
    scorer, division = run(dataset), split(dataset)
    asked = queries(dataset, division, Part.TEST)
    tables = head_tables(scorer, division, asked)
    assert dataset.items is not None
    names = {(head, value): name for head, value, name, *_ in tables.training.iter_rows()}
    said = predict(scorer, asked, k=100)
    probability = {
        (q, head, value): p for q, head, value, p in said.select(QUERY, "head", "value", "probability").rows()
    }
    genres = dict(dataset.items.select(ITEM_ID, "genres").iter_rows())
    origin = dict(dataset.items.select(ITEM_ID, "origin").iter_rows())
    rows = tables.outcomes.rows(named=True)
    assert rows
    for row in rows:
        name = names[row["head"], row["value"]]
        assert row["log_probability"] == pytest.approx(math.log(probability[row[QUERY], row["head"], name]), abs=1e-4)
    own: dict[tuple[int, str], set[str]] = {}
    for row in rows:
        own.setdefault((row[QUERY], row["head"]), set()).add(names[row["head"], row["value"]])
    events = dataset.events
    typed = has_target_type(events, dataset.schema)
    known = scorer.tokenizer.items.table.head(scorer.tokenizer.trained).filter(pl.col("launch") >= pl.col("first_seen"))
    first = dict(known.select("value", "first_seen").iter_rows())
    found = [time <= first.get(item, -1) for item, time in events.select(ITEM_ID, "timestamp").iter_rows()]
    for place, user, item in asked.select(QUERY, USER_ID, ITEM_ID).iter_rows():
        if found[place]:
            assert (place, "origin") not in own, "nobody knew of the item, so nobody was asked for it"
            continue
        assert own.get((place, "genres"), set()) == set(genres[item] or [])
        assert own[place, "origin"] == {origin[item]}
        assert own[place, "event_type"] == {events["event_type"][place]}
        earlier = [row for row in range(place) if events[USER_ID][row] == user and typed[row]]
        had = item in {events[ITEM_ID][row] for row in earlier}
        assert (own[place, "familiar"] == {"again"}) == had
    training = (division.part == Part.TRAIN) & is_target(dataset) & ~np.array(found)
    counted = tables.training.filter(pl.col("head") == "origin").select("name", "targets")
    plain = pl.Series([origin[item] for item in events[ITEM_ID].filter(pl.Series(training))]).value_counts()
    assert dict(counted.iter_rows()) == dict(plain.iter_rows())
    several = tables.training.filter(pl.col("head") == "genres")
    own_genres = [genre for item in events[ITEM_ID].filter(pl.Series(training)) for genre in genres[item] or []]
    assert {name: n for name, n in several.select("name", "targets").iter_rows() if n} == Counter(own_genres)
    assert several["share"].sum() == pytest.approx(
        sum(bool(genres[item]) for item in events[ITEM_ID].filter(pl.Series(training)))
    )


def test_what_a_run_does_not_predict(dataset: Dataset, run: Asking) -> None:
    asked = present_queries(dataset)
    with pytest.raises(ConfigError, match=r"does not predict 'mood' \(its heads: event_type, genres,"):
        predict(run(dataset), asked, ["mood"])
    with pytest.raises(ConfigError, match=r"give a list: \['origin'\]"):
        predict(run(dataset), asked, "origin")
    with pytest.raises(ConfigError, match=r"give a list: \['m01'\]"):
        present_queries(dataset, "m01")
    with pytest.raises(ConfigError, match="no heads"):
        predict(Asking.of(dataset, intents=None)(dataset), asked)
    assert head_names(Asking.of(dataset, intents=None).model, run.tokenizer) == {}
    with pytest.raises(ConfigError, match="k is 0"):
        predict(run(dataset), asked, k=0)
    beside = Asking.of(dataset, intents=IntentConfig(heads=("origin",), feed="none"))
    assert predict(beside(dataset), asked)["attention"].null_count() == 3 * len(asked)
    assert predict(run(dataset), asked.clear()).is_empty()


def test_a_horizon_of_one_is_the_next_target(dataset: Dataset, run: Asking) -> None:
    scorer, asked = run(dataset), present_queries(dataset)
    there = Candidates(dataset, scorer.catalogue).available(asked)
    assert not there.all()
    plain = scorer.score(asked).masked_fill(~there, -torch.inf).softmax(1)
    torch.testing.assert_close(AheadScorer(scorer, 1).score(asked), plain, rtol=1e-4, atol=1e-7)
    first = recommend(scorer, dataset, asked, k=5)
    assert recommend(AheadScorer(scorer, 1), dataset, asked, k=5)[ITEM_ID].equals(first[ITEM_ID])


def test_a_horizon_is_the_mean_over_later_targets(dataset: Dataset, run: Asking) -> None:
    scorer, asked = run(dataset), present_queries(dataset)
    far = AheadScorer(scorer, 3).score(asked)
    there = Candidates(dataset, scorer.catalogue).available(asked)
    torch.testing.assert_close(far.sum(1), torch.ones(len(asked)))
    assert (far[~there] == 0).all()
    one, two = AheadScorer(scorer, 1).score(asked), AheadScorer(scorer, 2).score(asked)
    third = 3 * far - 2 * two
    assert (third > -1e-6).all(), "what is left is a probability"
    torch.testing.assert_close(third.sum(1), torch.ones(len(asked)))
    assert not torch.allclose(third, one, atol=1e-3)


@pytest.mark.parametrize("horizon", [0, 4])
def test_no_run_looks_further_than_it_learned(dataset: Dataset, run: Asking, horizon: int) -> None:
    with pytest.raises(ConfigError, match=f"a horizon of {horizon}: this run looks 3 targets ahead"):
        AheadScorer(run(dataset), horizon)
    near = Asking.of(dataset, next={"n": 1})
    with pytest.raises(ConfigError, match=r"looks 1 target ahead \(train with model: {next: {n: 4}}\)"):
        AheadScorer(near(dataset), 4)
