"""If these fail, what an epoch holds is miscounted, or counting it needs the whole log in memory."""

import tracemalloc

import numpy as np
import pytest
from tests.tokens.test_merges import merging, viewings

from palate.data import split
from palate.tokens import Tokenizer, WindowConfig
from palate.train import PretrainConfig, plan
from palate.train.material import Material
from palate.train.plan import BatchPlanner


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
def test_the_figures_are_those_of_the_batches(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_BLOCK", block)
    dataset = viewings(seed=4)
    config = PretrainConfig(tokenizer=merging(), windows=WindowConfig(context=7, overlap=2, open_runs=0.5))
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    planner = BatchPlanner(Material.of(tokenizer, dataset, split(dataset)), tokenizer, config)
    epoch = planner.epoch(0)
    batches = [planner.batch(epoch, number) for number in range(len(epoch.packs))]
    figures = planner.figures(epoch)
    assert figures.targets == sum(int((batch.target > 0).sum()) for batch in batches) > 0
    assert figures.batches == len(batches)


def test_counting_targets_holds_one_block_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_BLOCK", 1000)
    target = np.ones(1_000_000, np.int32)
    tracemalloc.start()
    found = plan._targets(target, np.array([0, 500_000]), np.array([10, 999_999]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == 500_009
    assert peak < 1_000_000
