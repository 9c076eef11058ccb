"""If these fail, the benchmark of the objective finds pleasure or bias where there is none."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import spearmanr

from palate.data import Dataset, Part, Split, queries, split
from palate.simulate import Simulation, preset, simulate
from palate.simulate.viewing import completion, run_course

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "objective"))

from preference import Preference, partial_correlation, spearman
from truth import calibration, expected_course, expected_stars, places, rating, watched_share


@cache
def service() -> tuple[Simulation, Dataset, Split]:
    simulation = simulate(preset("tiny"))
    dataset = Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=simulation.schema)
    return simulation, dataset, split(dataset)


@pytest.mark.parametrize("match", [2.0, 7.0])
@pytest.mark.parametrize("breaks", [0.05, 0.8, 6.0])
def test_expected_course_is_the_mean_of_the_generators(match: float, breaks: float) -> None:
    config = preset("tiny")
    n = 200_000
    rng = np.random.default_rng(0)
    finishes = completion(np.array(match), np.array(0.2))
    course = run_course(
        config,
        uniform=rng.random((n, 1, 5)).astype(np.float32),
        shift=(0.8 * (rng.random(n) - 0.5)).astype(np.float32),
        finishes=np.full(n, finishes),
        binges=np.zeros(n),
        rate=np.full(n, breaks),
        hours=np.ones(n),
        begin=np.zeros(n, np.float32),
        episode=np.zeros(n, np.int64),
        available=np.ones(n, np.int64),
        size=np.ones(n, np.int64),
    )
    reached = np.where(course.status == 2, course.left, course.upto[:, 0])
    share, given_up = expected_course(np.array([finishes]), np.array([breaks]), config.resume)
    assert share[0] == pytest.approx(reached.mean(), abs=0.003)
    assert given_up[0] == pytest.approx((course.status == 4).mean(), abs=0.004)


@pytest.mark.parametrize("match", [-5.0, 4.0, 6.8, 12.0])
def test_expected_stars_are_the_mean_of_rounded_ones(match: float) -> None:
    rng = np.random.default_rng(1)
    usual = 3.6 + 0.4 * (match - 6.8) - 1.2 * (rng.random(200_000) < 0.3)
    stars = np.rint(usual + 0.6 * rng.normal(size=len(usual))).clip(1, 5)
    assert expected_stars(np.array([match]), np.array([0.3]))[0] == pytest.approx(stars.mean(), abs=0.01)


def test_predictions_hold_against_the_log() -> None:
    simulation, _, _ = service()
    for table in calibration(simulation, groups=4).values():
        apart = (table["predicted"] - table["logged"]).abs()
        assert (apart < 3.5 * table["error"] + 0.003).all()
        assert table["logged"].is_sorted(), "who is predicted to watch more does"


def test_lists_shorter_than_k_have_no_value() -> None:
    simulation, dataset, division = service()
    asked = queries(dataset, division, Part.TEST).head(3)
    ids = simulation.truth.items["item_id"]
    picks = pl.DataFrame(
        {"query": asked["query"].gather([0, 0, 2]), "rank": [1, 2, 1], "item_id": ids.gather([5, 3, 7])}
    )
    found = places(simulation.truth, picks, asked, 2)
    assert found.tolist() == [[5, 3], [-1, -1], [7, -1]]
    for values in (watched_share(simulation.truth, asked, found), rating(simulation.truth, asked, found)):
        np.testing.assert_array_equal(np.isnan(values), found < 0)


def test_rank_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(2)
    left, right, third = rng.integers(0, 9, (3, 20, 30)).astype(float)
    usable = rng.random((20, 30)) < 0.7
    found = spearman(left, right, usable)
    wanted = [spearmanr(a[m], b[m]).statistic for a, b, m in zip(left, right, usable, strict=True)]
    np.testing.assert_allclose(found, wanted)
    assert (spearman(np.ones((2, 5)), third[:2, :5], np.ones((2, 5), np.bool_)) == 0).all()
    assert partial_correlation(np.array([1.0]), np.array([0.5]), np.array([0.5])) == 0


def test_partial_correlation_is_that_of_residuals() -> None:
    y, x, z = np.random.default_rng(3).normal(size=(3, 500))
    x, z = x + y, z - 0.5 * y + 0.3 * x
    x, y, z = (values - values.mean() for values in (x, y, z))
    apart = [values - y * (values @ y) / (y @ y) for values in (x, z)]
    table = np.corrcoef([x, y, z])
    found = partial_correlation(*(np.array([table[pair]]) for pair in ((0, 1), (0, 2), (1, 2))))
    assert found[0] == pytest.approx(np.corrcoef(apart)[0, 1])


class Scores:
    """Utilities, and what being shown adds."""

    def __init__(self, simulation: Simulation, exposure: np.ndarray, sign: float, shown: float) -> None:
        self._oracle, self._sign = simulation.oracle(), sign
        title = simulation.truth.items["title"].to_numpy()
        self._added = torch.from_numpy(shown * exposure[title]).float()
        # Another order of the columns than the truth's.
        self._order = np.random.default_rng(0).permutation(len(title))
        self.catalogue = self._oracle.catalogue.gather(self._order)

    def score(self, asked: pl.DataFrame) -> torch.Tensor:
        found = self._sign * torch.from_numpy(self._oracle.relevance(asked)).clamp(min=-99) + self._added
        return found[:, torch.from_numpy(self._order)]


def test_the_truth_agrees_with_itself_and_exposure_shows() -> None:
    simulation, dataset, division = service()
    preference = Preference(simulation.oracle(), dataset, division)
    asked = queries(dataset, division, Part.TEST).head(100)
    found = preference.measure(Scores(simulation, preference.exposure, 1, 0), asked)
    np.testing.assert_allclose(found["preference"], 1)
    np.testing.assert_allclose(
        preference.measure(Scores(simulation, preference.exposure, -1, 0), asked)["preference"], -1
    )
    biased = preference.measure(Scores(simulation, preference.exposure, 1, 0.3), asked)
    assert (biased["preference"] < 1).all()
    assert biased["exposure"].mean() > 0.3
