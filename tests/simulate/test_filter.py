"""The lower reference: what can be reached from the past must lie between popularity and the truth."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from palate.simulate import FilterConfig, FilterOracle, Simulation


@pytest.fixture(scope="module")
def queries(service: Simulation) -> pl.DataFrame:
    """The last plays."""
    plays = service.truth.plays
    return plays.filter(pl.col("timestamp") >= plays["timestamp"].quantile(0.85))


@pytest.fixture(scope="module")
def filtered(service: Simulation, queries: pl.DataFrame) -> np.ndarray:
    return service.filter_oracle(FilterConfig(particles=64)).scores(queries)


def ndcg(scores: np.ndarray, queries: pl.DataFrame) -> float:
    own = scores[np.arange(len(queries)), queries["item"].to_numpy()]
    rank = (scores > own[:, None]).sum(axis=1) + ((scores == own[:, None]).sum(axis=1) - 1) / 2
    return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean())


def recent_popularity(service: Simulation, queries: pl.DataFrame) -> np.ndarray:
    plays = service.truth.plays.sort("timestamp")
    time, item = plays["timestamp"].to_numpy(), plays["item"].to_numpy()
    scores = np.empty((len(queries), service.config.items))
    for row, moment in enumerate(queries["timestamp"].to_list()):
        start, end = np.searchsorted(time, [moment - 7 * 86_400_000, moment])
        scores[row] = np.bincount(item[start:end], minlength=scores.shape[1])
    return scores


def test_the_filter_lies_between_popularity_and_the_truth(
    service: Simulation, queries: pl.DataFrame, filtered: np.ndarray
) -> None:
    best = ndcg(service.oracle().scores(queries), queries)
    reached = ndcg(filtered, queries)
    assert best > reached > 2 * ndcg(recent_popularity(service, queries), queries)
    assert reached > 0.75 * best


def test_rows_are_distributions(service: Simulation, filtered: np.ndarray, queries: pl.DataFrame) -> None:
    probabilities = np.exp(filtered.astype(np.float64))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities[np.arange(len(queries)), queries["item"].to_numpy()] > 0).all()


def test_the_truth_explains_more_than_the_filter(
    service: Simulation, queries: pl.DataFrame, filtered: np.ndarray
) -> None:
    rows, item = np.arange(len(queries)), queries["item"].to_numpy()
    assert service.oracle().scores(queries)[rows, item].mean() > filtered[rows, item].mean()


def test_the_filter_sees_the_past_alone(service: Simulation, queries: pl.DataFrame, filtered: np.ndarray) -> None:
    """Asking about later plays as well must not change what is said of the first ones."""
    first = queries.sort("timestamp").unique("user_id", keep="first", maintain_order=True)
    alone = service.filter_oracle(FilterConfig(particles=64)).scores(first)
    both = queries.with_row_index("at").join(first.select("user_id", "timestamp"), on=["user_id", "timestamp"])
    same = both.join(first.with_row_index("to"), on=["user_id", "timestamp"])
    ranks = [
        np.argsort(-scores, axis=1)[:, :1] for scores in (filtered[same["at"].to_numpy()], alone[same["to"].to_numpy()])
    ]
    assert (ranks[0] == ranks[1]).mean() > 0.7, "the particles differ, the best titles mostly don't"


def test_what_becomes_of_a_viewing_is_not_known_within_it(service: Simulation) -> None:
    """Whatever the end of members' last viewings, what was said of their plays stays the same."""
    truth = service.truth
    last = truth.plays.group_by("user_id").agg(pl.col("viewing").max())["viewing"]
    queries = truth.plays.filter(pl.col("viewing").is_in(last.implode()))
    assert (queries["begins"] > 0).any()
    altered = pl.int_range(pl.len()).is_in(last.implode())
    viewings = truth.viewings.with_columns(
        status=pl.when(altered).then(pl.lit("abandoned")).otherwise("status"),
        played=pl.when(altered).then(1).otherwise("played").cast(pl.Int32),
        progress=pl.when(altered).then(0).otherwise("progress").cast(pl.Int32),
    )
    other = replace(truth, of_members=replace(truth.of_members, viewings=viewings))
    config = FilterConfig(particles=8)
    in_several = queries.filter(pl.len().over("user_id") > 2)
    for (_,), one in in_several.partition_by("user_id", as_dict=True, maintain_order=True).items():
        # One member at a time: the particles of members asked about together share their random numbers.
        known, altered_end = (FilterOracle(each, config).scores(one) for each in (truth, other))
        np.testing.assert_array_equal(altered_end, known)
        if one["user_id"][0] >= "m00030":
            break


def test_more_particles_help(service: Simulation, queries: pl.DataFrame, filtered: np.ndarray) -> None:
    rows, item = np.arange(len(queries)), queries["item"].to_numpy()
    few = service.filter_oracle(FilterConfig(particles=4)).scores(queries)
    assert few[rows, item].mean() < filtered[rows, item].mean()
