"""If these fail, a run reads its own ids wrongly, or learns from what it must not know."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.data import Dataset, Part, SplitRule, split
from palate.errors import ColumnTypeError
from palate.tokens import Asked, Side, Tokenizer, TokenizerConfig, Vocabulary, read_tokenizer, write_tokenizer
from palate.tokens.moments import with_absolute
from palate.words import FIRST_KNOWN, PADDING, UNKNOWN
from tests.tokens.conftest import service

DAY = 86_400_000


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=50), st.lists(st.text(max_size=5), max_size=20))
def test_ids_round_trip_and_others_are_unknown(learned: list[str | None], others: list[str]) -> None:
    vocabulary = Vocabulary.fit(pl.Series("x", learned, dtype=pl.String))
    known = sorted({value for value in learned if value is not None})
    indices = vocabulary.encode(pl.Series("x", known, dtype=pl.String))
    assert len(set(indices.tolist())) == len(known)
    assert vocabulary.values.gather(indices - FIRST_KNOWN).to_list() == known if known else True
    strange = [value for value in others if value not in known]
    assert (vocabulary.encode(pl.Series("x", strange, dtype=pl.String)) == UNKNOWN).all()
    assert (vocabulary.encode(pl.Series("x", [None], dtype=pl.String)) == UNKNOWN).all()


def test_rare_values_share_unknown() -> None:
    vocabulary = Vocabulary.fit(pl.Series("x", ["a"] * 3 + ["b"] * 2 + ["c"]), limit=2)
    assert vocabulary.encode(pl.Series("x", ["a", "b", "c"])).tolist() == [2, 3, UNKNOWN]


def test_a_column_of_another_type_is_named() -> None:
    vocabulary = Vocabulary.fit(pl.Series("x", [1, 2]))
    with pytest.raises(ColumnTypeError, match="'device'"):
        vocabulary.encode(pl.Series("device", ["tv"]))


def test_every_field_is_encoded(dataset: Dataset) -> None:
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    names = [field.name for field in tokenizer.fields]
    assert names[:4] == ["item_id", "event_type", "event_value", "tags"]
    assert {"device", "member:plan"} <= set(names)
    assert ("time:gap" in names) == dataset.has_time
    store = tokenizer.encode(dataset)
    for spec in tokenizer.specs:
        own = store.ids[:, spec.start : spec.start + spec.width]
        assert own.min() >= PADDING
        assert own.max() < spec.size
        assert (own[:, 0] != PADDING).all(), f"{spec.name}: padding where there is an event"
    assert np.isfinite(store.values).all()
    assert (np.abs(store.values) <= 1).all()
    sides = [field.side for field in tokenizer.fields]
    assert sides == sorted(sides, key=lambda side: side == Side.REQUEST_TIME), "post-action columns come first"


def test_targets_are_events_of_target_types(dataset: Dataset) -> None:
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    store = tokenizer.encode(dataset)
    plays = (dataset.events["event_type"] == "play").to_numpy()
    known = dataset.events["item_id"].is_in(tokenizer.items.values.implode()).to_numpy()
    finds = np.zeros(len(plays), np.bool_)
    if dataset.has_time:
        now, item = pl.col("timestamp"), pl.col("item_id")
        finds = dataset.events.select(now == now.min().over(item))[:, 0].to_numpy()
    np.testing.assert_array_equal(store.target > 0, plays & known & ~finds)
    values = tokenizer.items.values.gather(store.target[store.target > 0] - FIRST_KNOWN)
    assert values.to_list() == dataset.events["item_id"].filter(pl.Series(store.target > 0)).to_list()


@pytest.mark.parametrize(("launch", "targets"), [(None, 2), (500, 3), (1500, 2)])
def test_nobody_is_asked_for_an_item_that_is_there_by_being_asked_for(launch: int | None, targets: int) -> None:
    """Else a model learns that what exists without an event is chosen, and offers what nobody has acted on.

    Where the item was there before, the first event is one like the others.
    """
    moments = [1000, 2000, 3000]
    events = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["x"] * 3, "timestamp": moments})
    items = pl.DataFrame({"item_id": ["x"], "launch_time": [launch]}, schema_overrides={"launch_time": pl.Int64})
    dataset = Dataset.from_frames(events, items)
    store = Tokenizer.fit(dataset, split(dataset, SplitRule(kind="none")), TokenizerConfig()).encode(dataset)
    assert (store.target > 0).tolist() == [moment > 1000 or targets == 3 for moment in moments]
    assert (store.weight > 0).sum() == targets


def test_items_that_exist_are_a_prefix() -> None:
    dataset = service(has_time=True)
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, TokenizerConfig())
    store = tokenizer.encode(dataset)
    train = dataset.events.filter(pl.Series(division.part == Part.TRAIN))
    first = dict(train.group_by("item_id").agg(pl.col("timestamp").min()).iter_rows())
    for row in np.flatnonzero(division.part == Part.TRAIN)[::5]:
        now = dataset.events["timestamp"][int(row)]
        there = tokenizer.items.values.head(int(store.available[row]) - FIRST_KNOWN).to_list()
        assert set(there) == {item for item, moment in first.items() if moment <= now}


def test_a_single_row_has_the_moment_that_it_has_among_many() -> None:
    """Else a part of one event makes another tokenizer than the whole log."""
    times = 1_700_000_000_000 + np.random.default_rng(0).integers(0, 5000, 200) * 60_000
    rows = with_absolute(pl.DataFrame({"timestamp": times}))
    alone = pl.concat(with_absolute(row) for row in rows.select("timestamp").iter_slices(1))
    assert rows.equals(alone)


def test_a_month_that_training_never_had_is_unknown() -> None:
    """Else it would have an embedding that nothing was learned of: random, in most logs' next month."""
    dataset = service(has_time=True)
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    month = next(spec for spec in tokenizer.specs if spec.name == "time:month").start
    assert (tokenizer.encode(dataset).ids[:, month] >= FIRST_KNOWN).all()
    later = replace(dataset, events=dataset.events.with_columns(pl.col("timestamp") + 120 * DAY))
    assert (tokenizer.encode(later).ids[:, month] == UNKNOWN).all()


def test_the_gap_of_a_first_event_is_unknown() -> None:
    dataset = service(has_time=True)
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    store = tokenizer.encode(dataset)
    spec = next(spec for spec in tokenizer.specs if spec.name == "time:gap")
    first = store.begin == np.arange(len(store.begin))
    np.testing.assert_array_equal(store.ids[:, spec.start] == UNKNOWN, first)


def test_a_tokenizer_is_read_as_it_was_written(dataset: Dataset, tmp_path: Path) -> None:
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    write_tokenizer(tokenizer, tmp_path)
    again = read_tokenizer(tmp_path)
    assert again.specs == tokenizer.specs
    assert again.encode(dataset).digest() == tokenizer.encode(dataset).digest()


def test_columns_that_are_missing_are_unknown() -> None:
    dataset = service(has_time=True)
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    events = dataset.events.drop("device", "tags")
    store = tokenizer.encode_events(events, None, None, asked=Asked.nothing(events.height))
    for spec in tokenizer.specs:
        if spec.name in {"device", "tags", "member:plan"}:
            assert (store.ids[:, spec.start] == UNKNOWN).all()
