"""If these fail, merging loses events, depends on the order of the log, or knows what comes after a cut."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from palate.data import Column, Dataset, Kind, Part, Role, Schema, is_target, split
from palate.errors import ConfigError
from palate.tokens import (
    Asked,
    Merges,
    Tokenizer,
    TokenizerConfig,
    WindowConfig,
    assemble,
    pack,
    trade_offs,
    training_windows,
    with_open_runs,
)
from palate.tokens.collapse import EVENTS
from palate.tokens.merges import OTHER, MergeLearner
from palate.tokens.moments import GAP
from palate.tokens.pack import PackConfig

NAMES = ["play", "rate", "pause"]
MINUTE = 60_000
logs = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=200)


def learned(types: NDArray[np.int64], starts: NDArray[np.bool_], size: int) -> tuple[Merges, NDArray[np.int64]]:
    learner = MergeLearner()
    learner.add(NAMES, types, starts)
    merges = learner.learn(size)
    return merges, np.array([merges.types.index(name) for name in NAMES])[types]


@given(logs, st.integers(4, 30))
def test_unmerging_gives_back_every_event_in_order(log: list[tuple[int, bool]], size: int) -> None:
    types = np.array([kind for kind, _ in log])
    starts = np.array([start for _, start in log])
    starts[0] = True
    merges, own = learned(types, starts, size)
    assert merges.size <= size
    segments = merges.segment(own, starts)
    assert [kind for action in segments.action for kind in merges.sequences[action]] == own.tolist()
    lengths = np.diff(np.append(segments.first, len(types)))
    assert lengths.tolist() == [len(merges.sequences[action]) for action in segments.action]
    assert np.isin(np.flatnonzero(starts), segments.first).all(), "a token of two runs"


@given(logs, logs)
def test_learning_does_not_depend_on_the_pieces(one: list[tuple[int, bool]], two: list[tuple[int, bool]]) -> None:
    logs = []
    for log in (one, two):
        starts = np.array([start for _, start in log])
        starts[0] = True
        logs.append((np.array([kind for kind, _ in log]), starts))
    whole, parts, turned = MergeLearner(), MergeLearner(), MergeLearner()
    whole.add(NAMES, np.concatenate([log[0] for log in logs]), np.concatenate([log[1] for log in logs]))
    for types, starts in logs:
        parts.add(NAMES, types, starts)
    for types, starts in reversed(logs):
        turned.add(NAMES[::-1], 2 - types, starts)
    assert whole.learn(20) == parts.learn(20) == turned.learn(20)


def test_the_most_frequent_pair_is_merged_first() -> None:
    types = np.array([0, 0, 0, 0] * 9 + [0, 1] * 5)
    starts = np.array([True, False, False, False] * 9 + [True, False] * 5)
    merges, _ = learned(types, starts, 99)
    assert merges.types == ("play", "rate", "pause", OTHER)
    assert merges.names[4:] == ("play×2", "play×4", "play+rate")


def viewings(*, seed: int = 0, members: int = 15, has_time: bool = True) -> Dataset:
    """Members who play titles in parts, and rate some."""
    rng = np.random.default_rng(seed)
    rows = []
    for member in range(members):
        now = 1_700_000_000_000 + int(rng.integers(0, 10_000)) * MINUTE
        for _ in range(int(rng.integers(1, 14))):
            item, parts = f"t{rng.integers(20):02d}", int(rng.geometric(0.4))
            for part in range(parts):
                kind = "rate" if part and rng.random() < 0.2 else "play"
                rows.append(
                    (f"m{member:02d}", item, now, kind, float(rng.integers(10, 600)), str(rng.choice(["tv", "web"])))
                )
                now += int(rng.integers(1, 20)) * MINUTE
            now += int(rng.integers(40, 3000)) * MINUTE
    names = ["user_id", "item_id", "timestamp", "event_type", "event_value", "device"]
    events = pl.DataFrame(rows, schema=names, orient="row")
    if not has_time:
        position = pl.int_range(pl.len()).over("user_id").alias("position")
        events = events.with_columns(position).drop("timestamp")
    schema = Schema(
        events={
            "event_value": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC, duration=True),
            "device": Column(role=Role.REQUEST_TIME, kind=Kind.CATEGORICAL),
        },
        target_event_types=("play",),
        one_target_a_run=True,
    )
    return Dataset.from_frames(events, schema=schema)


def merging(size: int = 12) -> TokenizerConfig:
    return TokenizerConfig(runs="merge", max_actions=size, least_merges=2)


def starts_of(dataset: Dataset) -> NDArray[np.bool_]:
    first = np.zeros(dataset.events.height, np.bool_)
    first[dataset.member_starts] = True
    return first


@pytest.mark.parametrize("has_time", [True, False])
@pytest.mark.parametrize("size", [3, 5, 40])
def test_durations_counts_and_first_context_survive(has_time: bool, size: int) -> None:
    dataset = viewings(has_time=has_time)
    tokenizer = Tokenizer.fit(dataset, split(dataset), merging(size))
    tokens = tokenizer.tokens(dataset.events, dataset.items, starts_of(dataset))
    assert tokens.frame[EVENTS].sum() == dataset.events.height
    assert tokens.frame["event_value"].sum() == pytest.approx(dataset.events["event_value"].sum())
    assert tokens.frame["device"].to_list() == dataset.events["device"].gather(tokens.first).to_list()
    assert tokens.frame["item_id"].to_list() == dataset.events["item_id"].gather(tokens.first).to_list()
    assert (np.diff(tokens.first) == tokens.frame[EVENTS].to_numpy()[:-1]).all()


def test_a_run_has_one_target_whatever_the_vocabulary() -> None:
    dataset = viewings()
    division = split(dataset)
    wanted = set(np.flatnonzero(is_target(dataset)).tolist())
    assert 0 < len(wanted) < dataset.events.height
    for config in (
        TokenizerConfig(),
        TokenizerConfig(runs="keep"),
        merging(3),
        merging(40),
        TokenizerConfig(runs="last"),
    ):
        tokenizer = Tokenizer.fit(dataset, division, config)
        store = tokenizer.encode(dataset)
        known = dataset.events["item_id"].is_in(tokenizer.items.values.implode()).to_numpy()
        found = set(store.event[store.target > 0].tolist())
        # Nor is the event by which anybody learns of the item one.
        table = tokenizer.items.table.head(tokenizer.trained)
        first = dict(table.select("value", "first_seen").iter_rows())
        finds = [
            time <= first.get(item, -1) for item, time in dataset.events.select("item_id", "timestamp").iter_rows()
        ]
        assert found == {row for row in wanted if known[row] and not finds[row]}
        assert found < wanted


def test_runs_are_merged_where_they_have_one_target() -> None:
    dataset = viewings()
    assert Tokenizer.fit(dataset, split(dataset), TokenizerConfig()).merges is not None
    schema = dataset.schema.model_copy(update={"one_target_a_run": False})
    dataset = Dataset(dataset.events, dataset.items, dataset.users, schema, dataset.report)
    assert Tokenizer.fit(dataset, split(dataset), TokenizerConfig()).merges is None


def test_merging_refuses_targets_within_runs() -> None:
    dataset = viewings()
    schema = dataset.schema.model_copy(update={"one_target_a_run": False})
    dataset = Dataset(dataset.events, dataset.items, dataset.users, schema, dataset.report)
    with pytest.raises(ConfigError, match="one_target_a_run: true"):
        Tokenizer.fit(dataset, split(dataset), merging())


def test_fewer_actions_than_event_types_are_refused() -> None:
    """Else nothing would be merged under the name of merging; auto leaves such a log as it is."""
    dataset = viewings()
    division = split(dataset)
    with pytest.raises(ConfigError, match=r"2 actions are too few: there are 3.*at least 3"):
        Tokenizer.fit(dataset, division, merging(2))
    inferred = Tokenizer.fit(dataset, division, TokenizerConfig(max_actions=2))
    assert inferred.merges is not None
    assert not inferred.merges.pairs
    assert Tokenizer.fit(dataset, division, merging(3)).merges is not None


@pytest.mark.parametrize("has_time", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_what_comes_after_the_cut_changes_no_training_token(has_time: bool, seed: int) -> None:
    dataset = viewings(seed=seed, has_time=has_time)
    division = split(dataset)
    later = division.part != Part.TRAIN
    kinds = np.where(later, "rate", dataset.events["event_type"].to_numpy())
    values = np.where(later, 9.0, dataset.events["event_value"].to_numpy())
    changed = Dataset(
        dataset.events.with_columns(pl.Series("event_type", kinds), pl.Series("event_value", values)),
        dataset.items, dataset.users, dataset.schema, dataset.report,
    )  # fmt: skip
    stores, open_stores = [], []
    for each in (dataset, changed):
        tokenizer = Tokenizer.fit(each, division, merging())
        store = tokenizer.encode(each, division)
        train = division.part[store.event] == Part.TRAIN
        store = store._replace(begin=store.event[store.begin])  # rows of later parts may be fewer
        stores.append([column[train] for column in store])
        open_runs = tokenizer.open_runs(each, division)
        open_stores.append([*open_runs.store, open_runs.asking, open_runs.run, open_runs.stop])
    for one, two in zip(stores[0] + open_stores[0], stores[1] + open_stores[1], strict=True):
        assert one.tobytes() == two.tobytes()
    assert len(stores[0][-1]), "training tokens"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.integers(3, 30), st.integers(0, 1000))
def test_open_runs_show_a_beginning_and_each_target_counts_once(seed: int, context: int, draw: int) -> None:
    dataset = viewings(seed=seed)
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, merging())
    store, open_runs = tokenizer.encode(dataset, division), tokenizer.open_runs(dataset, division)
    rng = np.random.default_rng(draw)
    train = division.part[store.event] == Part.TRAIN
    begin, rows = np.unique(store.begin[train], return_counts=True)
    end = begin + rows
    config = WindowConfig(context=context, open_runs=1.0)
    plain = training_windows(begin, end, config, rng)
    windows = with_open_runs(plain, store, open_runs, config, rng)
    assert windows.tail is not None
    assert windows.lengths.max() <= context
    post, values = tokenizer.post_columns, tokenizer.post_values
    found = []
    for which in (plain, windows):
        targets: list[int] = []
        for each in pack(which.lengths, PackConfig(batch_tokens=200), rng):
            batch, _ = assemble(store, which, each, post_columns=post, post_values=values, tails=open_runs.store)
            targets.extend(batch.target[batch.target > 0].tolist())
            assert (batch.key_time <= batch.query_time).all()
        found.append(sorted(targets))
    assert found[0] == found[1]
    for place in range(len(open_runs.asking)):
        shown = slice(open_runs.start[place], open_runs.stop[place])
        assert len(open_runs.store.event[shown]) >= 2, "a beginning and the one who asks"
        assert open_runs.run[place] < open_runs.asking[place]
        assert open_runs.store.event[shown][0] == open_runs.run[place]
        assert open_runs.store.event[shown][-1] == open_runs.asking[place]


def test_who_asks_in_an_open_run_knows_the_pause_since_what_is_shown() -> None:
    """The rest of the run is unknown to a query there; so is when it ended."""
    dataset = viewings(members=40, seed=3)
    tokenizer = Tokenizer.fit(dataset, split(dataset), merging())
    open_runs = tokenizer.open_runs(dataset, split(dataset))
    store, asks = open_runs.store, open_runs.stop - 1
    place = [field.name for field in tokenizer.fields].index(GAP)
    gap = tokenizer.fields[place].encode(pl.Series((store.time[asks] - store.end[asks - 1]) / 1000))
    assert store.ids[asks, tokenizer.specs[place].start].tolist() == gap[:, 0].tolist()
    times = dataset.events["timestamp"].to_numpy()
    begun = open_runs.run[~np.isin(open_runs.run, dataset.member_starts)]
    gap = tokenizer.fields[place].encode(pl.Series((times[begun] - times[begun - 1]) / 1000))
    runs = open_runs.start[~np.isin(open_runs.run, dataset.member_starts)]
    assert store.ids[runs, tokenizer.specs[place].start].tolist() == gap[:, 0].tolist()


def test_an_event_in_the_middle_of_a_run_sees_the_run_so_far() -> None:
    """Encoding the log up to an event gives the tokens that a query there sees, whatever follows."""
    dataset = viewings(seed=2)
    tokenizer = Tokenizer.fit(dataset, split(dataset), merging())
    users = dataset.events["user_id"]
    ends = np.append(dataset.member_starts[1:], dataset.events.height)
    begin, end = int(dataset.member_starts[0]), int(ends[0])
    for stop in range(begin + 1, end):
        head = dataset.events[begin:stop]
        one = tokenizer.encode_events(head, None, None, asked=Asked.nothing(len(head)))
        changed = dataset.events.with_columns(
            pl.when(pl.int_range(pl.len()) >= stop).then(pl.lit("t00")).otherwise("item_id").alias("item_id")
        )
        two = tokenizer.encode_events(changed[begin:stop], None, None, asked=Asked.nothing(len(head)))
        assert one.digest() == two.digest()
    assert users[begin] == users[end - 1]


def test_the_trade_off_falls_to_one_token_a_run() -> None:
    dataset = viewings(members=60)
    division = split(dataset)
    found = trade_offs(lambda: [(dataset, division)], TokenizerConfig(least_merges=2), sizes=[3, 4, 8, 200])
    shares = [row.tokens_per_event for row in found.rows]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert found.last_of_run.tokens_per_event == pytest.approx(found.runs / found.events)
    assert shares[-1] >= found.last_of_run.tokens_per_event
    assert found.rows[0].kept == dict.fromkeys(found.rows[0].kept, 1.0)
    assert all(row.kept["event_type"] == row.kept["event_value"] == 1 for row in found.rows), (
        "sums and actions are kept"
    )
    assert found.rows[-1].kept["device"] < 1
    assert found.enough().vocabulary_size <= found.rows[-1].vocabulary_size
