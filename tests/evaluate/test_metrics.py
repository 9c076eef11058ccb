"""A user would lose every decision that rests on a figure: ranks and metrics against their plain definitions."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.errors import DataError, MissingColumnError
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks

CUTOFFS = (1, 5, 10)


def table(lists):
    """Recommendations from query → items, best first."""
    rows = [(q, r, item, 1.0 / r) for q, items in lists.items() for r, item in enumerate(items, 1)]
    return pl.DataFrame(
        rows, schema={"query": pl.Int64, "rank": pl.Int64, "item_id": pl.Int64, "score": pl.Float32}, orient="row"
    )


def asked(answers):
    """Targets from query → item, two queries a member."""
    return pl.DataFrame(
        {"query": list(answers), "user_id": [q // 2 for q in answers], "item_id": list(answers.values())},
        schema_overrides={"query": pl.Int64, "item_id": pl.Int64},
    )


@st.composite
def problems(draw):
    n = draw(st.integers(1, 12))
    items = st.lists(st.integers(0, 30), unique=True, max_size=15)
    lists = {q: draw(items) for q in range(n)}
    answers = {q: draw(st.integers(0, 30)) for q in draw(st.permutations(range(n)))}
    return lists, answers


@given(problems())
@settings(deadline=None)
def test_agree_with_plain_definitions(problem):
    lists, answers = problem
    ranked = ranks(table(lists), asked(answers))
    assert ranked["query"].to_list() == list(answers)
    expected = [lists[q].index(item) + 1 if item in lists[q] else None for q, item in answers.items()]
    assert ranked["rank"].to_list() == expected
    values = accuracy(ranked, CUTOFFS)
    assert list(values) == [f"{name}@{k}" for name in ("ndcg", "hr", "mrr") for k in CUTOFFS]
    for k in CUTOFFS:
        for row, rank in enumerate(expected):
            hit = rank is not None and rank <= k
            assert values[f"hr@{k}"][row] == hit
            assert values[f"mrr@{k}"][row] == pytest.approx(1 / rank if hit else 0)
            assert values[f"ndcg@{k}"][row] == pytest.approx(1 / math.log2(rank + 1) if hit else 0)


def test_perfect_and_worst_rankings():
    answers = {q: q for q in range(6)}
    perfect = accuracy(ranks(table({q: [q, 99] for q in answers}), asked(answers)), CUTOFFS)
    worst = accuracy(ranks(table({q: [99, 98] for q in answers}), asked(answers)), CUTOFFS)
    assert all((values == 1).all() for values in perfect.values())
    assert all((values == 0).all() for values in worst.values())


def test_a_query_without_recommendations_is_a_miss():
    ranked = ranks(table({0: [5]}), asked({0: 5, 1: 5}))
    assert ranked["rank"].to_list() == [1, None]
    assert np.mean(accuracy(ranked, (1,))["hr@1"]) == 0.5


@given(problems())
@settings(deadline=None)
def test_metrics_order_as_they_must(problem):
    lists, answers = problem
    values = accuracy(ranks(table(lists), asked(answers)), CUTOFFS)
    for k in CUTOFFS:
        assert (values[f"mrr@{k}"] <= values[f"ndcg@{k}"]).all()
        assert (values[f"ndcg@{k}"] <= values[f"hr@{k}"]).all()
    for name in ("ndcg", "hr", "mrr"):
        assert (values[f"{name}@1"] <= values[f"{name}@5"]).all()
        assert (values[f"{name}@5"] <= values[f"{name}@10"]).all()


@pytest.mark.parametrize(
    ("recommendations", "targets", "message"),
    [
        (table({0: [5, 5]}), asked({0: 5}), "1 rows repeat query and item_id"),
        (pl.concat([table({0: [5]}), table({0: [6]})]), asked({0: 5}), "repeat query and rank"),
        (table({0: [5]}), pl.concat([asked({0: 5}), asked({0: 6})]), "targets: 1 rows repeat query"),
    ],
)
def test_tables_that_would_give_wrong_figures_are_refused(recommendations, targets, message):
    with pytest.raises(DataError, match=message):
        ranks(recommendations, targets)


def test_a_missing_column_is_named():
    with pytest.raises(MissingColumnError, match="recommendations: no column rank"):
        ranks(table({0: [5]}).drop("rank"), asked({0: 5}))
