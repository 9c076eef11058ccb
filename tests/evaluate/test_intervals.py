"""A user would lose the difference between a better model and luck."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.evaluate.compare import compare, sign_flip_p_values
from palate.evaluate.intervals import Clusters, bootstrap_means, estimates

SETTINGS = {"resamples": 1000, "confidence": 0.95, "seed": 0}


def test_each_resample_is_a_mean_over_the_queries_of_drawn_members():
    random = np.random.default_rng(0)
    members = random.integers(0, 9, 40) * 10
    values = random.random((40, 2))
    means = bootstrap_means(values, Clusters(members), resamples=50, seed=3)
    ids = np.unique(members)
    draws = np.random.default_rng(3).integers(0, len(ids), size=(50, len(ids)), dtype=np.int64)
    for mean, draw in zip(means, draws, strict=True):
        drawn = np.concatenate([values[members == ids[one]] for one in draw])
        assert mean == pytest.approx(drawn.mean(axis=0))


def test_blocks_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    values, clusters = random.random((30, 1)), Clusters(random.integers(0, 9, 30))
    whole = bootstrap_means(values, clusters, resamples=100, seed=1)
    monkeypatch.setattr("palate.evaluate.intervals._BLOCK", 20)
    assert bootstrap_means(values, clusters, resamples=100, seed=1) == pytest.approx(whole)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.3, 1.0])), min_size=1, max_size=30),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_the_interval_holds_the_value(rows, seed):
    members = np.array([member for member, _ in rows])
    values = np.array([value for _, value in rows])
    figure = estimates({"hr@1": values}, members, resamples=100, confidence=0.9, seed=seed)["hr@1"]
    assert figure.value == pytest.approx(values.mean())
    if len(set(members)) == 1:
        assert figure.low is figure.high is None
    else:
        assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_with_one_query_a_member_it_is_near_the_normal_approximation():
    values = (np.random.default_rng(0).random(4000) < 0.3).astype(float)
    figure = estimates({"hr@10": values}, np.arange(4000), **SETTINGS)["hr@10"]
    half = 1.96 * values.std() / np.sqrt(4000)
    assert figure.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_queries_of_one_member_are_not_independent():
    members = np.repeat(np.arange(400), 10)
    values = np.repeat((np.random.default_rng(0).random(400) < 0.3).astype(float), 10)
    clustered = estimates({"hr@10": values}, members, **SETTINGS)["hr@10"]
    naive = estimates({"hr@10": values}, np.arange(4000), **SETTINGS)["hr@10"]
    ratio = (clustered.high - clustered.low) / (naive.high - naive.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_intervals_cover_the_truth_as_often_as_they_say():
    random = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        members = random.integers(0, 80, 240)
        taste = random.random(80) * 0.6  # mean 0.3
        values = (random.random(240) < taste[members]).astype(float)
        figure = estimates({"m": values}, members, resamples=200, confidence=0.95, seed=seed)["m"]
        hits += figure.low <= 0.3 <= figure.high
    assert 178 <= hits <= 198


def test_no_queries_give_no_figures():
    assert estimates({"hr@1": np.empty(0)}, np.empty(0, dtype=np.int64), **SETTINGS) == {}


def test_p_values_are_uniform_where_there_is_no_effect():
    sums = np.random.default_rng(0).normal(size=(60, 400))
    p = sign_flip_p_values(sums, flips=400, seed=1)
    assert 0.3 < np.mean(p) < 0.7
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.08)


def test_p_value_is_that_of_all_sign_flips():
    sums = np.array([[3.0], [1.0], [2.0], [-1.0], [2.5], [0.0]])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    every = np.abs(signs @ sums[:5, 0])
    exact = np.mean(every >= abs(sums.sum()) - 1e-9)
    assert sign_flip_p_values(sums, flips=20_000, seed=0)[0] == pytest.approx(exact, abs=0.01)


def test_a_real_difference_is_found_and_has_the_right_sign():
    random = np.random.default_rng(0)
    members = random.integers(0, 300, 1000)
    worse = random.random(1000)
    better = worse + 0.05 + random.normal(0, 0.1, 1000)
    options = {**SETTINGS, "flips": 2000}
    found = compare({"m": better}, {"m": worse, "other": worse}, members, **options)["m"]
    assert 0 < found.low < found.value < found.high
    assert found.p_value == pytest.approx(1 / 2001)
    back = compare({"m": worse}, {"m": better}, members, **options)["m"]
    assert back.value == pytest.approx(-found.value)


def test_equal_rankings_do_not_differ():
    values = {"m": np.array([1.0, 0.0, 1.0])}
    found = compare(values, values, np.array([1, 2, 2]), **SETTINGS, flips=100)["m"]
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
