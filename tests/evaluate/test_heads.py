"""If these fail, a head looks better, or worse, than saying the commonest class."""

from __future__ import annotations

import math

import polars as pl
import pytest

from palate.evaluate.evaluation import EvaluationConfig
from palate.evaluate.heads import head_results

TARGETS = pl.DataFrame({"query": [3, 5, 8], "user_id": ["a", "a", "b"]})
TRAINING = pl.DataFrame(
    {
        "head": ["genre", "genre", "genre", "silent"],
        "value": [0, 1, 2, 0],
        "name": ["drama", "comedy", "war", "x"],
        "targets": [7, 6, 0, 0],
        "share": [1.0, 6.0, 0.0, 0.0],
    }
)
# The first target is drama and comedy, the second war, the third has no genre.
OUTCOMES = pl.DataFrame(
    {
        "query": [3, 3, 5],
        "head": ["genre"] * 3,
        "value": [0, 1, 2],
        "log_probability": [math.log(0.5), math.log(0.2), math.log(0.1)],
        "predicted": [0, 0, 1],
    }
)


def test_against_the_plain_formulas() -> None:
    found = head_results(OUTCOMES, TRAINING, TARGETS, EvaluationConfig(resamples=100))
    assert list(found) == ["genre"], "a head without labels has no figures"
    genre = found["genre"]
    assert (genre.targets, genre.classes, genre.majority) == (2, 3, "drama"), "more targets have it, if in part"
    assert genre.accuracy.value == 0.5, "a hit is any of the target's own values"
    assert genre.majority_accuracy.value == 0.5
    first, second = -(math.log(0.5) + math.log(0.2)) / 2, -math.log(0.1)
    assert genre.log_loss.value == pytest.approx((first + second) / 2)
    prior = {0: 2 / 10, 1: 7 / 10, 2: 1 / 10}
    plain = (-(math.log(prior[0]) + math.log(prior[1])) / 2 - math.log(prior[2])) / 2
    assert genre.prior_log_loss.value == pytest.approx(plain)
    assert genre.log_loss.low is None, "one member has no interval"


def test_nothing_to_measure() -> None:
    assert head_results(OUTCOMES.clear(), TRAINING, TARGETS) == {}
