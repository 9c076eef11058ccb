"""A user would lose sight of a model that shows everybody the same few hits."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from palate.evaluate.beyond import coverage, diversity, metadata_values, novelty

RECOMMENDED = pl.DataFrame(
    {"query": [0, 0, 0, 1, 1, 1, 2], "rank": [1, 2, 3, 1, 2, 3, 1], "item_id": [10, 11, 12, 11, 10, 13, 14]}
)
QUERIES = pl.Series("query", [2, 0, 1, 7])
GENRES = {10: {"a", "b"}, 11: {"b"}, 12: {"c"}, 13: {"a", "b", "c"}, 14: {"a"}}


def test_coverage_counts_each_item_once():
    assert coverage(RECOMMENDED, 1, 10) == pytest.approx(0.3)
    assert coverage(RECOMMENDED, 3, 10) == pytest.approx(0.5)


def test_novelty_is_mean_self_information():
    popularity = pl.DataFrame({"item_id": [10, 11], "events": [7, 3]})
    found = novelty(RECOMMENDED, QUERIES, 2, popularity, catalogue_size=6)
    expected = -np.log2(np.array([1, (8 * 4) ** 0.5, (8 * 4) ** 0.5]) / 16)
    assert found[:3] == pytest.approx(expected)
    assert np.isnan(found[3])


def test_diversity_is_the_mean_distance_of_pairs():
    values = pl.DataFrame(
        [(i, v) for i, found in GENRES.items() for v in found], schema=["item_id", "value"], orient="row"
    )
    found = diversity(RECOMMENDED, QUERIES, 3, values)
    for place, query in ((1, 0), (2, 1)):
        items = RECOMMENDED.filter(pl.col("query") == query)["item_id"]
        distances = [
            1 - len(GENRES[a] & GENRES[b]) / (len(GENRES[a]) * len(GENRES[b])) ** 0.5 for a, b in combinations(items, 2)
        ]
        assert found[place] == pytest.approx(np.mean(distances))
    assert np.isnan(found[[0, 3]]).all(), "one item is no pair"


def test_items_without_values_are_left_out_of_diversity():
    values = pl.DataFrame({"item_id": [10, 12], "value": ["a", "b"]})
    assert diversity(RECOMMENDED, QUERIES, 3, values)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    "cells", [["a|b", None, "b| c|"], pl.Series([["a", "b"], None, ["b", "c", "b"]])], ids=["text", "lists"]
)
def test_values_of_a_column(cells):
    items = pl.DataFrame({"item_id": [1, 2, 3], "genres": cells})
    found = metadata_values(items, "genres", separator="|")
    assert sorted(found.rows()) == [(1, "a"), (1, "b"), (3, "b"), (3, "c")]
