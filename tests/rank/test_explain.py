"""If these fail, `palate explain` gives reasons that are not the model's, or rules that are not the ranking's."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from tests.rank.asking import Asking
from tests.rank.conftest import frames
from tests.tokens.worlds import START, with_events, with_items, world

from palate.data import Dataset, Part, Schema, present_queries, queries, split
from palate.errors import ConfigError, UnknownItemError, UnknownMemberError
from palate.model import IntentConfig, TowerConfig
from palate.rank.candidates import Candidates
from palate.rank.catalogue import known_items
from palate.rank.explain import explain
from palate.rank.explanation import Explanation
from palate.rank.familiar import familiar
from palate.rank.model_scorer import ModelScorer
from palate.rank.recommend import recommend
from palate.rank.rules import rules
from palate.tokens.asked import Asked
from palate.words import ITEM_ID, QUERY, TIMESTAMP, USER_ID


def log_odds(scorer: ModelScorer, query: pl.DataFrame, item: str, competing: torch.Tensor) -> float:
    """Of the item among those that compete, plainly."""
    scores = scorer.score(query)[0].double()
    place = scorer.catalogue.to_list().index(item)
    share = scores.masked_fill(~competing, -torch.inf).softmax(0)[place]
    return float(share.log() - (1 - share).log())


def competing(scorer: ModelScorer, query: pl.DataFrame, item: str) -> torch.Tensor:
    mask = Candidates(scorer.dataset, scorer.catalogue).mask(query)[0]
    mask[scorer.catalogue.to_list().index(item)] = True
    return mask


def moment(dataset: Dataset) -> int | None:
    if not dataset.has_time:
        return None
    last = dataset.events[TIMESTAMP].max()
    assert isinstance(last, int)
    return last + 1


def busiest(dataset: Dataset) -> str:
    counts = dataset.events.group_by(USER_ID).len().sort("len", USER_ID)
    return str(counts[USER_ID][-1])


@pytest.mark.parametrize("seed", range(3))
def test_the_rules_are_those_of_the_ranking(seed: int) -> None:
    log, items = frames(seed)
    schema = Schema(target_event_types=("play", "buy"), seen_items={"play": "allow", "buy": "exclude"})
    dataset = Dataset.from_frames(log, items, schema=schema)
    candidates = Candidates(dataset, known_items(dataset))
    asked = queries(dataset, split(dataset), Part.TEST)[:8]
    mask = candidates.mask(asked)
    assert not mask.all()
    for place in range(len(asked)):
        for column in range(len(candidates.catalogue)):
            found = rules(candidates, dataset, asked[place : place + 1], column)
            assert all(rule.passed for rule in found) == bool(mask[place, column]), found


@pytest.mark.parametrize(
    ("has_time", "merge", "context"),
    [(True, False, 100), (True, False, 6), (False, False, 100), (True, True, 100), (True, True, 4)],
)
def test_leaving_events_out_equals_a_log_without_them(has_time: bool, merge: bool, context: int) -> None:
    dataset = world(1, has_time=has_time, runs=merge)
    run, user, at = Asking.of(dataset, merge=merge, context=context), busiest(dataset), moment(dataset)
    scorer = run(dataset)
    query = present_queries(dataset, [user], at)
    item = recommend(scorer, dataset, query, k=3)[ITEM_ID][2]
    found = explain(scorer, user, item, at=at)
    among = competing(scorer, query, item)
    assert found.standing is not None
    whole = log_odds(scorer, query, item, among)
    assert found.standing.log_odds == pytest.approx(whole, abs=1e-4)
    assert context == 6 or any(each.is_group for each in found.events)
    assert max(abs(each.effect) for each in found.events) > 0.01
    own = dataset.events.with_row_index("row").filter(pl.col(USER_ID) == user)
    assert dataset.items is not None
    groups = dict(dataset.items.select(ITEM_ID, "group_id").iter_rows())
    things = pl.Series([groups[name] or name for name in own[ITEM_ID]])
    for each in found.events:
        name = each.what if each.is_group else groups[each.what] or each.what
        rows = own.filter(things == name)["row"].tail(each.events)
        shorter = with_events(
            dataset, dataset.events.with_row_index("row").filter(~pl.col("row").is_in(rows.implode())).drop("row")
        )
        asked = present_queries(shorter, [user], at)
        assert each.effect == pytest.approx(whole - log_odds(run(shorter), asked, item, among), abs=2e-4), each


def test_only_what_the_model_reads_is_left_out() -> None:
    dataset = world(1)
    run, user = Asking.of(dataset, context=6), busiest(dataset)
    found = explain(run(dataset), user, "t03")
    assert sum(each.events for each in found.events) == 6
    assert sum(each.events for each in explain(run(dataset), user, "t03", events=2).events) == 2
    assert explain(run(dataset), user, "t03", events=0).events == ()


def test_parts_add_up_to_the_score() -> None:
    dataset = world(2)
    scorer, user = Asking.of(dataset)(dataset), busiest(dataset)
    query = present_queries(dataset, [user])
    scores = scorer.score(query)[0]
    for item in ("t02", "q0"):  # q0 was never touched
        found = explain(scorer, user, item)
        assert found.standing is not None
        assert found.age is not None
        place = scorer.catalogue.to_list().index(item)
        assert found.standing.score == pytest.approx(float(scores[place]), abs=1e-4)
        assert sum(part.value for part in found.parts) == pytest.approx(float(scores[place]), abs=1e-4)
        assert [part.name for part in found.parts] == ["id", "metadata", "popularity", "age"]
    assert found.age.id_share == 0, "an item without an event has no id"
    assert found.age.training_events == 0
    assert found.age.events == "0"


def test_ages_that_the_model_does_not_see_are_not_told() -> None:
    dataset = world(2)
    user, item = busiest(dataset), "t02"
    events = dataset.events.filter(pl.col(ITEM_ID) == item).height
    blind = explain(Asking.of(dataset, tower=TowerConfig(ages=False))(dataset), user, item).age
    assert blind is not None
    assert (blind.training_events, blind.events, blind.demand) == (events, None, None)
    assert blind.days_since_launch is None
    assert blind.counted_to is None
    moment = explain(Asking.of(dataset, tower=TowerConfig(gate="moment", ages=False))(dataset), user, item).age
    assert moment is not None
    assert moment.training_events is None, "the gate goes by what there was at the moment"
    assert moment.events is not None
    assert moment.demand is None
    timeless = world(2, has_time=False)
    placed = explain(Asking.of(timeless)(timeless), busiest(timeless), item).age
    assert placed is not None
    assert placed.training_events == timeless.events.filter(pl.col(ITEM_ID) == item).height
    assert placed.events is None


def test_what_the_item_lacks_has_no_effect_at_all() -> None:
    dataset = world(3)
    assert dataset.items is not None
    poor = dataset.items.filter(pl.col("group_id").is_null())[ITEM_ID][0]
    found = explain(Asking.of(dataset)(dataset), busiest(dataset), poor)
    (group,) = [each for each in found.metadata if each.column == "group_id"]
    assert (group.value, group.effect) == (None, 0.0)
    assert next(each.value for each in found.metadata if each.column == "minutes").isdigit()  # type: ignore[union-attr]


def test_an_unknown_column_equals_an_items_table_without_the_value() -> None:
    dataset = world(3)
    run, user = Asking.of(dataset), busiest(dataset)
    had = dataset.events.filter(pl.col(USER_ID) == user)[ITEM_ID]
    item = next(name for name in ("t01", "t02", "t05", "t07", "t10") if name not in had)
    scorer, query = run(dataset), present_queries(dataset, [user])
    among = competing(scorer, query, item)
    found = explain(scorer, user, item)
    assert {each.column for each in found.metadata} == {field.name for field in run.tokenizer.metadata.fields}  # type: ignore[union-attr]
    assert dataset.items is not None
    whole = log_odds(scorer, query, item, among)
    for each in found.metadata:
        here = pl.col(ITEM_ID) == item
        poorer = dataset.items.with_columns(pl.when(~here).then(each.column).alias(each.column))
        there = log_odds(run(with_items(dataset, poorer)), query, item, among)
        assert each.effect == pytest.approx(whole - there, abs=1e-4), each
    assert max(abs(each.effect) for each in found.metadata) > 0.001


def test_intents_are_left_out_one_by_one() -> None:
    dataset = world(4)
    assert dataset.items is not None
    row = dataset.items.filter(pl.col("genres").list.len() > 1).head(1)
    scorer, user = Asking.of(dataset)(dataset), busiest(dataset)
    found = explain(scorer, user, row[ITEM_ID][0])
    assert scorer.model.intents is not None
    assert [each.head for each in found.intents] == [spec.name for spec in scorer.model.intents.specs]
    assert sum(each.attention or 0 for each in found.intents) == pytest.approx(1, abs=1e-5)
    assert max(abs(each.effect or 0) for each in found.intents) > 0.001
    own = {each.head: each.own for each in found.intents}
    assert own["origin"] == tuple(row["origin"])
    assert set(own["genres"]) == set(row["genres"][0])
    assert len(own["familiar"]) == len(own["release"]) == 1
    assert own["event_type"] == (), "known afterwards only"


@pytest.mark.parametrize("grouped", [True, False])
def test_what_is_familiar_is_what_the_labels_call_so(grouped: bool) -> None:
    dataset = world(9)
    assert dataset.items is not None
    dataset = dataset if grouped else with_items(dataset, dataset.items.drop("group_id"))
    asked = Asked.of(dataset)
    starts = np.repeat(dataset.member_starts, np.diff(dataset.member_starts, append=len(asked.target)))
    found = set()
    for row in np.flatnonzero(asked.target):
        label = familiar(dataset, np.arange(starts[row], row), dataset.events[ITEM_ID][int(row)])
        assert label == asked.familiar[row]
        found.add(label)
    assert len(found) == (3 if grouped else 2)


def test_a_single_head_is_left_out_altogether() -> None:
    dataset = world(4)
    run = Asking.of(dataset, intents=IntentConfig(heads=("origin",)))
    (found,) = explain(run(dataset), busiest(dataset), "t04").intents
    assert found.attention == 1
    assert found.effect is not None
    assert found.effect == found.effect, "a number"
    torch.nn.init.zeros_(run.model.intents.join.weight)  # type: ignore[union-attr]
    (silent,) = explain(run(dataset), busiest(dataset), "t04").intents
    assert silent.effect == pytest.approx(0, abs=1e-6)


def test_what_a_run_without_parts_cannot_say() -> None:
    dataset = world(5)
    tower = TowerConfig(metadata=False, ages=False)
    found = explain(Asking.of(dataset, intents=None, tower=tower)(dataset), busiest(dataset), "t04")
    assert found.intents == found.metadata == ()
    assert found.age is None
    assert [part.name for part in found.parts] == ["id", "popularity"]
    assert any("no heads" in note for note in found.notes)
    assert any("no metadata" in note for note in found.notes)
    beside = Asking.of(dataset, intents=IntentConfig(feed="none"), tower=tower)
    found = explain(beside(dataset), busiest(dataset), "t04")
    assert all(each.effect is None and each.attention is None for each in found.intents)
    assert any("don't reach the items" in note for note in found.notes)
    # Without metadata an item that nobody touched has no score, and the reason is said.
    hidden = explain(beside(dataset), busiest(dataset), "q1")
    assert hidden.standing is None
    assert [rule.name for rule in hidden.hidden_by] == ["known"]


def rule_of(found: Explanation) -> str:
    (rule,) = found.hidden_by
    assert found.standing is not None
    assert found.standing.rank is None, "no candidate has no rank"
    assert found.standing.rank_of_all >= 1
    return rule.detail


def test_hidden_items_and_the_rule_that_hides_them() -> None:
    dataset = world(6)
    assert dataset.items is not None
    user = busiest(dataset)
    own = dataset.events.filter((pl.col(USER_ID) == user) & (pl.col("event_type") == "buy"))
    bought = own[ITEM_ID][0]
    others = [name for name in dataset.events[ITEM_ID].unique().sort() if name not in own[ITEM_ID]]
    late, gone = others[0], others[1]
    far = START + 1000 * 86_400_000
    items = dataset.items.with_columns(
        launch_time=pl.when(pl.col(ITEM_ID) == late).then(far).otherwise("launch_time"),
        available_until=pl.when(pl.col(ITEM_ID) == gone).then(START).otherwise(pl.lit(None, pl.Int64)),
    )
    schema = dataset.schema.model_copy(update={"seen_items": {"play": "allow", "buy": "exclude"}})
    dataset = Dataset(dataset.events, items, None, schema, dataset.report)
    scorer = Asking.of(dataset)(dataset)
    assert rule_of(explain(scorer, user, late)) == "not available before 2026-08-10 22:13 (its launch_time)"
    assert rule_of(explain(scorer, user, gone)) == "no longer available since 2023-11-14 22:13 (available_until)"
    assert rule_of(explain(scorer, user, bought)).startswith("already had: ")
    assert "buy: exclude" in rule_of(explain(scorer, user, bought))
    silent = dataset.items.filter(
        pl.col("launch_time").is_null() & ~pl.col(ITEM_ID).is_in(dataset.events[ITEM_ID].implode())
    )  # type: ignore[union-attr]
    assert "neither a launch_time nor an event" in rule_of(explain(scorer, user, silent[ITEM_ID][0]))


def test_the_rank_is_that_of_the_recommendations() -> None:
    dataset = world(7)
    scorer, user = Asking.of(dataset)(dataset), busiest(dataset)
    picks = recommend(scorer, dataset, present_queries(dataset, [user]), k=len(scorer.catalogue))
    for rank in (1, 2, 7, len(picks)):
        found = explain(scorer, user, picks[ITEM_ID][rank - 1])
        assert found.standing is not None
        assert (found.standing.rank, found.standing.candidates) == (rank, len(picks))
        assert found.hidden_by == ()


def test_bad_questions_are_answered() -> None:
    dataset = world(8)
    scorer, user = Asking.of(dataset)(dataset), busiest(dataset)
    with pytest.raises(UnknownMemberError):
        explain(scorer, "nobody", "t01")
    with pytest.raises(UnknownItemError, match="no item nothing"):
        explain(scorer, user, "nothing")
    with pytest.raises(ConfigError, match="events at or after the moment"):
        explain(scorer, user, "t01", at=START)
    with pytest.raises(ConfigError, match="events is -1"):
        explain(scorer, user, "t01", events=-1)
    assert Explanation.model_validate_json(explain(scorer, user, "t01").to_json()).item_id == "t01"
    assert QUERY not in Explanation.model_fields
