"""The truth and the oracle: an upper reference that is wrong would make every other figure meaningless."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from palate.errors import DataError, MissingTableError, TornFileError
from palate.simulate import Knowledge, Oracle, Simulation, preset, simulate
from palate.simulate.grid import Cumulative, draw, on_grid, products


@pytest.fixture(scope="module")
def probabilities(service: Simulation) -> np.ndarray:
    return np.exp(service.oracle().scores(service.truth.plays).astype(np.float64))


def test_rows_are_distributions_over_what_can_be_played(service: Simulation, probabilities: np.ndarray) -> None:
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    launch = service.truth.items.join(service.items, on="item_id", maintain_order="left")["launch_time"].to_numpy()
    launched = launch <= service.truth.plays["timestamp"].to_numpy()[:, None]
    assert not probabilities[~launched].any()
    # At most one item of a title is due, beside the one that a viewing goes on with.
    title = service.truth.items["title"].to_numpy()
    due = np.zeros((len(probabilities), title.max() + 1), dtype=int)
    for item, of in enumerate(title):
        due[:, of] += probabilities[:, item] > 0
    assert due.max() <= 2
    assert (due > 1).sum(axis=1).max() <= 1


def test_probabilities_are_the_frequencies_of_plays(service: Simulation, probabilities: np.ndarray) -> None:
    """Plays per item, plays per rank and plays per level of probability are as often as they should be."""
    item = service.truth.plays["item"].to_numpy()
    P, V = probabilities.shape
    picks = np.zeros((P, V))
    picks[np.arange(P), item] = 1
    noise = probabilities * (1 - probabilities)

    seen = noise.sum(axis=0) > 1
    per_item = ((picks - probabilities).sum(axis=0)[seen]) ** 2 / noise.sum(axis=0)[seen]
    assert stats.chi2.sf(per_item.sum(), seen.sum()) > 1e-3
    by_rank = np.argsort(-probabilities, axis=1)[:, :20]
    at_rank = [np.take_along_axis(table, by_rank, axis=1).sum(axis=0) for table in (probabilities, picks, noise)]
    assert stats.chi2.sf(((at_rank[1] - at_rank[0]) ** 2 / at_rank[2]).sum(), 20) > 1e-3
    for low, high in ((0, 0.001), (0.001, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 0.6), (0.6, 1.1)):
        inside = (probabilities > low) & (probabilities <= high)
        z = (picks[inside] - probabilities[inside]).sum() / np.sqrt(noise[inside].sum())
        assert abs(z) < 3.5, f"between {low} and {high}"


@pytest.mark.parametrize("ends", [1, 2])
def test_probabilities_hold_for_each_way_of_ending(service: Simulation, probabilities: np.ndarray, ends: int) -> None:
    """Whether a viewing goes on is as probable as the oracle says: after breaks, and after episodes."""
    plays = service.truth.plays
    before = plays.select(pl.col("ends", "item").shift(1).over("user_id", "session_id"))
    rows = np.nonzero((before["ends"] == ends).fill_null(False).to_numpy())[0]
    goes_on = before["item"].to_numpy()[rows].astype(int) + (ends == 2)
    expected = probabilities[rows, goes_on]
    happened = plays["item"].to_numpy()[rows] == goes_on
    z = (happened - expected).sum() / np.sqrt((expected * (1 - expected)).sum())
    assert abs(z) < 3.5
    assert np.median(expected) > 0.5


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
    many = Cumulative(np.array([[1.0, 0.0], [0.0, 2.0]])).draw(np.array([1, 0, 1]), np.array([[0.0, 0.9999]] * 3))
    assert many.tolist() == [[1, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize(("N", "C"), [(1, 1), (3, 500), (64, 64), (130, 1000), (17, 4097)])
def test_inner_products_do_not_depend_on_the_order_of_the_sum(N: int, C: int) -> None:
    rng = np.random.default_rng(0)
    a, b = on_grid(4 * rng.normal(size=(N, 48))), on_grid(2 * rng.normal(size=(C, 48)))
    shuffled = rng.permutation(48)
    exact = a.astype(np.float64) @ b.T.astype(np.float64)
    for result in (products(a, b.T), products(a[:, shuffled], b[:, shuffled].T), a @ b.T):
        assert np.array_equal(result, exact)


@pytest.mark.parametrize("part", list(Knowledge.model_fields))
def test_each_part_of_the_knowledge_helps(service: Simulation, part: str) -> None:
    """An oracle that is told less must explain the plays less well: else that part of the truth does nothing."""
    plays = service.truth.plays
    item = plays["item"].to_numpy()
    full, less = (
        service.oracle(knowledge).scores(plays)[np.arange(len(item)), item].mean()
        for knowledge in (Knowledge(), Knowledge.model_validate({part: False}))
    )
    assert less < full


def test_relevance_is_what_choices_follow(service: Simulation) -> None:
    """The relevance kept for each title turned to is what the oracle says of all, and it predicts free choices."""
    plays = service.truth.plays.filter(pl.col("begins") == 0)
    viewings = service.truth.viewings[plays["viewing"].to_numpy()]
    free = viewings["via"].is_in(["search"]).to_numpy()
    relevance = service.oracle().relevance(plays)
    own = relevance[np.arange(len(plays)), plays["item"].to_numpy()]
    np.testing.assert_allclose(own, viewings["relevance"].to_numpy(), atol=1e-4)
    finite = np.where(np.isfinite(relevance), relevance, -100)
    better = (finite > own[:, None]).mean(axis=1)
    assert better[free].mean() < 0.2


def test_an_oracle_knows_plays_only(service: Simulation) -> None:
    queries = service.truth.plays.head(2).with_columns(pl.col("timestamp") + 1)
    with pytest.raises(DataError, match="2 of 2 queries are no play"):
        service.oracle().scores(queries)
    assert service.oracle().scores(queries.clear()).shape == (0, service.config.items)


def test_queries_may_come_in_any_order_and_twice(service: Simulation) -> None:
    oracle, plays = service.oracle(), service.truth.plays
    some = pl.concat([plays.sample(50, seed=1, shuffle=True), plays.head(3), plays.head(3)])
    rows = some.join(plays.with_row_index(), on=["user_id", "timestamp"], how="left", maintain_order="left")["index"]
    np.testing.assert_array_equal(oracle.scores(some), oracle.scores(plays)[rows.to_numpy()])


def test_reading_gives_back_the_oracle(service: Simulation, tmp_path: Path) -> None:
    folder = service.write(tmp_path / "service")
    queries = service.truth.plays.head(100)
    expected = service.oracle().scores(queries)
    for place in (folder, folder / "truth"):
        oracle = Oracle.read(place)
        np.testing.assert_array_equal(oracle.scores(queries), expected)
        assert oracle.catalogue.to_list() == service.oracle().catalogue.to_list()


def test_damaged_truth_is_named(service: Simulation, tmp_path: Path) -> None:
    with pytest.raises(MissingTableError, match=r"config\.yaml"):
        Oracle.read(tmp_path)
    truth = service.write(tmp_path / "service") / "truth"
    for name in ("latent.safetensors", "plays.parquet"):
        content = (truth / name).read_bytes()
        (truth / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(TornFileError, match=name):
            Oracle.read(truth)
        (truth / name).write_bytes(content)


def test_there_is_something_to_learn() -> None:
    """The oracle is far above popularity and far from certain: room for models, and a ceiling for them."""
    simulation = simulate(preset("service", members=400, items=600, days=60))
    plays = simulation.truth.plays
    moment = int(plays["timestamp"].quantile(0.85))  # type: ignore[arg-type]
    late = plays.filter(pl.col("timestamp") >= moment)
    scores = simulation.oracle().scores(late)
    target = late["item"].to_numpy()
    counts = np.bincount(plays.filter(pl.col("timestamp") < moment)["item"].to_numpy(), minlength=600)
    popular = np.where(np.isfinite(scores), counts, -1.0)

    def ndcg(table: np.ndarray, rows: np.ndarray) -> float:
        rank = (table > table[np.arange(len(target)), target][:, None]).sum(axis=1)
        return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0)[rows].mean())

    chosen = late["begins"].to_numpy() == 0
    assert 0.6 < ndcg(scores, chosen | ~chosen) < 0.85
    assert 0.35 < ndcg(scores, chosen) < 0.7
    assert ndcg(scores, chosen) > 2.5 * ndcg(popular, chosen) > 0.05
