"""If these fail, a model takes an item for shown in a place where it was not, and learns a wrong position bias."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.data import Dataset
from palate.simulate import preset, simulate
from palate.tokens import Vocabulary
from palate.tokens.impressions import NOT_CHOSEN, chosen_positions, encode_impressions, longest_impressions

LETTERS = Vocabulary(table=pl.DataFrame({"value": list("abcdef"), "count": [1] * 6}))
A, B, C, D = 2, 3, 4, 5


def encoded(lists: list[list[str] | None], target: list[int], width: int) -> list[list[int]]:
    column = pl.Series("impressions", lists, dtype=pl.List(pl.String))
    return encode_impressions(column, np.array(target, np.int32), LETTERS, width).tolist()


@pytest.mark.parametrize(
    ("shown", "target", "width", "wanted"),
    [
        (["b", "a", "c"], A, 4, [B, A, C, 0]),
        (["b", "stranger", "a"], A, 3, [B, 0, A]),
        (["b", "a", "b", "a", "c"], A, 5, [B, A, 0, 0, C]),
        (["b", "c"], A, 3, [0, 0, 0]),
        (["b", "c", "d", "a"], A, 3, [0, 0, 0]),
        (["b", "a", "d", "c"], A, 2, [B, A]),
        (["b", "stranger"], 1, 2, [0, 0]),
        (["b", "a"], 0, 2, [0, 0]),
        ([], A, 2, [0, 0]),
        (None, A, 2, [0, 0]),
    ],
    ids=[
        "in order",
        "unknown items keep their place",
        "a repetition counts where it came first",
        "target not shown",
        "target cut off",
        "the rest cut off",
        "unknown target",
        "no target",
        "nothing shown",
        "no impressions",
    ],
)
def test_a_list(shown: list[str] | None, target: int, width: int, wanted: list[int]) -> None:
    assert encoded([shown], [target], width) == [wanted]
    other = ["d", "c"]
    assert encoded([other, shown, None], [D, target, A], width)[1] == wanted, "rows don't touch one another"


def test_a_column_without_any_list() -> None:
    nothing = pl.Series("impressions", [None, None])
    assert longest_impressions(nothing) == 0
    assert longest_impressions(nothing.cast(pl.List(pl.String))) == 0
    shown = encode_impressions(nothing, np.array([A, B], np.int32), LETTERS, 3)
    assert shown.dtype == np.int32
    assert not shown.any()
    empty = encode_impressions(nothing, np.array([A, B], np.int32), LETTERS, 0)
    assert empty.shape == (2, 0)
    assert chosen_positions(empty, np.array([A, B], np.int32)).tolist() == [NOT_CHOSEN] * 2


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.lists(st.sampled_from("abcdefgh"), max_size=7)), st.integers(0, 7)),
        max_size=20,
    ),
    st.integers(1, 8),
)
def test_like_the_plain_way(rows: list[tuple[list[str] | None, int]], width: int) -> None:
    lists, targets = [shown for shown, _ in rows], [target for _, target in rows]
    found = encoded(lists, targets, width)
    indices = {letter: place + 2 for place, letter in enumerate("abcdef")}
    for shown, target, row in zip(lists, targets, found, strict=True):
        wanted = [0] * width
        for place, letter in enumerate((shown or [])[:width]):
            if indices.get(letter, 0) not in wanted:
                wanted[place] = indices[letter]
        assert row == (wanted if target >= 2 and target in wanted else [0] * width)
    positions = chosen_positions(np.array(found, np.int32).reshape(len(rows), width), np.array(targets, np.int32))
    for row, target, position in zip(found, targets, positions.tolist(), strict=True):
        assert (position == NOT_CHOSEN) == (not any(row))
        assert position == NOT_CHOSEN or row[position] == target


def test_every_choice_from_a_simulated_row_is_found() -> None:
    simulation = simulate(preset("tiny"))
    dataset = Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=simulation.schema)
    vocabulary = Vocabulary.fit(dataset.events["item_id"])
    column = dataset.events["impressions"]
    plays = (dataset.events["event_type"] == "play").to_numpy()
    target = np.where(plays, vocabulary.encode(dataset.events["item_id"]), 0).astype(np.int32)
    assert longest_impressions(column) == 10
    shown = encode_impressions(column, target, vocabulary, 10)
    position = chosen_positions(shown, target)
    np.testing.assert_array_equal(position != NOT_CHOSEN, plays & column.is_not_null().to_numpy())
    rows = np.flatnonzero(position != NOT_CHOSEN)
    frequency = np.bincount(position[rows], minlength=10)
    assert frequency[0] > frequency[9], "first places are chosen more often"
