"""If these fail, a new title is nowhere to be recommended, or old ones lose what is known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from palate.data import Dataset, Part, split
from palate.errors import ColumnTypeError, MissingColumnError
from palate.tokens import (
    Catalogue,
    Tokenizer,
    present_catalogue,
    read_tokenizer,
    training_catalogue,
    write_tokenizer,
)
from palate.tokens.ages import DEMAND_BUCKETS, VIEW_BUCKETS, view_bucket
from palate.words import FIRST_KNOWN
from tests.tokens.worlds import DAY, NAMES, QUIET, START, everything, items_table, with_events, with_items, world

UNKNOWN_LAUNCH = np.iinfo(np.int64).min


def fitted(dataset: Dataset, **changes: bool) -> Tokenizer:
    return Tokenizer.fit(dataset, split(dataset), everything(**changes).tokenizer)


def same(one: Catalogue, two: Catalogue) -> bool:
    if one.trained != two.trained:
        return False
    return all(torch.equal(a, b) for a, b in zip(one[1:], two[1:], strict=True))


def views(known: Catalogue) -> torch.Tensor:
    return known.ages.long() // DEMAND_BUCKETS % VIEW_BUCKETS


@pytest.mark.parametrize("has_time", [True, False])
def test_an_item_without_any_event_is_in_the_catalogue(has_time: bool) -> None:
    """Described, of no age, behind the trained ones and in the order of ids."""
    dataset = world(1, has_time=has_time)
    tokenizer = fitted(dataset, has_time=has_time)
    full = tokenizer.with_items(dataset)
    known = present_catalogue(full, dataset)
    names = full.items.values.to_list()
    assert known.trained == full.trained == tokenizer.items.size - FIRST_KNOWN
    assert names[: known.trained] == tokenizer.items.values.to_list()
    assert names[known.trained :] == sorted(set(NAMES + QUIET) - set(names[: known.trained]))
    for name in QUIET:
        place = names.index(name)
        assert place >= known.trained
        assert (views(known)[:, place] == 0).all()
        assert (known.ages[:, place] % DEMAND_BUCKETS == 0).all()
        assert known.counts[place] == 0
        assert dataset.items is not None
        row = dataset.items.row(by_predicate=pl.col("item_id") == name, named=True)
        expected = row["launch_time"] if has_time and row["launch_time"] is not None else UNKNOWN_LAUNCH
        assert known.launch[place] == expected
    assert tokenizer.metadata is not None
    own = tokenizer.metadata.encode(dataset.items, full.items.values)
    np.testing.assert_array_equal(known.metadata.numpy(), own.ids)
    np.testing.assert_array_equal(known.vectors.numpy(), own.vectors)
    assert len({tuple(row) for row in known.metadata[known.trained :].tolist()}) > 1


def test_an_item_of_events_alone_is_there_too() -> None:
    """Everything about it is unknown but when it came."""
    dataset = world(1)
    tokenizer = fitted(dataset)
    last = dataset.events["timestamp"].to_numpy().argmax()
    names = dataset.events["item_id"].to_list()
    names[int(last)] = "strange"
    changed = with_events(dataset, dataset.events.with_columns(pl.Series("item_id", names)))
    full = tokenizer.with_items(changed)
    known = present_catalogue(full, changed)
    place = full.items.values.to_list().index("strange")
    assert known.launch[place] == dataset.events["timestamp"].max()
    assert tokenizer.metadata is not None
    unknown = tokenizer.metadata.encode(None, pl.Series(["strange"]))
    assert known.metadata[place].tolist() == unknown.ids[0].tolist()


def test_the_training_catalogue_is_the_present_one_of_training() -> None:
    dataset = world(2)
    division = split(dataset)
    tokenizer = fitted(dataset)
    train = with_events(dataset, dataset.events.filter(pl.Series(division.part == Part.TRAIN)))
    assert dataset.items is not None
    items = dataset.items.filter(pl.col("item_id").is_in(tokenizer.items.values.implode()))
    known = with_items(train, items)
    assert same(present_catalogue(tokenizer.with_items(known), known), training_catalogue(tokenizer))


@pytest.mark.parametrize("how", ["rows", "table"])
def test_what_the_scored_data_lack_is_what_training_knew(how: str) -> None:
    """Else a title that left the catalogue's file would be scored as if nothing were known of it."""
    dataset = world(3)
    tokenizer = fitted(dataset)
    trained = tokenizer.items.values.to_list()
    gone = trained[::2]
    items = None if how == "table" else items_table(3).filter(~pl.col("item_id").is_in(gone))
    less = with_items(dataset, items)
    known, frozen = present_catalogue(tokenizer.with_items(less), less), training_catalogue(tokenizer)
    T = len(trained)
    assert torch.equal(known.metadata[:T], frozen.metadata)
    assert torch.equal(known.vectors[:T], frozen.vectors)
    assert torch.equal(known.launch[:T], frozen.launch)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("genres", pl.col("genres").list.join("|")),
        ("origin", pl.concat_list("origin")),
        ("minutes", pl.lit("an hour")),
        ("title", pl.lit(3.5)),
    ],
)
@pytest.mark.parametrize("gone", [0, 9])
def test_metadata_of_another_type_are_named(column: str, values: pl.Expr, gone: int) -> None:
    """Also where rows of training stand in for what is gone: else all values would be unknown, and nobody told."""
    dataset = world(3)
    tokenizer = fitted(dataset)
    other = with_items(dataset, items_table(3).with_columns(values.alias(column))[gone:])
    with pytest.raises(ColumnTypeError, match=f"column '{column}' holds"):
        present_catalogue(tokenizer.with_items(other), other)


def test_ids_of_another_type_are_named() -> None:
    dataset = world(3)
    tokenizer = fitted(dataset)
    number = pl.col("item_id").str.slice(1).cast(pl.Int64)
    assert dataset.items is not None
    events, items = dataset.events.with_columns(number), dataset.items.with_columns(number)
    other = Dataset(events, items, None, dataset.schema, dataset.report)
    for refused in (tokenizer.with_items, tokenizer.encode, lambda data: present_catalogue(tokenizer, data)):
        with pytest.raises(ColumnTypeError, match="'item_id' holds Int64, but the run was trained on String"):
            refused(other)


def test_a_model_of_times_refuses_positions() -> None:
    tokenizer = fitted(world(3))
    with pytest.raises(MissingColumnError, match="trained on events with a timestamp"):
        tokenizer.encode(world(3, has_time=False))


def test_what_the_scored_data_say_of_an_item_holds() -> None:
    """A corrected genre or launch counts from then on."""
    dataset = world(3)
    tokenizer = fitted(dataset)
    name = tokenizer.items.values[0]
    own = pl.col("item_id") == name
    items = items_table(3).with_columns(
        pl.when(own).then(pl.lit(["war"])).otherwise("genres").alias("genres"),
        pl.when(own).then(pl.lit(START - 9 * DAY)).otherwise("launch_time").alias("launch_time"),
    )
    other = with_items(dataset, items)
    known = present_catalogue(tokenizer.with_items(other), other)
    frozen = training_catalogue(tokenizer)
    assert known.launch[0] == START - 9 * DAY
    assert not torch.equal(known.metadata[0], frozen.metadata[0])
    assert torch.equal(known.metadata[1 : frozen.trained], frozen.metadata[1:])


def test_rolling_counts_later_events_and_frozen_none() -> None:
    """At the first point behind each event, and nothing changes at any point up to training's last event."""
    dataset = world(4)
    tokenizer = fitted(dataset)
    assert tokenizer.ages is not None
    full = tokenizer.with_items(dataset)
    names = full.items.values.to_list()
    frozen = present_catalogue(full, dataset, rolling=False)
    rolling = present_catalogue(full, dataset)
    assert tokenizer.ages.step is not None
    past = rolling.moments <= tokenizer.ages.end
    assert torch.equal(rolling.ages[past], frozen.ages[: int(past.sum())])
    assert len(rolling.moments) > len(frozen.moments)
    division = split(dataset)
    end = tokenizer.ages.end
    training = dataset.events.filter(pl.Series(division.part == Part.TRAIN))
    for known, events in (
        (frozen, training),
        (rolling, pl.concat([training, dataset.events.filter(pl.col("timestamp") > end)])),
    ):
        last = dict(events["item_id"].value_counts().iter_rows())
        expected = view_bucket(np.array([last.get(name, 0) for name in names]))
        np.testing.assert_array_equal(views(known)[-1].numpy(), expected)
        middle = int(known.moments[len(known.moments) // 2])
        before = dict(events.filter(pl.col("timestamp") < middle)["item_id"].value_counts().iter_rows())
        expected = view_bucket(np.array([before.get(name, 0) for name in names]))
        np.testing.assert_array_equal(views(known)[len(known.moments) // 2].numpy(), expected)
    assert torch.equal(rolling.counts, frozen.counts), "what taught an id stays what it was"


def test_without_new_items_the_tokenizer_is_the_same() -> None:
    dataset = world(5)
    tokenizer = fitted(dataset)
    known = tokenizer.items.values.implode()
    assert dataset.items is not None
    some = Dataset(
        dataset.events.filter(pl.col("item_id").is_in(known)),
        dataset.items.filter(pl.col("item_id").is_in(known)), None, dataset.schema, dataset.report,
    )  # fmt: skip
    assert tokenizer.with_items(some) is tokenizer


def test_new_items_change_no_index_of_the_trained() -> None:
    """Histories read alike, but for the new items, which were unknown."""
    dataset = world(6)
    tokenizer = fitted(dataset)
    full = tokenizer.with_items(dataset)
    before, after = tokenizer.encode(dataset).ids, full.encode(dataset).ids
    new = after[:, 0] >= tokenizer.items.size
    assert new.any()
    assert (before[new, 0] == 1).all()
    np.testing.assert_array_equal(before[~new], after[~new])
    np.testing.assert_array_equal(before[:, 1:], after[:, 1:])


@pytest.mark.parametrize("has_time", [True, False])
def test_a_read_tokenizer_makes_the_same_catalogue(has_time: bool, tmp_path: Path) -> None:
    dataset = world(7, has_time=has_time)
    tokenizer = fitted(dataset, has_time=has_time)
    write_tokenizer(tokenizer, tmp_path)
    again = read_tokenizer(tmp_path)
    assert same(training_catalogue(again), training_catalogue(tokenizer))
    one, two = (present_catalogue(each.with_items(dataset), dataset) for each in (again, tokenizer))
    assert same(one, two)
    assert again.encode(dataset, split(dataset)).digest() == tokenizer.encode(dataset, split(dataset)).digest()
