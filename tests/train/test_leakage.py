"""If these fail, figures are too good to be true: a prediction knows its answer, or training knows the test part."""

import numpy as np
import polars as pl
import pytest
import torch
from tests.tokens.conftest import service

from palate.data import Dataset, Part, split
from palate.model import ModelConfig, SasRecConfig, TransformerConfig
from palate.tokens import Batch, Rectangle, Tokenizer, TokenizerConfig, Windows, assemble, training_catalogue
from palate.tokens.pack import Pack
from palate.train import PretrainConfig, new_model
from palate.train.material import Material
from palate.train.plan import BatchPlanner


def one_history(dataset: Dataset, tokenizer: Tokenizer, begin: int, end: int) -> Batch:
    store = tokenizer.encode(dataset)
    windows = Windows(np.array([begin]), np.array([begin]), np.array([end]))
    whole = Pack(np.array([0]), (Rectangle(1, end - begin),))
    return assemble(store, windows, whole, post_columns=tokenizer.post_columns, post_values=tokenizer.post_values)[0]


@pytest.mark.parametrize("encoder", [TransformerConfig(width=16), SasRecConfig(width=16)], ids=["palate", "sasrec"])
@pytest.mark.parametrize("column", ["item_id", "event_type", "event_value", "tags"])
def test_a_row_is_blind_to_its_own_outcome(encoder: TransformerConfig | SasRecConfig, column: str) -> None:
    dataset = service(seed=3)
    config = PretrainConfig(model=ModelConfig(encoder=encoder))
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = new_model(config, tokenizer).eval()
    torch.nn.init.normal_(model.tower.id, std=0.5)
    lengths = np.diff(np.append(dataset.member_starts, dataset.events.height))
    member = int(np.argmax(lengths))
    begin, end = int(dataset.member_starts[member]), int(dataset.member_starts[member] + lengths[member])
    changed_row = begin + int(lengths[member]) // 2

    known = training_catalogue(tokenizer)

    def states(data: Dataset) -> torch.Tensor:
        with torch.no_grad():
            return model(one_history(data, tokenizer, begin, end), known, model.tower(known))

    other = {"item_id": "t01", "event_type": "trailer", "event_value": 1e6, "tags": ["a", "b", "c"]}[column]
    old = dataset.events[column][changed_row]
    if (old.to_list() if isinstance(old, pl.Series) else old) == other:
        other = {"item_id": "t02", "event_type": "play", "event_value": 0.0, "tags": ["c"]}[column]
    values = dataset.events[column].to_list()
    values[changed_row] = other
    changed = Dataset(
        dataset.events.with_columns(pl.Series(column, values, dtype=dataset.events.schema[column])),
        dataset.items, dataset.users, dataset.schema, dataset.report,
    )  # fmt: skip
    before, after = states(dataset), states(changed)
    own = changed_row - begin
    torch.testing.assert_close(before[: own + 1], after[: own + 1], rtol=0, atol=0)
    if isinstance(encoder, TransformerConfig) or column == "item_id":
        moved = (before[own + 1 :] - after[own + 1 :]).abs().amax(1)
        assert (moved > 0).all(), "later rows don't see what happened"


@pytest.mark.parametrize("has_time", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_what_comes_after_the_cut_changes_no_training_batch(has_time: bool, seed: int) -> None:
    dataset = service(members=20, seed=seed, has_time=has_time)
    division = split(dataset)
    rng = np.random.default_rng(seed)
    later = division.part != Part.TRAIN
    items = dataset.events["item_id"].to_list()
    values = dataset.events["event_value"].to_list()
    for row in np.flatnonzero(later):
        items[row], values[row] = f"new{rng.integers(9)}", float(rng.integers(10_000))
    changed = Dataset(
        dataset.events.with_columns(pl.Series("item_id", items), pl.Series("event_value", values)),
        dataset.items, dataset.users, dataset.schema, dataset.report,
    )  # fmt: skip
    config = PretrainConfig(tokenizer=TokenizerConfig())
    batches = []
    for each in (dataset, changed):
        tokenizer = Tokenizer.fit(each, division, config.tokenizer)
        planner = BatchPlanner(Material.of(tokenizer, each, division), tokenizer, config)
        plan = planner.epoch(0)
        batches.append([planner.batch(plan, number) for number in range(len(plan.packs))])
    assert len(batches[0]) == len(batches[1]) > 0
    for one, two in zip(*batches, strict=True):
        assert one.rectangles == two.rectangles
        for a, b in zip(one[:-1], two[:-1], strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes()
