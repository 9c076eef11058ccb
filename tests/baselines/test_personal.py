"""EASE and item-kNN against their definitions; a user would lose a baseline that is worth beating."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from palate.baselines.choose import choose, standard
from palate.baselines.ease import Ease, EaseConfig, item_weights, memory_bytes
from palate.baselines.knn import ItemKnn, ItemKnnConfig, neighbours
from palate.baselines.matrix import HistoryMatrix, training_matrix
from palate.baselines.popular import Popular
from palate.baselines.select import best_on_validation
from palate.baselines.transitions import Transitions
from palate.data.rule import SplitRule
from palate.data.split import Part, is_target, queries, split
from palate.errors import ConfigError
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.catalogue import known_items, tie_break
from palate.rank.recommend import recommend


def ones(seed=0, members=40, items=12):
    return (np.random.default_rng(seed).random((members, items)) < 0.3).astype(np.float32)


def test_ease_solves_its_own_problem():
    """B is the least squares solution of X ≈ XB with λ‖B‖² and a zero diagonal, column by column."""
    X, l2 = ones().astype(np.float64), 5.0
    B = item_weights((X.T @ X).astype(np.float32), l2)
    assert (np.diag(B) == 0).all()
    for j in range(X.shape[1]):
        others = np.delete(np.arange(X.shape[1]), j)
        A = X[:, others]
        exact = np.linalg.solve(A.T @ A + l2 * np.eye(len(others)), A.T @ X[:, j])
        assert B[others, j] == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_neighbours_are_the_most_alike(monkeypatch, block):
    monkeypatch.setattr("palate.baselines.knn._BLOCK", block)
    X = ones()
    ties = tie_break(pl.Series(range(12)))
    found = neighbours(sparse.csr_array(X), ties, ItemKnnConfig(neighbours=3, shrinkage=2)).toarray()
    both = X.T @ X
    similar = both / (np.sqrt(np.outer(np.diag(both), np.diag(both))) + 2)
    np.fill_diagonal(similar, 0)
    for row, expected in zip(found, similar, strict=True):
        best = np.sort(expected)[::-1][:3]
        assert np.sort(row)[::-1][:3] == pytest.approx(best, abs=1e-6)
        assert (row > 0).sum() == (best > 0).sum()
        assert row[row > 0] == pytest.approx(expected[row > 0], abs=1e-6)


def test_histories_are_the_target_events_before_the_query(timed):
    catalogue = known_items(timed)
    asked = queries(timed, split(timed), Part.TEST)[::11]
    matrix = HistoryMatrix(timed, catalogue).before(asked).toarray()
    for row, query in zip(matrix, asked.iter_rows(named=True), strict=True):
        earlier = timed.events.slice(0, query["query"]).filter(
            (pl.col("user_id") == query["user_id"]) & (pl.col("event_type") == "play")
        )
        assert set(catalogue.filter(pl.Series(row > 0))) == set(earlier["item_id"])
        assert set(np.unique(row)) <= {0.0, 1.0}


def test_transitions_count_what_followed(timed):
    division = split(timed)
    scorer = Transitions.fit(timed, division)
    asked = queries(timed, division, Part.TEST)[::7]
    scores = scorer.score(asked).numpy()
    targets = timed.events.with_row_index("row").filter(
        pl.Series(is_target(timed)) & timed.events["item_id"].is_in(scorer.catalogue.implode())
    )
    learned = targets.filter(pl.Series(division.part == Part.TRAIN).gather(targets["row"]))
    for row, query in zip(scores, asked.iter_rows(named=True), strict=True):
        own = targets.filter((pl.col("user_id") == query["user_id"]) & (pl.col("row") < query["query"]))["item_id"]
        pairs = learned.select("item_id", after=pl.col("item_id").shift(-1).over("user_id"))
        followed = pairs.filter(pl.col("item_id") == (own[-1] if len(own) else None))["after"].drop_nulls().to_list()
        assert np.floor(row).tolist() == [followed.count(item) for item in scorer.catalogue]


def test_training_matrix_holds_the_training_part_alone(timed):
    parts = split(timed)
    X = training_matrix(timed, parts, known_items(timed))
    trained = timed.events.filter(pl.Series(parts.part == Part.TRAIN) & (pl.col("event_type") == "play"))
    assert X.sum() == len(trained.unique(["user_id", "item_id"]))


@pytest.mark.parametrize("cls", [Ease, ItemKnn])
def test_taste_is_learned(cls, timed):
    """Members like even or odd items; a personal baseline must see it, popularity can't."""
    parts = split(timed)
    asked = queries(timed, parts, Part.TEST)

    def figure(scorer):
        return accuracy(ranks(recommend(scorer, timed, asked), asked), (10,))["ndcg@10"].mean()

    assert figure(cls.fit(timed, parts)) > 1.3 * figure(Popular.fit(timed, parts))


@pytest.mark.parametrize("cls", [Ease, ItemKnn])
def test_members_without_history_get_what_is_popular(cls, timed):
    parts = split(timed)
    asked = queries(timed, parts, Part.TEST).head(1).with_columns(user_id=pl.lit(9999, pl.Int64))
    personal = recommend(cls.fit(timed, parts), timed, asked, k=5)
    X = training_matrix(timed, parts, known_items(timed))
    members = dict(zip(known_items(timed), X.sum(axis=0), strict=True))
    chosen = [members[item] for item in personal["item_id"]]
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[0] == max(members.values())


def test_the_setting_is_chosen_on_validation(timed):
    parts = split(timed)
    asked = queries(timed, parts, Part.VALIDATION)

    def figure(l2):
        scorer = Ease.fit(timed, parts, EaseConfig(l2=(l2,)))
        return accuracy(ranks(recommend(scorer, timed, asked), asked), (10,))["ndcg@10"].mean()

    grid = (1.0, 30.0, 1e5)
    assert Ease.fit(timed, parts, EaseConfig(l2=grid)).l2 == max(grid, key=figure)


def test_nothing_to_choose_by(timed):
    whole = split(timed, SplitRule(kind="none"))
    with pytest.raises(ConfigError, match="no validation targets"):
        Ease.fit(timed, whole)
    assert Ease.fit(timed, whole, EaseConfig(l2=(10,))).l2 == 10


def test_few_validation_targets_are_enough(timed):
    tried = []

    def build(setting):
        tried.append(setting)
        return Popular.fit(timed, split(timed))

    best_on_validation([1.0, 2.0], build, timed, split(timed), catalogue=known_items(timed), at_most=3)
    assert tried == [1, 2]


def test_size_decides(timed, ordered):
    parts = split(timed)
    assert isinstance(choose(timed, parts), Ease)
    assert isinstance(choose(timed, parts, memory=memory_bytes(5)), ItemKnn)
    assert list(standard(timed, parts)) == [
        "popular",
        "recent_popular",
        "popular_rolling",
        "recent_popular_rolling",
        "transitions",
        "ease",
    ]
    assert list(standard(ordered, split(ordered))) == ["popular", "transitions", "ease"]
