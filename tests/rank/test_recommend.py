"""A user would lose the table itself: sorted, complete, with nothing in it that is masked."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import torch

from palate.data.split import Part, present_queries, queries, split
from palate.errors import ConfigError
from palate.rank.candidates import Candidates
from palate.rank.catalogue import known_items
from palate.rank.recommend import recommend


@dataclass
class Fixed:
    """Scores that depend on the query's row alone, with ties."""

    catalogue: pl.Series
    asked_with_answer: bool = False

    def score(self, queries):
        self.asked_with_answer |= "item_id" in queries.columns
        item = np.arange(len(self.catalogue))[None, :]
        return torch.tensor((queries["query"].to_numpy()[:, None] * 7 + item * 3) % 5, dtype=torch.float32)


def test_the_table(dataset):
    scorer = Fixed(known_items(dataset))
    asked = queries(dataset, split(dataset), Part.TEST)
    table = recommend(scorer, dataset, asked, k=5)
    assert table.schema == pl.Schema({"query": pl.Int64, "rank": pl.Int64, "item_id": pl.Int64, "score": pl.Float32})
    assert table.equals(table.sort("query", "rank"))
    mask = Candidates(dataset, scorer.catalogue).mask(asked).numpy()
    for row, query in zip(mask, asked["query"], strict=True):
        mine = table.filter(pl.col("query") == query)
        allowed = set(scorer.catalogue.filter(pl.Series(row)))
        assert mine["rank"].to_list() == list(range(1, min(5, len(allowed)) + 1))
        assert set(mine["item_id"]) <= allowed
        assert mine["item_id"].is_unique().all()
        assert mine["score"].is_sorted(descending=True)
    assert not scorer.asked_with_answer


@pytest.mark.parametrize("batch", [1, 3, 10_000])
def test_blocks_and_the_order_of_queries_change_nothing(dataset, batch):
    scorer = Fixed(known_items(dataset))
    asked = queries(dataset, split(dataset), Part.TEST)
    whole = recommend(scorer, dataset, asked, k=30)
    done = []
    other = recommend(
        scorer, dataset, asked.reverse(), k=30, batch=batch, progress=lambda now, total: done.append((now, total))
    )
    assert other.equals(whole)
    assert done[-1] == (len(asked), len(asked))


def test_whoever_wants_everything_says_any_large_number(dataset):
    """Not a place is held for what does not exist: a number too many would not fit into memory."""
    scorer = Fixed(known_items(dataset))
    asked = queries(dataset, split(dataset), Part.TEST)
    whole = recommend(scorer, dataset, asked, k=len(scorer.catalogue))
    assert recommend(scorer, dataset, asked, k=10**12).equals(whole)


def test_the_present(without_time):
    table = recommend(Fixed(known_items(without_time)), without_time, present_queries(without_time), k=3)
    assert table["query"].n_unique() <= without_time.events["user_id"].n_unique()


def test_no_queries_give_an_empty_table(dataset):
    asked = queries(dataset, split(dataset), Part.TEST).clear()
    table = recommend(Fixed(known_items(dataset)), dataset, asked)
    assert table.is_empty()
    assert table.columns == ["query", "rank", "item_id", "score"]


def test_wrong_questions(dataset):
    scorer, asked = Fixed(known_items(dataset)), queries(dataset, split(dataset), Part.TEST)
    with pytest.raises(ConfigError, match="k is 0"):
        recommend(scorer, dataset, asked, k=0)
    with pytest.raises(ConfigError, match="twice"):
        recommend(scorer, dataset, pl.concat([asked, asked]))
