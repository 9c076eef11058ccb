"""A user would lose trust: titles that don't exist yet, have left, or were bought already, must not be offered."""

import polars as pl
import pytest
import torch

from palate.data.availability import available_from
from palate.data.split import Part, Split, present_queries, queries, split
from palate.rank.candidates import Candidates
from palate.rank.catalogue import codes, known_items, tie_break


def everything(dataset):
    """Every target event as a query."""
    whole = split(dataset)
    return queries(dataset, Split(whole.rule, whole.part * 0, None), Part.TRAIN)


def naive(dataset, query, excluded):
    """The allowed items of one query, by the words of the contract."""
    events = dataset.events.slice(0, query["query"]).filter(pl.col("user_id") == query["user_id"])
    if excluded is not None:
        events = events.filter(pl.col("event_type").is_in(excluded))
    seen = set(events["item_id"])
    allowed = set()
    for item in available_from(dataset).iter_rows(named=True):
        if dataset.has_time:
            late = item["available_until"]
            if item["available_from"] > query["timestamp"] or (late is not None and query["timestamp"] > late):
                continue
        if item["item_id"] not in seen:
            allowed.add(item["item_id"])
    return allowed


def check(dataset, asked, excluded):
    catalogue = known_items(dataset)
    mask = Candidates(dataset, catalogue).mask(asked).numpy()
    for row, query in zip(mask, asked.iter_rows(named=True), strict=True):
        assert set(catalogue.filter(pl.Series(row))) == naive(dataset, query, excluded)


def test_mask_is_what_the_contract_says(dataset):
    check(dataset, everything(dataset), ["buy"])


def test_mask_without_time(without_time):
    check(without_time, everything(without_time), None)


def test_mask_of_the_present(dataset, without_time):
    check(dataset, present_queries(dataset), ["buy"])
    check(without_time, present_queries(without_time), None)


def test_blocks_in_any_order_agree(dataset):
    asked = everything(dataset)
    candidates = Candidates(dataset, known_items(dataset))
    shuffled = asked.with_row_index().sample(fraction=1, shuffle=True, seed=0)
    whole = candidates.mask(asked)
    for block in shuffled.iter_slices(7):
        assert (candidates.mask(block.drop("index")) == whole[block["index"].to_list()]).all()


def test_a_catalogue_may_hold_other_items_than_the_data(dataset):
    catalogue = pl.Series("item_id", [105, 999, 101])
    asked = everything(dataset)
    mask = Candidates(dataset, catalogue).mask(asked)
    full = Candidates(dataset, known_items(dataset)).mask(asked)
    assert not mask[:, 1].any(), "an item that the data don't know does not exist"
    assert (mask[:, 0] == full[:, codes(catalogue, known_items(dataset))[0]]).all()


def test_among_some_items_no_other_is_there(dataset):
    candidates, asked = Candidates(dataset, known_items(dataset)), everything(dataset)
    some = torch.arange(len(candidates.catalogue)) % 3 > 0
    narrow = candidates.among(some)
    assert (narrow.mask(asked) == candidates.mask(asked) & some).all()
    assert (narrow.available(asked, slice(1, 4)) == candidates.available(asked, slice(1, 4)) & some[1:4]).all()
    assert (narrow.of_members(dataset).mask(asked) == narrow.mask(asked)).all()


def test_a_member_without_events_has_seen_nothing(dataset):
    asked = everything(dataset).head(1).with_columns(user_id=pl.lit(77, pl.Int64))
    candidates = Candidates(dataset, known_items(dataset))
    assert (candidates.mask(asked) == candidates.available(asked)).all()


@pytest.mark.parametrize("as_text", [False, True])
def test_ties_go_by_hash_and_not_by_id(as_text):
    catalogue = pl.Series("item_id", range(1, 1001))
    rank = tie_break(catalogue.cast(pl.String) if as_text else catalogue)
    assert sorted(rank.tolist()) == list(range(1000))
    assert rank.tolist() == tie_break(catalogue).tolist(), "ids of equal text tie alike"
    assert abs(float(pl.DataFrame({"a": catalogue, "b": rank.numpy()}).select(pl.corr("a", "b")).item())) < 0.1
    few = tie_break(catalogue[:50])
    assert (rank[:50].argsort() == few.argsort()).all(), "the order of two items doesn't depend on the others"
