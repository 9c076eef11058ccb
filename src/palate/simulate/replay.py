"""The recorded past once more, play by play: who had seen what before each play that is asked about.

Members go side by side through the titles they turned to, as in the walk. Before each play that is asked about, the
state is what it was then: in the middle of a viewing, what it would be if the viewing ended there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate import words
from palate.errors import DataError
from palate.simulate.choice import ChoiceModel
from palate.simulate.grid import Bools, Doubles, Floats, Ints, segment_starts, within
from palate.simulate.state import BROKEN, OPEN, State
from palate.simulate.timeline import AT_BREAK, FIRST
from palate.simulate.truth import STATUS, Truth

CELLS = 1 << 24


@dataclass(frozen=True)
class Record:
    """The truth about plays, viewings and sessions as arrays."""

    play: dict[str, NDArray[Any]]
    viewing: dict[str, NDArray[Any]]
    session: dict[str, NDArray[Any]]
    before: Ints
    """[P] the play before in the same session, or -1."""
    first_viewing: Ints
    """[M] row of each member's first viewing."""
    viewings: Ints
    """[M] how many they have."""
    first_play: Ints
    """[W] row of each viewing's first play."""
    plays: Ints
    """[W] how many it has."""

    @classmethod
    def of(cls, truth: Truth) -> Record:
        """Take what is needed from the tables."""
        play = {name: truth.plays[name].to_numpy() for name in ("viewing", "item", "begins", "ends", "run")}
        names = ("session", "number", "title", "trailer", "liked", "listed", "episode", "played", "progress")
        viewing = {name: truth.viewings[name].to_numpy() for name in names}
        viewing["status"] = _codes(truth.viewings["status"], STATUS)
        viewing["left"] = np.zeros(len(viewing["title"]))
        session = {name: truth.sessions[name].to_numpy() for name in ("member", "day", "hour", "device")}
        of_session = viewing["session"][play["viewing"]]
        before = np.arange(len(of_session)) - 1
        before[:1] = -1
        opens = np.ones(len(of_session), dtype=bool)
        opens[1:] = of_session[1:] != of_session[:-1]
        viewings = np.bincount(session["member"][viewing["session"]], minlength=truth.members.height)
        plays = np.bincount(play["viewing"], minlength=len(viewing["title"]))
        return cls(
            play=play,
            viewing=viewing,
            session=session,
            before=np.where(opens, -1, before),
            first_viewing=segment_starts(viewings),
            viewings=viewings,
            first_play=segment_starts(plays),
            plays=plays,
        )


def _codes(values: pl.Series, names: tuple[str, ...]) -> Ints:
    return values.replace_strict(list(names), list(range(len(names))), return_dtype=pl.Int64).to_numpy()


def rows_of(truth: Truth, queries: pl.DataFrame) -> Ints:
    """The row of each query among the plays of the truth; `DataError` where one is no play."""
    keys = truth.plays.select(words.USER_ID, words.TIMESTAMP).with_row_index("row")
    asked = queries.select(
        pl.col(words.USER_ID).cast(pl.String), pl.col(words.TIMESTAMP).cast(pl.Int64)
    ).with_row_index("at")
    found = asked.join(keys, on=[words.USER_ID, words.TIMESTAMP], how="left").sort("at")
    missing = found.filter(pl.col("row").is_null())
    if missing.height:
        user, moment = missing.select(words.USER_ID, words.TIMESTAMP).row(0)
        raise DataError(
            f"{missing.height} of {found.height} queries are no play of this simulation: "
            f"for example {words.USER_ID} {user} at {words.TIMESTAMP} {moment}",
            hint="an oracle knows the truth of plays only: ask for target events of the data written beside it",
        )
    return found["row"].to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Asked:
    """Some plays that are asked about, of different members."""

    play: Ints
    """[N] row among the plays."""
    member: Ints
    """[N] number among all members."""
    place: Ints
    """[N] the member's place in the state."""


Turned = Callable[[Ints, Ints, State], None]


def answers(
    choice: ChoiceModel,
    record: Record,
    rows: Ints,
    by_item: Callable[[Asked, State], Doubles],
    turned: Turned | None = None,
    through: Turned | None = None,
) -> Floats:
    """Logarithms [Q, V] of what ``by_item`` says [N, V] of the plays in ``rows [Q]``; the rest as in `replay`."""
    plays, which = np.unique(rows, return_inverse=True)
    table = np.empty((len(plays), int(choice.shelf.size.sum())), dtype=np.float32)

    def ask(asked: Asked, state: State) -> None:
        with np.errstate(divide="ignore"):
            table[np.searchsorted(plays, asked.play)] = np.log(by_item(asked, state))

    replay(choice, record, rows, ask, turned, through)
    return table if np.array_equal(which, np.arange(len(rows))) else table[which]


def replay(
    choice: ChoiceModel,
    record: Record,
    rows: Ints,
    ask: Callable[[Asked, State], None],
    turned: Turned | None = None,
    through: Turned | None = None,
) -> None:
    """Call ``ask`` for all plays in ``rows``, member block by member block.

    ``turned`` is called with viewings and their members' places before they change the state, for all viewings of
    members that are asked about, up to the last one that is; ``through`` when they are through with them.
    """
    wanted: Bools = np.zeros(len(record.before), dtype=bool)
    wanted[rows] = True
    member_of = record.session["member"][record.viewing["session"][record.play["viewing"]]]
    members = np.unique(member_of[rows])
    each = max(1, CELLS // len(choice.shelf.first))
    for start in range(0, len(members), each):
        _replay_block(choice, record, wanted, members[start : start + each], ask, turned, through)


def _replay_block(
    choice: ChoiceModel,
    record: Record,
    wanted: Bools,
    members: Ints,
    ask: Callable[[Asked, State], None],
    turned: Turned | None,
    through: Turned | None,
) -> None:
    count = record.viewings[members]
    state = State(choice.shelf, count)
    asked_viewing = np.zeros(len(record.plays), dtype=bool)
    asked_viewing[record.play["viewing"][wanted]] = True
    # No further than the last viewing that is asked about.
    viewing = np.repeat(record.first_viewing[members], count) + within(count)
    ordinal = within(count)
    last = np.zeros(len(members), dtype=np.int64)
    np.maximum.at(last, np.repeat(np.arange(len(members)), count), np.where(asked_viewing[viewing], ordinal + 1, 0))
    order = np.argsort(-last, kind="stable")
    for number in range(int(last.max(initial=0))):
        place = order[: np.searchsorted(-last[order], -number, side="left")]
        rows = record.first_viewing[members[place]] + number
        _replay_viewings(record, wanted, members, rows, place, state, ask, turned, through)


def _replay_viewings(
    record: Record,
    wanted: Bools,
    members: Ints,
    rows: Ints,
    place: Ints,
    state: State,
    ask: Callable[[Asked, State], None],
    turned: Turned | None,
    through: Turned | None,
) -> None:
    """One viewing of each of these members."""
    viewing, play = record.viewing, record.play
    first = record.first_play[rows]
    some = np.nonzero(record.plays[rows] > 0)[0]
    some = some[wanted[first[some]] & (play["begins"][first[some]] == FIRST)]
    if len(some):
        ask(Asked(first[some], members[place[some]], place[some]), state)
    if turned is not None:
        turned(rows, place, state)
    title = viewing["title"][rows]
    state.turn_to(place, title)
    unsure = np.full(len(rows), 0.5)
    for step in range(1, int(record.plays[rows].max(initial=0))):
        some = np.nonzero(record.plays[rows] > step)[0]
        some = some[wanted[first[some] + step]]
        if not len(some):
            continue
        before = first[some] + step - 1
        broken = play["ends"][before] == AT_BREAK
        seen = viewing["episode"][rows[some]] + play["run"][before] + ~broken
        state.leave(place[some], title[some], np.where(broken, BROKEN, OPEN), seen, unsure[some])
        ask(Asked(first[some] + step, members[place[some]], place[some]), state)
    if through is not None:
        through(rows, place, state)
    state.leave(place, title, viewing["status"][rows], viewing["progress"][rows], viewing["left"][rows])
    listed = viewing["listed"][rows]
    state.listed[place[listed >= 0]] = listed[listed >= 0]
