"""The truth and the oracle: an upper reference that is wrong would make every other figure meaningless."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from palate.errors import ConfigError, DataError, MissingTableError, TornFileError
from palate.simulate import Knowledge, Oracle, Simulation, SimulationConfig, preset, simulate
from palate.simulate.grid import draw, on_grid, products


@pytest.fixture(scope="module")
def probabilities(service: Simulation) -> np.ndarray:
    return np.exp(service.oracle().scores(service.truth.choices).astype(np.float64))


def test_rows_are_distributions_over_what_can_be_played(service: Simulation, probabilities: np.ndarray) -> None:
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    choices = service.truth.choices
    launch = service.items.sort("item_id").join(
        service.truth.items.with_row_index("column"), on="item_id", maintain_order="left"
    )
    launched = launch.sort("column")["launch_time"].to_numpy() <= choices["timestamp"].to_numpy()[:, None]
    played = np.zeros_like(launched)
    member, item = choices["member"].to_numpy(), choices["item"].to_numpy()
    for row in range(1, len(member)):
        if member[row] == member[row - 1]:
            played[row] = played[row - 1]
            played[row, item[row - 1]] = True
    np.testing.assert_array_equal(probabilities > 0, launched & ~played)


def test_oracle_gives_the_probability_that_the_simulator_drew_with(
    service: Simulation, probabilities: np.ndarray
) -> None:
    chosen = probabilities[np.arange(len(probabilities)), service.truth.choices["item"].to_numpy()]
    np.testing.assert_allclose(np.log(chosen), service.truth.choices["log_probability"].to_numpy(), atol=1e-4)


def test_probabilities_are_the_frequencies_of_choices(service: Simulation, probabilities: np.ndarray) -> None:
    """Plays per title, plays per rank and plays per level of probability are as often as they should be."""
    item = service.truth.choices["item"].to_numpy()
    P, V = probabilities.shape
    picks = np.zeros((P, V))
    picks[np.arange(P), item] = 1
    noise = probabilities * (1 - probabilities)

    per_title = (picks - probabilities).sum(axis=0) ** 2 / noise.sum(axis=0)
    assert stats.chi2.sf(per_title.sum(), V) > 1e-3
    by_rank = np.argsort(-probabilities, axis=1)[:, :20]
    for table in (probabilities, picks, noise):
        assert table.shape == (P, V)
    at_rank = [np.take_along_axis(table, by_rank, axis=1).sum(axis=0) for table in (probabilities, picks, noise)]
    assert stats.chi2.sf(((at_rank[1] - at_rank[0]) ** 2 / at_rank[2]).sum(), 20) > 1e-3
    for low, high in ((0, 0.001), (0.001, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 1)):
        inside = (probabilities > low) & (probabilities <= high)
        z = (picks[inside] - probabilities[inside]).sum() / np.sqrt(noise[inside].sum())
        assert abs(z) < 3.5, f"between {low} and {high}"


def test_draws_follow_their_weights() -> None:
    weights = np.array([0.0, 3.0, 1.0, 0.0, 4.0, 2.0], dtype=np.float32)
    N = 40_000
    drawn = draw(np.tile(weights, (N, 1)), np.random.default_rng(1).random(N))
    counts = np.bincount(drawn, minlength=6)
    assert counts[[0, 3]].sum() == 0
    assert stats.chisquare(counts[weights > 0], N * weights[weights > 0] / 10).pvalue > 1e-3
    assert draw(np.zeros((1, 4), dtype=np.float32), np.array([0.5])).tolist() == [-1]
    edge = draw(np.array([[1.0, 1.0, 0.0]], dtype=np.float32), np.array([np.nextafter(1.0, 0.0)]))
    assert edge.tolist() == [1]


def test_inner_products_do_not_depend_on_the_order_of_the_sum() -> None:
    rng = np.random.default_rng(0)
    a, b = on_grid(4 * rng.normal(size=(50, 48))), on_grid(2 * rng.normal(size=(60, 48)))
    shuffled = rng.permutation(48)
    exact = a.astype(np.float64) @ b.T.astype(np.float64)
    for result in (products(a, b.T), products(a[:, shuffled], b[:, shuffled].T), a @ b.T):
        assert np.array_equal(result, exact)


@pytest.mark.parametrize("part", list(Knowledge.model_fields))
def test_each_part_of_the_knowledge_helps(service: Simulation, part: str) -> None:
    """An oracle that is told less must explain the choices less well: else that part of the truth does nothing."""
    choices = service.truth.choices
    item = choices["item"].to_numpy()
    full, less = (
        service.oracle(knowledge).scores(choices)[np.arange(len(item)), item].mean()
        for knowledge in (Knowledge(), Knowledge.model_validate({part: False}))
    )
    assert less < full


def test_an_oracle_knows_plays_only(service: Simulation) -> None:
    queries = service.truth.choices.head(2).with_columns(pl.col("timestamp") + 1)
    with pytest.raises(DataError, match="2 of 2 queries are no play"):
        service.oracle().scores(queries)
    assert service.oracle().scores(queries.clear()).shape == (0, service.config.items)


def test_queries_may_come_in_any_order(service: Simulation) -> None:
    oracle, choices = service.oracle(), service.truth.choices
    some = choices.sample(50, seed=1, shuffle=True)
    rows = choices.with_row_index().join(some, on=["user_id", "timestamp"], how="right")["index"].to_numpy()
    np.testing.assert_array_equal(oracle.scores(some), oracle.scores(choices)[rows])


def test_reading_gives_back_the_oracle(service: Simulation, tmp_path: Path) -> None:
    folder = service.write(tmp_path / "service")
    queries = service.truth.choices.head(100)
    expected = service.oracle().scores(queries)
    for place in (folder, folder / "truth"):
        oracle = Oracle.read(place)
        np.testing.assert_array_equal(oracle.scores(queries), expected)
        assert oracle.catalogue.to_list() == service.oracle().catalogue.to_list()


def test_damaged_truth_is_named(service: Simulation, tmp_path: Path) -> None:
    with pytest.raises(MissingTableError, match=r"config\.yaml"):
        Oracle.read(tmp_path)
    truth = service.write(tmp_path / "service") / "truth"
    for name in ("latent.safetensors", "choices.parquet"):
        content = (truth / name).read_bytes()
        (truth / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(TornFileError, match=name):
            Oracle.read(truth)
        (truth / name).write_bytes(content)


def test_there_is_something_to_learn() -> None:
    """The oracle is far above popularity and far from certain: room for models, and a ceiling for them."""
    simulation = simulate(SimulationConfig(members=400, items=600, days=60))
    choices = simulation.truth.choices
    late = choices.filter(pl.col("day") >= 50)
    scores = simulation.oracle().scores(late)
    target = late["item"].to_numpy()
    counts = np.bincount(choices.filter(pl.col("day") < 50)["item"].to_numpy(), minlength=600)
    popular = np.where(np.isfinite(scores), counts, -1.0)

    def ndcg(table: np.ndarray) -> float:
        rank = (table > table[np.arange(len(target)), target][:, None]).sum(axis=1)
        return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean())

    assert 0.25 < ndcg(scores) < 0.55
    assert ndcg(scores) > 2.5 * ndcg(popular) > 0.05


def test_configurations_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="items"):
        SimulationConfig.parse({"items": 3}, source="test")
    with pytest.raises(ConfigError, match="presets: tiny, service"):
        preset("huge")  # type: ignore[arg-type]
