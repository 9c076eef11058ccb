"""If these fail, a log that is larger than memory trains another model than the same log in memory."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file
from tests.tokens.test_merges import merging, viewings

from palate.data import Dataset, Part, PrepareConfig, SplitRule, is_target, prepare, split
from palate.errors import SplitError
from palate.evaluate.slices import training_popularity
from palate.model import ModelConfig, TransformerConfig
from palate.tokens import Tokenizer, TokenizerConfig, present_catalogue
from palate.train import PretrainConfig, pretrain
from palate.train.config import ValidationConfig
from palate.train.log import LogInParts, WholeLog
from palate.train.pretrain import later_views


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dataset = viewings(members=40, seed=3)
    (tmp_path / "data").mkdir()
    dataset.events.write_parquet(tmp_path / "data" / "events.parquet")
    dataset.schema.write(tmp_path / "data" / "schema.yaml")
    return tmp_path / "data"


@pytest.mark.parametrize("tokenizer", [TokenizerConfig(runs="keep"), merging()], ids=["keep", "merge"])
def test_the_same_weights_as_from_memory(folder: Path, tokenizer: TokenizerConfig) -> None:
    prepared = prepare(folder, folder.parent / "log", PrepareConfig(part_rows=100))
    assert len(prepared.log_parts) > 2
    config = PretrainConfig(epochs=2, tokenizer=tokenizer, model=ModelConfig(encoder=TransformerConfig(width=16)))
    whole = pretrain(Dataset.from_folder(folder), folder.parent / "whole", config)
    parted = pretrain(LogInParts(prepared), folder.parent / "parted", config)
    one, two = (load_file(run.folder / "model.safetensors") for run in (whole, parted))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert tensor.equal(two[name]), name


def test_demand_is_that_of_all_members_whoever_validates(folder: Path) -> None:
    """Few members are held out of a large log; what is in demand meanwhile is told by everybody's events."""
    log = LogInParts(prepare(folder, folder.parent / "log", PrepareConfig(part_rows=100)))
    tokenizer = Tokenizer.fit_parts(log.parts, TokenizerConfig(runs="keep"))
    held_out = log.held_out(3, seed=0)
    assert held_out is not None
    everybody = Dataset.from_folder(folder)
    assert held_out[0].events.height < everybody.events.height
    whole = present_catalogue(tokenizer, everybody)
    few = present_catalogue(tokenizer, held_out[0], later=later_views(log, tokenizer))
    assert few.ages.equal(whole.ages)
    assert not present_catalogue(tokenizer, held_out[0]).ages.equal(whole.ages)


@pytest.mark.parametrize("kind", ["temporal", "leave_one_out"])
@pytest.mark.parametrize("targets", [3, 10_000])
def test_members_are_held_out_whole(folder: Path, kind: str, targets: int) -> None:
    rule = SplitRule.parse({"kind": kind}, source="test")
    prepared = prepare(folder, folder.parent / "log", PrepareConfig(part_rows=100))
    log = LogInParts(prepared, rule)
    whole = WholeLog(Dataset.from_folder(folder).with_split(rule))
    held_out, everything = log.held_out(targets, seed=0), whole.held_out(targets, seed=0)
    assert held_out is not None
    assert everything is not None
    dataset, division = held_out
    counts = dict(everything[0].events["user_id"].value_counts().iter_rows())
    assert all(counts[user] == count for user, count in dataset.events["user_id"].value_counts().iter_rows())
    same = pl.Series(np.isin(everything[0].events["user_id"].to_numpy(), dataset.events["user_id"].unique().to_numpy()))
    assert division.part.tolist() == everything[1].part[same.to_numpy()].tolist()
    assert (division.part == Part.VALIDATION).any()
    again = log.held_out(targets, seed=0)
    assert again is not None
    assert again[0].events.equals(dataset.events)


def test_another_split_is_that_of_the_run(folder: Path) -> None:
    """Who evaluates a run divides by its schema: under another split, its test part would have been learned from."""
    prepared = prepare(folder, folder.parent / "log", PrepareConfig(part_rows=100))
    rule = SplitRule(kind="leave_one_out")
    log = LogInParts(prepared, rule)
    assert log.schema.split == rule
    assert prepared.schema.split != rule
    assert Tokenizer.fit_parts(log.parts, TokenizerConfig()).schema.split == rule


def test_a_validation_part_without_targets_is_said(folder: Path) -> None:
    """Else a training would go on without validation, and nobody would know which weights were kept."""
    dataset = Dataset.from_folder(folder)
    kinds = np.where(split(dataset).part == Part.VALIDATION, "rate", dataset.events["event_type"].to_numpy())
    dataset.events.with_columns(pl.Series("event_type", kinds)).write_parquet(folder / "events.parquet")
    log = LogInParts(prepare(folder, folder.parent / "log", PrepareConfig(part_rows=100)))
    with pytest.raises(SplitError, match="no target"):
        log.held_out(10, seed=0)
    nothing = LogInParts(prepare(folder, folder.parent / "all", PrepareConfig()), SplitRule(kind="none"))
    assert nothing.held_out(10, seed=0) is None


def test_popularity_is_that_of_the_whole_log(folder: Path) -> None:
    """Else items that only members who aren't held out had would be called cold."""
    log = LogInParts(prepare(folder, folder.parent / "log", PrepareConfig(part_rows=100)))
    config = PretrainConfig(
        epochs=1, validation=ValidationConfig(targets=1), model=ModelConfig(encoder=TransformerConfig(width=16))
    )
    run = pretrain(log, folder.parent / "run", config)
    sliced = json.loads((run.folder / "metrics.json").read_text())["slices"]["target_popularity"]
    held_out = log.held_out(1, config.seed)
    assert held_out is not None
    dataset, division = held_out
    targets = dataset.events.filter(pl.Series((division.part == Part.VALIDATION) & is_target(dataset)))["item_id"]
    whole = Dataset.from_folder(folder)
    of_members, of_all = training_popularity(dataset, division), training_popularity(whole, split(whole))
    cold = [int((~targets.is_in(known["item_id"].implode())).sum()) for known in (of_members, of_all)]
    assert cold[0] > cold[1]
    assert sliced["cold"]["targets"] == cold[1]
