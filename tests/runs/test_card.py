"""If these fail, who finds a run can't tell what it is made of, or is told what is not so."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.tokens.worlds import everything, with_items, world

from palate.baselines.sasrec import sasrec_recipe
from palate.data import Dataset, SplitRule, split
from palate.model import IntentConfig, TowerConfig, TransformerConfig
from palate.runs import HeadFigure, model_card, network
from palate.tokens import Tokenizer
from palate.tokens.ages import AgeConfig
from palate.tokens.rewards import RewardConfig
from palate.train import PretrainConfig, pretrain

HEADS = [HeadFigure("genres", 12, 0.5, "drama", 0.25)]


def card(dataset: Dataset, config: PretrainConfig, *, heads: list[HeadFigure] | None = None) -> str:
    tokenizer = Tokenizer.fit(dataset, split(dataset, SplitRule(kind="none")), config.tokenizer)
    return model_card(
        model=network(config.model, tokenizer, context=config.windows.context),
        config=config.model,
        tokenizer=tokenizer,
        objective=config.objective,
        rewards=config.rewards,
        context=config.windows.context,
        facts={"events": "1"},
        figures={"ndcg@10": "0.1"},
        heads=heads or [],
    )


def rows(text: str) -> dict[str, str]:
    """The two-column rows of a card."""
    cells = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in cells if len(row) == 2}


def test_every_part_and_its_settings() -> None:
    dataset = world(1)
    assert dataset.items is not None
    alike = dataset.items.with_columns(origin=pl.lit("us"))
    text = card(with_items(dataset, alike), everything(), heads=HEADS)
    found = rows(text)
    assert found["ids"].endswith("items with a training event")
    assert "genres (category)" in found["metadata"]
    assert "minutes (number in buckets), title (text)" in found["metadata"]
    assert found["metadata left out"] == "origin: it is the same for all trained items"
    assert "training events that taught it" in found["gate"]
    assert found["id dropout"] == "none"
    assert "demand with a half-life of 2 days, counted every 5 hours" in found["age of items"]
    assert "heads event_type, genres, familiar, release;" in found["intents"]
    assert "rest of its session; fed to the items by attention; weight 1" in found["intents"]
    assert found["next n"] == "3 targets, 50 % of the rows learn a later one in each step; weight 0.5"
    assert "buy 3, rating (strength 0.8), recency (half-life 20 days)" in found["rewards"]
    assert "70 % of the loss is the choice among up to 4 places" in found["presentation"]
    assert "| genres | 12 | 0.5000 | 0.2500 | drama |" in text
    assert "Newer ones are recommended without another training" in " ".join(text.split())
    assert "not recommended before" not in " ".join(text.split())


def test_parts_that_are_not_there_say_why() -> None:
    config = everything(
        next={"n": 0}, presentation=None, intents=None, tower=TowerConfig(metadata=False, ages=False)
    ).model_copy(update={"rewards": None})
    text = card(world(2), config)
    found = rows(text)
    assert found["metadata"] == "none: model.tower.metadata is off"
    assert found["age of items"] == "no bias: model.tower.ages is off"
    assert found["intents"] == "none: model.intents is null"
    assert found["next n"] == "the next target alone"
    assert found["rewards"] == "none: all targets count the same"
    assert found["presentation"] == "none: every choice counts as one among all items"
    assert not found.keys() & {"gate", "id dropout", "metadata left out"}
    assert "by their ids alone; newer ones are not recommended before it is trained again" in " ".join(text.split())
    assert "majority" not in text


def test_a_log_of_positions_alone() -> None:
    events = world(3, has_time=False).events
    # Nobody has anything twice, so that there is nothing familiar to predict either.
    bare = events.select("user_id", "item_id", "position").unique(["user_id", "item_id"], keep="first")
    found = rows(card(Dataset.from_frames(bare), PretrainConfig()))
    assert found["metadata"] == "none: the data have no columns that describe items"
    assert found["age of items"] == "no bias: the data have no time"
    assert found["intents"] == "none: the data offer nothing to predict"


def test_settings_that_were_changed_are_those_of_the_card() -> None:
    config = everything(
        tower=TowerConfig(gate="moment", id_dropout=0.025), intents=IntentConfig(feed="none", horizon="target")
    )
    ages = config.tokenizer.model_copy(update={"ages": AgeConfig(step_hours=1, cells=2000)})
    config = config.model_copy(update={"tokenizer": ages, "rewards": RewardConfig()})
    found = rows(card(world(4), config))
    assert found["gate"].endswith("(moment)")
    assert found["id dropout"].startswith("2.5 %")
    assert "(1 would be more than tokenizer.ages.cells)" in found["age of items"]
    assert "labels of the target alone; beside the items, not fed to them" in found["intents"]
    assert found["rewards"].startswith("none: no part is given")


def test_mixed_rules_for_what_was_seen_and_cells_with_bars() -> None:
    dataset = world(5)
    schema = dataset.schema.model_copy(update={"seen_items": {"play": "allow", "buy": "exclude"}})
    dataset = Dataset(dataset.events, dataset.items, None, schema, dataset.report)
    text = card(dataset, everything(), heads=[HeadFigure("genres", 1, 0.0, "a|b\nc", 0.0)])
    assert "(play: allow, buy: exclude)" in " ".join(text.split())
    assert r"| a\|b c |" in text


def test_sasrec_reads_ids_alone() -> None:
    text = card(world(6), sasrec_recipe(width=8, heads=1))
    found = rows(text)
    assert found["metadata"].startswith("none")
    assert found["age of items"].startswith("no bias")
    assert found["intents"].startswith("none")
    assert "which item they were with, and nothing else" in text


@pytest.mark.parametrize("kind", ["temporal", "none"])
def test_a_sealed_run_has_its_card(tmp_path: Path, kind: str) -> None:
    dataset = world(7)
    rule = SplitRule.parse({"kind": kind}, source="test")
    config = PretrainConfig(epochs=1).model_copy(
        update={"model": everything().model.model_copy(update={"encoder": TransformerConfig(width=8)})}
    )
    pretrain(dataset.with_split(rule), tmp_path / "run", config)
    text = (tmp_path / "run" / "README.md").read_text()
    assert "| genres | " in text or kind == "none"
    assert ("| none | everything was trained on |" in text) == (kind == "none")
    assert "of the majority" in text or kind == "none"
