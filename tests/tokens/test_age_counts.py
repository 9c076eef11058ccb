"""If these fail, ages of a large catalogue are other ones than those of a small one."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data import split
from palate.tokens import Catalogue, Tokenizer, training_catalogue
from palate.tokens.age_counts import VIEW_EDGES, AgeCounts
from palate.tokens.ages import DAY_MS, HOUR_MS, AgeConfig, Ages, view_bucket
from tests.tokens.test_ages import ITEMS, NOW, fitted, frame, logs
from tests.tokens.worlds import everything, world


def test_edges_are_those_of_the_buckets() -> None:
    counts = np.arange(300_000)
    np.testing.assert_array_equal(np.searchsorted(VIEW_EDGES, counts, side="right"), view_bucket(counts))


@settings(max_examples=60, deadline=None)
@given(logs, logs, st.data())
def test_what_is_counted_is_what_a_grid_holds(
    log: list[tuple[str, int]], more: list[tuple[str, int]], data: st.DataObject
) -> None:
    """For whole rows, some items, and single pairs; with later events and items without any."""
    config = AgeConfig(step_hours=7, half_life_days=2, cells=10**9)
    held = fitted(log, config)
    counted = Ages(
        config=held.config, counts=held.counts, totals=held.totals, step=held.step, end=held.end, counted=True
    )
    later = held.later(frame([(item, held.end + 1 + moment) for item, moment in more]))
    later = later.select(item=pl.col("item_id").replace_strict(ITEMS, [0, 1, 2, 5]), bin="bin", events="events")
    launch = np.array([np.nan, NOW - 3.0 * DAY_MS, NOW + 5.0 * DAY_MS, NOW - 400.0 * DAY_MS, np.nan, NOW * 1.0])
    chosen = data.draw(st.sampled_from([None, later]))
    moments, grid = held.grid(launch, chosen)
    at, codes = counted.codes(launch, chosen)
    assert isinstance(codes, AgeCounts)
    np.testing.assert_array_equal(at, moments)
    assert codes.shape == grid.shape
    whole = torch.arange(len(moments))
    np.testing.assert_array_equal(codes[whole].numpy(), grid)
    points = torch.tensor(sorted(data.draw(st.sets(st.integers(0, len(moments) - 1), min_size=1))))
    items = torch.tensor(sorted(data.draw(st.sets(st.integers(0, 5), min_size=1))))
    np.testing.assert_array_equal(codes.grid(points, items).numpy(), grid[np.ix_(points.numpy(), items.numpy())])
    some = torch.randint(6, points.shape)
    np.testing.assert_array_equal(codes[points, some].numpy(), grid[points.numpy(), some.numpy()])
    np.testing.assert_array_equal(codes[points, 3].numpy(), grid[points.numpy(), 3])


def test_what_is_too_much_to_hold_is_counted(tmp_path: Path) -> None:
    """At the steps that were asked for, and again when it is read; a step up to the half-life is taken before."""
    log = [(ITEMS[place % 4], place * HOUR_MS) for place in range(24 * 30)]
    coarse = fitted(log, AgeConfig(step_hours=1, cells=300))
    assert not coarse.counted
    counted = fitted(log, AgeConfig(step_hours=1, cells=10))
    assert counted.counted
    assert counted.step == HOUR_MS
    counted.write(tmp_path / "ages.parquet")
    again = Ages.read(tmp_path / "ages.parquet", counted.described(), counted.totals)
    assert again.counted
    one, two = (each.codes(np.full(4, np.nan))[1] for each in (counted, again))
    assert isinstance(one, AgeCounts)
    assert isinstance(two, AgeCounts)
    for a, b in zip(one.tensors(), two.tensors(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def catalogues() -> tuple[Catalogue, Catalogue]:
    dataset, found = world(1), []
    for cells in (10**8, 10):
        tokenizer = everything().tokenizer.model_copy(update={"ages": AgeConfig(step_hours=5, cells=cells)})
        found.append(training_catalogue(Tokenizer.fit(dataset, split(dataset), tokenizer)))
    return found[0], found[1]


def test_a_catalogue_is_the_same_whichever_way() -> None:
    held, counted = catalogues()
    assert isinstance(counted.ages, AgeCounts)
    assert isinstance(held.ages, torch.Tensor)
    assert counted.moments.equal(held.moments)
    items, points = torch.tensor([0, 3, 4, 9]), torch.tensor([1, 5, 11])
    one, two = (each.take(items, points) for each in (held, counted))
    for a, b in zip(one[1:], two[1:], strict=True):
        assert isinstance(a, torch.Tensor)
        assert a.equal(b)
    assert one.digest() == two.digest()
    assert held.digest() != counted.digest() == catalogues()[1].digest()


@pytest.mark.parametrize("cells", [10**8, 10])
def test_ages_of_a_model_are_the_same_whichever_way(cells: int) -> None:
    """Through the exact loss, which asks for all items."""
    from tests.model.test_model import OBJECTIVE, ready

    config = everything()
    ages = AgeConfig(step_hours=5, half_life_days=2, cells=cells)
    config = config.model_copy(update={"tokenizer": config.tokenizer.model_copy(update={"ages": ages})})
    model, batch, known, _ = ready(world(1), config)
    torch.manual_seed(0)
    losses = model.loss(batch, known, OBJECTIVE)
    plain, _, held, _ = ready(world(1), everything())
    torch.manual_seed(0)
    torch.testing.assert_close(losses.total, plain.loss(batch, held, OBJECTIVE).total)
