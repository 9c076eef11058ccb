"""A user would lose comparability: a figure without its protocol, a slice without its n."""

import io
import json

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from rich.console import Console

from palate.data.split import Part, queries, split
from palate.errors import EmptyTableError
from palate.evaluate.evaluate import evaluate
from palate.evaluate.evaluation import Evaluation, EvaluationConfig
from palate.evaluate.slices import popularity_groups, slice_masks, training_popularity
from palate.terminal.tables import evaluation_tables

QUICK = EvaluationConfig(resamples=200, flips=200)


def lists(targets, k, seed, *, hit=0.0):
    """Random lists of items 1–26, each with the target in front with probability ``hit``."""
    random = np.random.default_rng(seed)
    rows = []
    for query, target in targets.select("query", "item_id").iter_rows():
        items = random.permutation(np.arange(1, 27)).tolist()
        if random.random() < hit:
            items.remove(target)
            items.insert(0, target)
        rows += [(query, rank, item, -float(rank)) for rank, item in enumerate(items[:k], 1)]
    return pl.DataFrame(rows, schema=["query", "rank", "item_id", "score"], orient="row")


@pytest.fixture(scope="module")
def case(dataset):
    parts = split(dataset)
    return dataset, parts, queries(dataset, parts, Part.TEST)


@pytest.fixture(scope="module")
def result(case):
    dataset, parts, targets = case
    return evaluate(
        lists(targets, 10, 0, hit=0.5),
        targets,
        dataset,
        parts,
        Part.TEST,
        config=QUICK,
        baselines={"random": lists(targets, 25, 1)},
        compare_with={"other": lists(targets, 5, 2, hit=0.5)},
    )


def test_the_protocol_is_stated(result, case):
    dataset, _, targets = case
    protocol = result.protocol
    assert (protocol.part, protocol.split.kind) == ("test", "temporal")
    assert protocol.targets == len(targets)
    assert protocol.members == targets["user_id"].n_unique()
    assert protocol.catalogue_size == 26
    assert protocol.cutoffs == (1, 5, 10), "no cut-off beyond the table"
    assert protocol.query_time_known
    assert protocol.seen_items == dataset.schema.seen_items
    assert protocol.diversity_column == "genres"


def test_figures(result):
    assert result.metrics["hr@1"].value > 0.3
    assert result.metrics["hr@1"].value == result.metrics["ndcg@1"].value
    assert set(result.metrics) == {
        f"{name}@{k}"
        for name in ("ndcg", "hr", "mrr", "next_recall", "coverage", "novelty", "diversity")
        for k in (1, 5, 10)
    } - {"diversity@1"}
    assert "hr@25" in result.baselines["random"]
    assert set(result.baselines) == {"random"}
    assert result.comparison["random"]["ndcg@10"].p_value < 0.05
    assert result.comparison["random"]["ndcg@10"].low > 0
    assert set(result.comparison["other"]) == {
        f"{name}@{k}" for name in ("ndcg", "hr", "mrr", "next_recall") for k in (1, 5)
    }


def test_slices_divide_the_targets(result):
    for groups in result.slices.values():
        assert sum(group.targets for group in groups.values()) == result.protocol.targets
        for group in groups.values():
            assert bool(group.metrics) == (group.targets > 0)
            assert group.members <= group.targets
    weighted = sum(
        group.targets * group.metrics["hr@10"].value
        for group in result.slices["target_popularity"].values()
        if group.targets
    )
    assert weighted / result.protocol.targets == pytest.approx(result.metrics["hr@10"].value)


def test_one_json_object_that_reads_back(result):
    text = result.to_json()
    content = json.loads(text, parse_constant=pytest.fail)
    assert set(content) == {"protocol", "metrics", "slices", "baselines", "comparison", "heads"}
    assert set(content["metrics"]["ndcg@10"]) == {"value", "low", "high"}
    assert Evaluation.model_validate_json(text) == result


def test_the_same_tables_give_the_same_result(result, case):
    dataset, parts, targets = case
    again = evaluate(
        lists(targets, 10, 0, hit=0.5).sample(fraction=1, shuffle=True, seed=1),
        targets,
        dataset,
        parts,
        Part.TEST,
        config=QUICK,
    )
    assert again.metrics == result.metrics


def test_head_mid_tail_hold_their_shares():
    popularity = pl.DataFrame({"item_id": range(8), "events": [50, 20, 10, 8, 4, 4, 2, 2]})
    groups = popularity_groups(popularity, head=0.5, tail=0.2)
    assert dict(groups.iter_rows()) == dict(enumerate(["head", "mid", "mid", "tail", "tail", "tail", "tail", "tail"]))


def test_slices_look_at_training_alone(case):
    dataset, parts, targets = case
    popularity = training_popularity(dataset, parts)
    assert popularity["events"].sum() == (parts.part == Part.TRAIN).sum()
    masks = slice_masks(targets, popularity, history_edges=(0, 1, 5), head=0.5, tail=0.2)
    trained = targets["item_id"].is_in(popularity["item_id"].implode()).to_numpy()
    assert (masks["target_popularity"]["cold"] == ~trained).all()
    assert list(masks["history_length"]) == ["0", "1-4", "5+"]
    assert (masks["member"]["cold"] == masks["history_length"]["0"]).all()


def test_nothing_to_evaluate(case):
    dataset, parts, targets = case
    with pytest.raises(EmptyTableError):
        evaluate(lists(targets, 5, 0), targets.clear(), dataset, parts, Part.TEST)


def test_a_model_that_recommends_nothing_misses_everything(case):
    dataset, parts, targets = case
    nothing = lists(targets, 5, 0).clear()
    found = evaluate(nothing, targets, dataset, parts, Part.TEST, config=QUICK, list_length=10)
    assert found.metrics["hr@10"].value == found.metrics["coverage@10"].value == 0
    assert "novelty@10" not in found.metrics, "there is no list that could be novel"


@pytest.mark.parametrize(
    "settings", [{"cutoffs": (5, 1)}, {"cutoffs": ()}, {"head_share": 0.9}, {"history_edges": (1, 2)}, {"cutofs": (1,)}]
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ValidationError):
        EvaluationConfig(**settings)


def test_tables_can_be_read(result):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(evaluation_tables(result, name="mine"))
    text = console.export_text()
    for expected in ("mine", "random", "ndcg", "head", "±", "95%", "slices"):
        assert expected in text
