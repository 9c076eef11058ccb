"""If these fail, a model learns to predict what says nothing, or its predictions carry the wrong names."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from palate.data import Dataset, Part, Schema, split
from palate.errors import ConfigError
from palate.model import IntentConfig
from palate.model.intents import IntentHeads, sequences
from palate.tokens import Familiar, HeadSource, HeadSpec, Tokenizer, TokenizerConfig, class_names, heads
from palate.tokens.catalogue import training_catalogue
from palate.train.material import Material
from palate.train.plan import BatchPlanner
from palate.words import FIRST_KNOWN
from tests.tokens.conftest import service
from tests.tokens.worlds import everything, with_items, world


def fitted(dataset: Dataset, *, merge: bool = False) -> Tokenizer:
    config = everything(merge=merge, has_time=dataset.has_time).tokenizer
    return Tokenizer.fit(dataset, split(dataset), config)


def names_of(tokenizer: Tokenizer, most_values: int = 100) -> list[str]:
    return [spec.name for spec in heads(tokenizer, None, most_values=most_values)]


def test_what_the_data_offer_is_predicted() -> None:
    tokenizer = fitted(world(1))
    assert names_of(tokenizer) == ["event_type", "genres", "origin", "familiar", "release"]
    assert names_of(tokenizer, most_values=3) == ["event_type", "origin", "familiar", "release"]
    assert names_of(fitted(world(1, has_time=False))) == ["event_type", "genres", "origin", "familiar"]
    assert names_of(fitted(world(1, runs=True), merge=True))[0] == "event_type"


def test_what_says_nothing_is_not() -> None:
    """The action where targets have one; whether it is known where it never is; metadata where there are none."""
    dataset = world(1)
    schema = dataset.schema.model_copy(
        update={"target_event_types": ("play",), "seen_items": {"play": "exclude"}, "items": {}}
    )
    bare = Dataset(dataset.events, None, None, schema, dataset.report)
    assert names_of(fitted(bare)) == ["release"]
    allowed = Schema.model_validate(schema.model_dump() | {"seen_items": {"play": "allow"}})
    assert names_of(fitted(Dataset(dataset.events, None, None, allowed, dataset.report))) == ["familiar", "release"]


def test_a_stated_name_is_taken_as_it_is() -> None:
    """In the order given, numbers in buckets included; nothing else is."""
    tokenizer = fitted(world(1))
    found = heads(tokenizer, ("release", "minutes", "event_type"), most_values=2)
    assert [spec.name for spec in found] == ["release", "minutes", "event_type"]
    assert heads(tokenizer, (), most_values=100) == ()


@pytest.mark.parametrize("name", ["nothing", "item_id", "device", "rating", "title"])
def test_what_is_no_label_is_said(name: str) -> None:
    """What is not there, the item itself, what is known at request time, numbers and texts."""
    with pytest.raises(ConfigError, match=rf"no '{name}' to predict") as error:
        heads(fitted(world(1)), ("genres", name), most_values=100)
    assert error.value.hint is not None
    assert "genres" in error.value.hint


@pytest.mark.parametrize("merge", [False, True], ids=["keep", "merge"])
def test_names_are_those_of_the_labels(merge: bool) -> None:
    """Each target's label, by name, is what the log and the table of items say of it."""
    dataset = world(2, runs=merge)
    tokenizer = fitted(dataset, merge=merge)
    specs = heads(tokenizer, None, most_values=100)
    material = Material.of(tokenizer, dataset, split(dataset))
    planner = BatchPlanner(material, tokenizer, everything(merge=merge))
    plan = planner.epoch(0)
    made = IntentHeads(specs, IntentConfig(horizon="target"), width=4)
    known = training_catalogue(tokenizer)
    assert dataset.items is not None
    described = {row["item_id"]: row for row in dataset.items.iter_rows(named=True)}
    seen = 0
    for number in range(len(plan.packs)):
        batch = planner.batch(plan, number)
        rows = batch.target.nonzero()[:, 0]
        labels = torch.split(made.labels(batch, known, rows, sequences(batch)[rows]), made.sizes, dim=1)
        items = tokenizer.items.values.gather((batch.target[rows] - FIRST_KNOWN).numpy()).to_list()
        for spec, label in zip(specs, labels, strict=True):
            classes = class_names(tokenizer, spec)
            assert len(classes) == spec.classes == label.shape[1]
            if spec.source != HeadSource.ITEM:
                continue
            for item, shares in zip(items, label.tolist(), strict=True):
                told = {name for name, share in zip(classes, shares, strict=True) if share > 0}
                cell = described[item][spec.name]
                values = set(cell) if isinstance(cell, list) else {cell}
                assert told == values & set(classes)
                seen += len(told)
    assert seen > 50


def test_an_action_is_named_as_in_the_log() -> None:
    dataset = world(3)
    tokenizer = fitted(dataset)
    (spec,) = heads(tokenizer, ("event_type",), most_values=100)
    store = tokenizer.encode(dataset)
    named = np.array(class_names(tokenizer, spec))[store.ids[:, spec.start] - FIRST_KNOWN]
    assert named.tolist() == dataset.events["event_type"].to_list()


def test_familiar_and_release_have_names_for_each_class() -> None:
    tokenizer = fitted(world(1))
    familiar, release = heads(tokenizer, ("familiar", "release"), most_values=100)
    assert class_names(tokenizer, familiar) == ["discover", "continue", "again"]
    assert [Familiar[name.upper()] - 1 for name in class_names(tokenizer, familiar)] == [0, 1, 2]
    assert len(class_names(tokenizer, release)) == release.classes == 6


def test_buckets_of_a_number_hold_what_they_say() -> None:
    dataset = world(1)
    tokenizer = fitted(dataset)
    (spec,) = heads(tokenizer, ("minutes",), most_values=100)
    named = class_names(tokenizer, spec)
    assert len(named) == spec.classes
    assert tokenizer.metadata is not None
    assert dataset.items is not None
    trained = dataset.items.filter(pl.col("item_id").is_in(tokenizer.items.values.implode()))
    codes = tokenizer.metadata.encode(trained, trained["item_id"]).ids[:, spec.start]
    for code, minutes in zip(codes, trained["minutes"], strict=True):
        low, high = map(float, named[code - FIRST_KNOWN].split(" to "))
        assert low <= minutes <= high


def test_a_number_of_one_value_has_a_name() -> None:
    """Known or not is all it tells; its one class is named like the others."""
    dataset = world(1)
    assert dataset.items is not None
    some = pl.when(pl.int_range(pl.len()) % 2 == 0).then(90.0)
    tokenizer = fitted(with_items(dataset, dataset.items.with_columns(some.alias("minutes"))))
    (spec,) = heads(tokenizer, ("minutes",), most_values=100)
    assert class_names(tokenizer, spec) == ["90 to 90"]


def test_columns_of_one_name_are_all_heads() -> None:
    """None of them takes the place of another in silence, and each has its own classes."""
    dataset = world(1)
    assert dataset.items is not None
    own = dataset.items["origin"]
    items = dataset.items.with_columns(own.alias("event_type"), own.alias("release"))
    columns = dataset.schema.items | dict.fromkeys(("event_type", "release"), dataset.schema.items["origin"])
    schema = dataset.schema.model_copy(update={"items": columns})
    tokenizer = fitted(Dataset(dataset.events, items, None, schema, dataset.report))
    found = {spec.name: spec for spec in heads(tokenizer, None, most_values=100)}
    assert {"event_type", "item:event_type", "release", "item:release", "origin"} <= set(found)
    assert class_names(tokenizer, found["event_type"])[0] in ("play", "buy", "trailer")
    for name in ("item:event_type", "item:release"):
        assert class_names(tokenizer, found[name]) == class_names(tokenizer, found["origin"])
    assert class_names(tokenizer, found["release"])[0] == "a day"


def test_a_column_without_values_is_no_head() -> None:
    """A column that no trained item has is left out of the metadata, and so of the heads."""
    dataset = world(1)
    assert dataset.items is not None
    empty = dataset.items.with_columns(pl.lit(None, pl.String).alias("origin"))
    tokenizer = fitted(with_items(dataset, empty))
    assert "origin" not in names_of(tokenizer)
    with pytest.raises(ConfigError, match="no 'origin' to predict"):
        heads(tokenizer, ("origin",), most_values=100)


def test_heads_of_a_plain_log() -> None:
    """Of what a log without items offers: one action is a target, so there is nothing of it to tell."""
    dataset = service()
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    found = heads(tokenizer, None, most_values=100)
    assert all(isinstance(spec, HeadSpec) for spec in found)
    assert "event_type" not in [spec.name for spec in found]
    assert (split(dataset).part == Part.TRAIN).any()
