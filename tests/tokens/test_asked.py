"""If these fail, sessions are counted across members or cuts, or an old acquaintance is called a discovery."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data import Dataset, Part, Schema, split
from palate.tokens import Asked, Familiar
from tests.tokens.worlds import with_events, with_items, world

MINUTE = 60_000


def small(rows: list[tuple[int, int, int, bool]], *, session_id: bool, groups: bool) -> Dataset:
    """Members, items, minutes since the event before, and whether it is a play."""
    time, events = 1_700_000_000_000, []
    for number, (member, item, pause, play) in enumerate(sorted(rows, key=lambda row: row[0])):
        time += pause * MINUTE
        kind = "play" if play else "trailer"
        events.append((f"m{member}", f"t{item}", time, kind, f"s{number // 3}"))
    names = ["user_id", "item_id", "timestamp", "event_type", "session_id"]
    frame = pl.DataFrame(events, schema=names, orient="row").drop([] if session_id else ["session_id"])
    items = pl.DataFrame(
        {"item_id": [f"t{item}" for item in range(6)], "group_id": ["g0", "g0", "g1", "g1", None, None]}
    )
    schema = Schema(target_event_types=("play",), one_target_a_run=False, duplicate_events="keep")
    return Dataset.from_frames(frame, items if groups else None, schema=schema)


rows_of = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 60), st.booleans()), min_size=1, max_size=40
).filter(lambda rows: any(play for *_, play in rows))


@settings(max_examples=40, deadline=None)
@given(rows_of, st.booleans(), st.booleans())
def test_the_labels_are_those_of_a_plain_loop(
    rows: list[tuple[int, int, int, bool]], session_id: bool, groups: bool
) -> None:
    dataset = small(rows, session_id=session_id, groups=groups)
    asked = Asked.of(dataset)
    group_of = dict(dataset.items.select("item_id", "group_id").iter_rows()) if dataset.items is not None else {}
    items: set[str] = set()
    known: set[str] = set()
    before = None
    number = 0
    for place, row in enumerate(dataset.events.iter_rows(named=True)):
        if before is None or before["user_id"] != row["user_id"]:
            items, known, number = set(), set(), 0
        elif session_id:
            number += before["session_id"] != row["session_id"]
        else:
            number += row["timestamp"] - before["timestamp"] > 30 * MINUTE
        assert asked.session[place] == number
        group, play = group_of.get(row["item_id"]), row["event_type"] == "play"
        expected = Familiar.NONE
        if play and row["item_id"] in items:
            expected = Familiar.AGAIN
        elif play:
            expected = Familiar.CONTINUE if group in known else Familiar.DISCOVER
        assert asked.familiar[place] == expected
        assert asked.target[place] == play
        if play:
            items.add(row["item_id"])
            known |= {group} - {None}
        before = row


def test_a_trailer_makes_nothing_familiar() -> None:
    dataset = small([(0, 1, 1, False), (0, 1, 1, True), (0, 0, 1, True)], session_id=False, groups=True)
    assert Asked.of(dataset).familiar.tolist() == [Familiar.NONE, Familiar.DISCOVER, Familiar.CONTINUE]


def test_the_rest_of_a_run_makes_its_first_event_no_more_familiar() -> None:
    """Where the target is a trailer that a play of the same title follows."""
    dataset = small(
        [(0, 1, 1, False), (0, 1, 1, True), (0, 2, 1, False), (0, 1, 1, True)], session_id=False, groups=True
    )
    schema = dataset.schema.model_copy(update={"one_target_a_run": True})
    asked = Asked.of(Dataset(dataset.events, dataset.items, dataset.users, schema, dataset.report))
    assert asked.target.tolist() == [True, False, False, True]
    assert asked.familiar.tolist() == [Familiar.DISCOVER, Familiar.NONE, Familiar.NONE, Familiar.AGAIN]


@pytest.mark.parametrize("session_id", [True, False])
def test_a_cut_ends_a_session(session_id: bool) -> None:
    """Else labels of training would be made of what comes after it."""
    dataset = world(1, session_id=session_id)
    division = split(dataset)
    breaks = np.diff(division.part, prepend=division.part[:1]) != 0
    asked, plain = Asked.of(dataset, breaks), Asked.of(dataset)
    cut = np.setdiff1d(np.flatnonzero(breaks), dataset.member_starts)
    assert len(cut) > 3
    assert (np.diff(asked.session)[cut - 1] == 1).all()
    train = division.part == Part.TRAIN
    np.testing.assert_array_equal(asked.session[train], plain.session[train])


def test_sessions_are_numbered_within_a_member() -> None:
    """Else those of one member would depend on what another does."""
    dataset = world(2)
    whole = Asked.of(dataset)
    starts = np.append(dataset.member_starts, dataset.events.height)
    for low, high in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        own = Asked.of(with_events(dataset, dataset.events[low:high]))
        for alone, there in zip(own, whole, strict=True):
            np.testing.assert_array_equal(alone, there[low:high])


def test_without_items_there_are_no_groups() -> None:
    dataset = world(3)
    with_groups, without = Asked.of(dataset), Asked.of(with_items(dataset, None))
    assert (with_groups.familiar == Familiar.CONTINUE).any()
    assert not (without.familiar == Familiar.CONTINUE).any()
    again = with_groups.familiar == Familiar.AGAIN
    np.testing.assert_array_equal(again, without.familiar == Familiar.AGAIN)


def test_nothing_is_asked_of_nothing() -> None:
    asked = Asked.nothing(3)
    assert [column.tolist() for column in asked] == [[False] * 3, [0] * 3, [0] * 3]
    taken = Asked.of(world(4)).take(np.array([5, 2]))
    assert taken.target[1] == Asked.of(world(4)).target[2]
