"""If these fail, a model that looks far is measured by something else than what members went on to choose."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.data import Dataset, Part, SplitRule, queries, split
from palate.evaluate.evaluate import evaluate
from palate.evaluate.next_items import next_recall

members = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=8), min_size=1, max_size=4)


@given(members, st.integers(1, 5), st.lists(st.permutations(range(7)), min_size=32, max_size=32))
def test_against_a_plain_loop(chosen: list[list[int]], n: int, lists: list[list[int]]) -> None:
    rows = [(user, item) for user, items in enumerate(chosen) for item in items]
    targets = pl.DataFrame(
        {"query": range(10, 10 + len(rows)), "user_id": [u for u, _ in rows], "item_id": [i for _, i in rows]}
    )
    picks = pl.DataFrame(
        [(10 + q, rank + 1, item) for q in range(len(rows)) for rank, item in enumerate(lists[q][:4])],
        schema=["query", "rank", "item_id"],
        orient="row",
    )
    found = next_recall(picks, targets, (1, 3), n=n)
    q = 0
    for items in chosen:
        for place in range(len(items)):
            following = set(items[place : place + n])
            for k in (1, 3):
                plain = len(following & set(lists[q][:k])) / len(following)
                assert found[f"next_recall@{k}"][q] == pytest.approx(plain)
            q += 1


def test_it_stands_in_an_evaluation_where_it_says_something(dataset: Dataset) -> None:
    for kind, there in (("temporal", True), ("leave_one_out", False)):
        division = split(dataset, SplitRule(kind=kind))  # type: ignore[arg-type]
        asked = queries(dataset, division, Part.TEST)
        picks = asked.select("query", pl.lit(1).alias("rank"), "item_id")
        found = evaluate(picks, asked, dataset, division, Part.TEST)
        assert ("next_recall@1" in found.metrics) == there
        assert (found.protocol.next_targets > 1) == there
        assert not there or found.metrics["next_recall@1"].value < found.metrics["hr@1"].value == 1
