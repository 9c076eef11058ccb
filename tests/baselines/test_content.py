"""Content-kNN against its definition; a user would lose the peer that new titles are judged beside."""

import numpy as np
import polars as pl
import pytest
import torch
from tests.baselines.conftest import log

from palate.baselines.content import ContentKnn, ContentKnnConfig, metadata_blocks
from palate.data.dataset import Dataset
from palate.data.rule import SplitRule
from palate.data.schema import Schema
from palate.data.split import Part, present_queries, queries, split
from palate.errors import ConfigError
from palate.rank.catalogue import known_items
from palate.tokens.metadata import MetadataConfig

PLAIN = ContentKnnConfig(half_lives=(float("inf"),), weights=(1.0,))


def described(**kinds) -> Dataset:
    """The log of two tastes; even items are dramas, odd ones crime, with a year and words; 500 and 501 are new."""
    random = np.random.default_rng(1)
    ids = [*range(2, 63), 500, 501]
    items = pl.DataFrame(
        {
            "item_id": ids,
            "genres": [["crime" if item % 2 else "drama", str(random.choice(["short", "long"]))] for item in ids],
            "year": [1950.0 + item % 2 * 40 + 10 * random.random() for item in ids],
            "plot": [f"the {'murder case' if item % 2 else 'broken heart'} of number {item}" for item in ids],
            "vector": pl.Series([[float(item % 2), float(random.normal())] for item in ids]),
        }
    )
    schema = Schema(target_event_types=("play",), seen_items={"play": "exclude"}, split=SplitRule(**kinds))
    return Dataset.from_frames(log(), items, schema=schema)


def dense_blocks(dataset: Dataset) -> dict[str, np.ndarray]:
    catalogue = known_items(dataset)
    chosen = dataset.events.filter(pl.Series(split(dataset).part == Part.TRAIN), pl.col("event_type") == "play")
    trained = catalogue.is_in(chosen["item_id"].implode())
    blocks = metadata_blocks(dataset, catalogue, trained.to_numpy(), MetadataConfig(min_count=1))
    return {name: block.toarray() for name, block in blocks.items()}


def test_the_score_is_the_cosine_to_the_decayed_mean():
    dataset = described()
    blocks = dense_blocks(dataset)
    assert set(blocks) == {"genres", "year", "plot", "vector"}
    scorer = ContentKnn.fit(dataset, split(dataset), PLAIN.model_copy(update={"half_lives": (3.0,)}))
    vectors = np.concatenate(list(blocks.values()), axis=1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    catalogue = known_items(dataset).to_list()
    asked = queries(dataset, split(dataset), Part.TEST)[::17]
    scores = scorer.score(asked).numpy()
    events = dataset.events
    for row, query in zip(scores, asked.iter_rows(named=True), strict=True):
        before = events[: query["query"]].filter(
            (pl.col("user_id") == query["user_id"]) & (pl.col("event_type") == "play")
        )["item_id"]
        profile = np.zeros(vectors.shape[1])
        for steps, item in enumerate(reversed(before.to_list())):
            profile += 0.5 ** (steps / 3) * vectors[catalogue.index(item)]
        cosine = vectors @ profile / max(np.linalg.norm(profile), 1e-12)
        np.testing.assert_allclose(row[cosine > 1e-5], cosine[cosine > 1e-5], atol=1e-5)
        assert (row[cosine < -1e-5] < 0).all()


def test_blocks_are_of_length_one_and_numbers_near_each_other_alike():
    blocks = dense_blocks(described())
    for block in blocks.values():
        lengths = np.linalg.norm(block, axis=1)
        assert np.allclose(lengths[lengths > 0], 1, atol=1e-5)
    assert ((blocks["year"] > 0).sum(axis=1) >= 2).all(), "a bucket counts as its neighbours too"


def test_an_item_without_events_is_ranked_by_its_metadata():
    dataset = described()
    scorer = ContentKnn.fit(dataset, split(dataset), PLAIN)
    catalogue = scorer.catalogue.to_list()
    scores = scorer.score(present_queries(dataset))
    tastes = present_queries(dataset)["user_id"].to_numpy() % 2
    even, odd = (scores[:, catalogue.index(item)].numpy() for item in (500, 501))
    assert ((odd > even) == (tastes == 1)).mean() > 0.95


def test_metadata_of_items_that_were_not_trained_shape_nothing():
    dataset = described()
    assert dataset.items is not None
    changed = dataset.items.with_columns(
        plot=pl.when(pl.col("item_id") < 500).then("plot").otherwise(pl.lit("murder murder heart and new words"))
    )
    other = Dataset(dataset.events, changed, dataset.users, dataset.schema, dataset.report)
    asked = queries(dataset, split(dataset), Part.TEST)
    before, after = (ContentKnn.fit(each, split(each), PLAIN).score(asked) for each in (dataset, other))
    assert torch.equal(before[:, :-2], after[:, :-2])


def test_settings_are_chosen_on_validation():
    dataset = described()
    scorer = ContentKnn.fit(dataset, split(dataset), ContentKnnConfig(half_lives=(1.0, 20.0), weights=(1.0, 0.0)))
    assert scorer.half_life in (1.0, 20.0)
    assert set(scorer.weights) == {"genres", "year", "plot", "vector"}
    assert set(scorer.weights.values()) <= {0.0, 1.0}
    with pytest.raises(ConfigError, match="validation"):
        ContentKnn.fit(described(kind="none"), split(described(kind="none")))


def test_without_metadata_it_is_popularity():
    dataset = Dataset.from_frames(log(), schema=Schema(target_event_types=("play",)))
    scorer = ContentKnn.fit(dataset, split(dataset))
    scores = scorer.score(queries(dataset, split(dataset), Part.TEST))
    assert (scores < 0).all()
    assert (scores == scores[0]).all()
