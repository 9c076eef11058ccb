"""If these fail, a part of the model knows what training or a prediction must not: labels, counts, weights, metadata.

`test_leakage` asks this of the tokens; here every part of the model is on.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from tests.tokens.worlds import DAY, NAMES, QUIET, everything, with_events, with_items, world

from palate.data import Dataset, Part, Split, split
from palate.model import SequenceModel, TowerConfig
from palate.model.intents import sequences
from palate.model.tower import point
from palate.rank.model_scorer import ModelScorer
from palate.runs import network
from palate.tokens import (
    Batch,
    PackConfig,
    Tokenizer,
    WindowConfig,
    assemble,
    heads,
    pack,
    training_catalogue,
    training_windows,
)
from palate.tokens.rewards import Rewards
from palate.train import PretrainConfig
from palate.train.material import Material, Teaching
from palate.train.plan import BatchPlanner

Kind = Literal["temporal", "leave_one_out"]


def learned_from(
    dataset: Dataset, division: Split, config: PretrainConfig, *, parts: int = 1
) -> tuple[Tokenizer, dict[str, str]]:
    """All that a training reads of a log, hashed: what it fits, the catalogue, and the batches of an epoch."""
    log = pieces(dataset, division, parts)
    tokenizer = Tokenizer.fit_parts(lambda: log, config.tokenizer)
    assert config.rewards is not None
    assert config.model.presentation is not None
    teaching = Teaching(rewards=Rewards.fit(lambda: log, config.rewards), places=config.model.presentation.places)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        if parts == 1:
            material = Material.of(tokenizer, dataset, division, teaching)
        else:
            material = Material.write(tokenizer, lambda: log, Path(folder) / "tokens", teaching=teaching)
        planner = BatchPlanner(material, tokenizer, config)
        plan = planner.epoch(0)
        for number in range(len(plan.packs)):
            for name, value in planner.batch(plan, number)._asdict().items():
                content = str(value).encode() if name == "rectangles" else value.numpy().tobytes()
                found[f"{number} {name}"] = hashlib.sha256(content).hexdigest()
    for name, value in training_catalogue(tokenizer)._asdict().items():
        content = str(value).encode() if name == "trained" else value.numpy().tobytes()
        found[f"catalogue {name}"] = hashlib.sha256(content).hexdigest()
    assert tokenizer.ages is not None
    assert tokenizer.described is not None
    described = tokenizer.described.sort("item_id")
    found |= {
        "tokenizer": tokenizer.digest(),
        "heads": str(heads(tokenizer, None, most_values=100)),
        "items": str(tokenizer.items.table.to_dicts()),
        "described": str(described.to_dicts()),
        "counts": str(tokenizer.ages.counts.to_dicts()) + str(tokenizer.ages.end),
        "rewards": repr(teaching.rewards),
    }
    return tokenizer, found


def pieces(dataset: Dataset, division: Split, parts: int) -> list[tuple[Dataset, Split]]:
    """Whole members, in so many parts."""
    starts = np.append(dataset.member_starts, dataset.events.height)
    edges = starts[np.linspace(0, len(starts) - 1, parts + 1).astype(int)]
    found = []
    for low, high in pairwise(edges.tolist()):
        events = dataset.events[low:high]
        found.append((with_events(dataset, events), Split(division.rule, division.part[low:high], division.cuts)))
    return found


def divided(dataset: Dataset, division: Split, events: pl.DataFrame) -> tuple[Dataset, Split]:
    """The dataset with these events, whose column ``part`` says where they belong."""
    part = events["part"].to_numpy().astype(np.int8)
    return with_events(dataset, events.drop("part")), Split(division.rule, part, division.cuts)


def moment_of(dataset: Dataset) -> str:
    return "timestamp" if dataset.has_time else "position"


def change_all(dataset: Dataset, division: Split) -> tuple[Dataset, Split]:
    """Everything of later events is another thing, but whose they are; half of them are of new items."""
    rng = np.random.default_rng(5)
    n = dataset.events.height
    later = pl.Series(division.part != Part.TRAIN)
    moment, span = moment_of(dataset), 3 * DAY if dataset.has_time else 9
    other = {
        "item_id": pl.Series([f"new{each % 7}" if each % 2 else NAMES[each % 30] for each in rng.integers(0, 99, n)]),
        "event_type": pl.Series(rng.choice(["play", "buy", "trailer"], n)),
        "event_value": pl.Series(rng.random(n) * 1e6),
        "rating": pl.Series(rng.random(n) * 100),
        "device": pl.Series(rng.choice(["tv", "phone"], n)),
        "tags": pl.Series([["z", "a"]] * n),
        "impressions": pl.Series([[NAMES[3], "new1", NAMES[5]]] * n),
    }
    if "session_id" in dataset.events.columns:
        other["session_id"] = pl.Series(rng.choice(["s0", "x"], n))
    events = dataset.events.with_columns(
        pl.when(later).then(values).otherwise(pl.col(name)).alias(name) for name, values in other.items()
    )
    # Later still, in the order that they had.
    events = events.with_columns(pl.when(later).then(pl.col(moment) + span).otherwise(pl.col(moment)).alias(moment))
    return divided(dataset, division, events.with_columns(pl.Series("part", division.part)))


def remove_all(dataset: Dataset, division: Split) -> tuple[Dataset, Split]:
    events = dataset.events.with_columns(pl.Series("part", division.part))
    return divided(dataset, division, events.filter(pl.col("part") == Part.TRAIN))


def add_many(dataset: Dataset, division: Split) -> tuple[Dataset, Split]:
    """Each later event three times more, and members who come later."""
    events = dataset.events.with_columns(pl.Series("part", division.part))
    later = events.filter(pl.col("part") != Part.TRAIN)
    moment = moment_of(dataset)
    step = 40 * 60_000 if dataset.has_time else 1
    frames = [events]
    for copy in range(1, 4):
        shifted = later.with_columns(pl.col(moment) + copy * step, pl.lit(Part.TEST.value, pl.Int8).alias("part"))
        frames.append(shifted)
    frames.append(later.with_columns((pl.col("user_id") + "-new").alias("user_id"), pl.lit(2, pl.Int8).alias("part")))
    together = pl.concat(frames).sort("user_id", "part", moment, maintain_order=True)
    return divided(dataset, division, together)


CASES = [
    ("temporal", True, False),
    ("temporal", True, True),
    ("leave_one_out", True, False),
    ("leave_one_out", False, True),
]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("merge", [False, True], ids=["keep", "merge"])
@pytest.mark.parametrize(("kind", "has_time", "session_id"), CASES)
def test_what_comes_after_the_cut_changes_nothing_that_is_learned_from(
    kind: Kind, has_time: bool, session_id: bool, merge: bool, parts: int
) -> None:
    """Changed, gone, or with more behind it: batches, labels, weights, what was shown, counts and vocabularies."""
    dataset = world(1, members=11, kind=kind, has_time=has_time, runs=merge, session_id=session_id)
    division = split(dataset)
    config = everything(merge=merge, has_time=has_time)
    _, before = learned_from(dataset, division, config, parts=parts)
    for change in (change_all, remove_all, add_many):
        changed, changed_division = change(dataset, division)
        assert not changed.events.equals(dataset.events)
        assert (changed_division.part == Part.TRAIN).sum() == (division.part == Part.TRAIN).sum()
        _, after = learned_from(changed, changed_division, config, parts=parts)
        assert before == after, change.__name__


@pytest.mark.parametrize("merge", [False, True], ids=["keep", "merge"])
@pytest.mark.parametrize("kind", ["temporal", "leave_one_out"])
def test_in_parts_is_learned_what_is_learned_from_the_whole(kind: Kind, merge: bool) -> None:
    dataset = world(2, kind=kind, runs=merge)
    config = everything(merge=merge)
    _, whole = learned_from(dataset, split(dataset), config)
    _, parted = learned_from(dataset, split(dataset), config, parts=4)
    assert whole == parted


def other_rows(dataset: Dataset, untrained: list[str]) -> pl.DataFrame:
    """Metadata of untrained items that are others, and rows of more such items."""
    assert dataset.items is not None
    strange = pl.col("item_id").is_in(untrained)
    changed = dataset.items.with_columns(
        pl.when(strange).then(pl.lit("us")).otherwise("origin").alias("origin"),
        pl.when(strange).then(pl.lit("g0")).otherwise("group_id").alias("group_id"),
        pl.when(strange).then(pl.lit(9e9)).otherwise("minutes").alias("minutes"),
        pl.when(strange).then(pl.lit("zebra zebra")).otherwise("title").alias("title"),
        pl.when(strange).then(pl.lit(1, pl.Int64)).otherwise("launch_time").alias("launch_time"),
        pl.when(strange).then(pl.lit(["war", "western"] * 9)).otherwise("genres").alias("genres"),
    )
    more = changed.head(9).with_columns(("more-" + pl.col("item_id")).alias("item_id"), pl.lit("mars").alias("origin"))
    return pl.concat([changed, more])


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("merge", [False, True], ids=["keep", "merge"])
def test_metadata_of_items_without_training_events_change_nothing(merge: bool, remove: bool) -> None:
    dataset = world(3, runs=merge)
    division = split(dataset)
    config = everything(merge=merge)
    tokenizer, before = learned_from(dataset, division, config)
    untrained = [name for name in NAMES + QUIET if name not in tokenizer.items.values.to_list()]
    assert len(untrained) > len(QUIET), "items whose first event comes after the cut"
    assert dataset.items is not None
    items = dataset.items.filter(~pl.col("item_id").is_in(untrained)) if remove else other_rows(dataset, untrained)
    _, after = learned_from(with_items(dataset, items), division, config)
    assert before == after


def random_model(tokenizer: Tokenizer, config: PretrainConfig) -> SequenceModel:
    """No weight is 0, so that each path shows."""
    torch.manual_seed(1)
    model = network(config.model, tokenizer, context=config.windows.context)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def asked(dataset: Dataset, rows: NDArray[np.int64]) -> pl.DataFrame:
    events = dataset.events.with_row_index("query")[rows]
    return events.select(pl.col("query").cast(pl.Int64), "user_id", moment_of(dataset))


class Predictions(ModelScorer):
    """Scores, with all else that a row says: its intents and its states for later targets."""

    def all_of(self, queries: pl.DataFrame) -> dict[str, torch.Tensor]:
        found: dict[str, list[torch.Tensor]] = {"state": [], "intents": [], "attention": [], "ahead": []}

        def notice(state: torch.Tensor, without: int | None = None) -> object:
            intents = plain(state, without)
            assert intents is not None
            assert intents.attention is not None
            assert self._model.ahead is not None
            ahead = [self._model.ahead(intents.state, torch.full((len(state),), n)) for n in (1, 2)]
            for name, value in zip(
                found, (state, intents.log_shares, intents.attention, torch.cat(ahead, 1)), strict=True
            ):
                found[name].append(value)
            return intents

        plain = self._model.predict_intents
        self._model.predict_intents = notice  # type: ignore[method-assign, assignment]
        try:
            scores = self.score(queries)
        finally:
            del self._model.predict_intents
        return {"scores": scores} | {name: torch.cat(values) for name, values in found.items()}


POST_ACTION = {
    "item_id": [NAMES[0], NAMES[1]],
    "event_type": ["buy", "trailer"],
    "event_value": [1e6, 0.0],
    "rating": [5.0, 1.0],
    "tags": [["c"], ["b"]],
    "impressions": [[NAMES[2], NAMES[0]], [NAMES[9]]],
}


def with_cell(dataset: Dataset, row: int, column: str) -> Dataset:
    old = dataset.events[column].to_list()
    one, two = POST_ACTION[column]
    values = [*old[:row], two if old[row] == one else one, *old[row + 1 :]]
    return with_events(
        dataset, dataset.events.with_columns(pl.Series(column, values, dtype=dataset.events.schema[column]))
    )


@pytest.mark.parametrize(("has_time", "merge"), [(True, False), (True, True), (False, False)])
def test_a_row_predicts_without_its_own_outcome(has_time: bool, merge: bool) -> None:
    """Scores, intents and looks ahead of row t; and those of row t + 1 know it."""
    dataset = world(4, members=8, has_time=has_time, runs=merge)
    config = everything(merge=merge, has_time=has_time)
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = random_model(tokenizer, config)
    lengths = np.diff(np.append(dataset.member_starts, dataset.events.height))
    begin = int(dataset.member_starts[int(np.argmax(lengths))])
    for row in (begin + 3, begin + int(lengths.max()) - 2):
        places = (begin, row, row + 1)

        def predicted(each: Dataset, places: tuple[int, ...] = places) -> list[dict[str, torch.Tensor]]:
            scorer = Predictions(model, tokenizer, each, context=12)
            return [scorer.all_of(asked(each, np.array([place]))) for place in places]

        before = predicted(dataset)
        for column in POST_ACTION:
            after = predicted(with_cell(dataset, row, column))
            for place, old, new in zip(places, before, after, strict=True):
                if place <= row or column == "impressions":
                    for name, value in old.items():
                        told = f"{column}: {name} at {place - row}"
                        torch.testing.assert_close(value, new[name], rtol=0, atol=0, msg=told)
                elif not merge:  # a run that goes on may keep the outcome of another of its events
                    assert all((value != new[name]).any() for name, value in old.items()), f"{column} is not seen"


@pytest.mark.parametrize("merge", [False, True], ids=["keep", "merge"])
@pytest.mark.parametrize("rolling", [True, False])
@pytest.mark.parametrize("gate", ["training", "moment"])
def test_a_row_predicts_without_what_comes_later(gate: str, rolling: bool, merge: bool) -> None:
    """Whoever's it is: later events of others move the counts of items, from the next point of the grid on."""
    dataset = world(5, members=10, runs=merge)
    config = everything(merge=merge, tower=TowerConfig.model_validate({"gate": gate}))
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = random_model(tokenizer, config)
    times = dataset.events["timestamp"].to_numpy()
    order = np.argsort(times, kind="stable")
    moved = 0
    for row in order[[len(order) // 2, -len(order) // 8]].tolist():
        later = pl.Series(times > times[row])
        rest = dataset.events.filter(~later)
        own = int((~later.to_numpy())[:row].sum())
        shuffled = dataset.events.with_columns(
            pl.when(later).then(pl.lit(NAMES[1])).otherwise("item_id").alias("item_id"),
            pl.when(later).then(pl.lit("buy")).otherwise("event_type").alias("event_type"),
            pl.when(later).then(pl.col("timestamp") + 30).otherwise("timestamp").alias("timestamp"),
        )
        found = []
        for events, place in ((dataset.events, row), (shuffled, row), (rest, own)):
            each = with_events(dataset, events)
            scorer = Predictions(model, tokenizer, each, context=12, rolling=rolling)
            predicted = scorer.all_of(asked(each, np.array([place])))
            columns = scorer.catalogue.sort().to_list()
            assert columns == sorted(NAMES + QUIET)
            order_of_names = torch.tensor(np.argsort(scorer.catalogue.to_numpy()))
            predicted["scores"] = predicted["scores"][:, order_of_names]
            found.append(predicted)
        for other in found[1:]:
            for name, value in found[0].items():
                torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)
        moved += int(later.sum())
    assert moved > 20


def test_labels_are_no_input() -> None:
    """Labels of a batch may be anything: no state, score or intent depends on them."""
    dataset = world(6)
    config = everything()
    tokenizer, _ = learned_from(dataset, split(dataset), config)
    model, known = random_model(tokenizer, config), training_catalogue(tokenizer)
    for batch in batches(tokenizer, dataset, config):
        strange = batch._replace(
            target=torch.full_like(batch.target, 7),
            available=torch.full_like(batch.available, 3),
            outcome=torch.ones_like(batch.outcome),
            familiar=torch.full_like(batch.familiar, 2),
            session=torch.arange(len(batch.session), dtype=torch.int32),
            weight=torch.rand(len(batch.weight)),
            shown=torch.full_like(batch.shown, 4),
        )
        with torch.no_grad():
            tables = model.tower(known)
            one, two = (model(each, known, tables) for each in (batch, strange))
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def batches(tokenizer: Tokenizer, dataset: Dataset, config: PretrainConfig) -> Iterator[Batch]:
    planner = BatchPlanner(Material.of(tokenizer, dataset, split(dataset)), tokenizer, config)
    plan = planner.epoch(0)
    for number in range(len(plan.packs)):
        yield planner.batch(plan, number)


def test_the_target_s_own_event_is_not_counted_for_its_row() -> None:
    """Neither it nor anything at its moment or later: the ages that a row sees are those without them."""
    dataset = world(7)
    division = split(dataset)
    config = everything().tokenizer
    tokenizer = Tokenizer.fit(dataset, division, config)
    known = training_catalogue(tokenizer)
    times = dataset.events["timestamp"].to_numpy()
    train = np.flatnonzero(division.part == Part.TRAIN)
    items = dataset.events["item_id"].to_numpy()
    again = [row for row in train if (items[train][times[train] < times[row]] == items[row]).sum() > 1]
    seen = 0
    for row in again[:: len(again) // 8]:
        keep = pl.Series(times < times[row])
        less, less_division = divided(
            dataset, division, dataset.events.with_columns(pl.Series("part", division.part)).filter(keep)
        )
        alone = Tokenizer.fit(less, less_division, config)
        assert alone.ages is not None
        assert tokenizer.ages is not None
        assert alone.ages.step == tokenizer.ages.step
        there = training_catalogue(alone)
        moment = torch.tensor(times[row])
        codes = [
            dict(zip(each.items.values, catalogue.ages[point(catalogue, moment)].tolist(), strict=True))
            for each, catalogue in ((tokenizer, known), (alone, there))
        ]
        assert {item: code for item, code in codes[0].items() if item in codes[1]} == codes[1]
        seen += codes[1][items[row]] > 0
    assert seen, "no item that had been acted on"


@pytest.mark.parametrize("kind", ["temporal", "leave_one_out"])
def test_later_targets_stay_in_the_window_and_before_the_cut(kind: Kind) -> None:
    dataset = world(8, kind=kind)
    division = split(dataset)
    config = everything()
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    model = network(config.model, tokenizer, context=12)
    assert model.ahead is not None
    model.ahead.share = 1.0
    material = Material.of(tokenizer, dataset, division)
    rng = np.random.default_rng(0)
    windows = training_windows(material.begin, material.end, WindowConfig(context=9, overlap=2), rng)
    drawn = 0
    for each in pack(windows.lengths, PackConfig(batch_tokens=60), rng):
        post, values = tokenizer.post_columns, tokenizer.post_values
        batch, row = assemble(material.store, windows, each, post_columns=post, post_values=values)
        rows = batch.target.nonzero()[:, 0]
        own = row[rows.numpy()]
        assert (division.part[material.store.event[own]] == Part.TRAIN).all()
        later = model.ahead.draw(sequences(batch)[rows])
        one, two = own[later.row.numpy()], own[later.target.numpy()]
        begin = material.store.begin
        assert (begin[one] == begin[two]).all(), "the target of another member"
        between = np.cumsum(material.store.target > 0)
        assert (between[two] - between[one] == later.offset.numpy()).all()
        drawn += len(one)
    assert drawn > 50
