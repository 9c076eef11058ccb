"""The walk through the sessions: to which titles members turn, one after another.

What a choice depends on beyond its session is what its member has seen before, so the members of a block go side by
side: everybody's first title, then everybody's second. All that doesn't depend on the past is drawn beforehand for the
whole block: titles that come to mind, in order. Each is taken with the probability that the past leaves it; the first
one taken is chosen. That is the distribution of `palate.simulate.choice.probabilities`; where none of them is taken,
it is drawn from outright.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from palate.simulate.catalogue import Catalogue
from palate.simulate.choice import (
    FOLLOWED,
    LATEST_FIRST,
    LIKED,
    ChoiceModel,
)
from palate.simulate.grid import Floats, Ints, draw, segment_starts
from palate.simulate.members import Members
from palate.simulate.plan import IDEAS, SEES, Plan, make_plan
from palate.simulate.rows import LENGTH
from palate.simulate.sessions import Sessions
from palate.simulate.state import ABANDONED, DISLIKED, FRESH, State
from palate.simulate.viewing import EPISODES, break_rate, completion, run_course

VIA: Final = ("search", "row", "watchlist", "rewatch", "continue", "trailer")
"""What led to a title, in the order of their codes."""
SEARCH, ROW, WATCHLIST, AGAIN, GOING_ON, TRAILER = range(6)
CAUSES: Final = ("stayed", "price", "content", "disappointment")
"""Why members leave: the price rises, they have seen what they like, they abandon what they try."""

_MEMORY: Final = 0.15
"""Weight of the last viewing in how content a member is."""


@dataclass(frozen=True)
class Viewings:
    """Titles that members turned to, sorted by member and time; W of them. E is the most episodes of one."""

    session: Ints
    """[W] row in `Sessions`."""
    number: Ints
    """[W] how many came before in the session."""
    title: Ints
    via: Ints
    """[W] index in `VIA`."""
    row: Ints
    """[W] the row of the service that was looked at, or -1."""
    place: Ints
    """[W] place in that row, from 0, or -1."""
    shown: NDArray[np.int32]
    """[W, LENGTH] items of that row as the member saw them, or -1."""
    trailer: Ints
    """[W] title whose trailer was watched just before, or -1."""
    liked: Ints
    """[W] whether that trailer pleased."""
    listed: Ints
    """[W] title put on the watchlist after this one, or -1: only at the end of a session."""
    utility: Floats
    """[W] of the title for the member at that moment: the true relevance, on a log scale."""
    match: Floats
    """[W] utility of taste and quality alone."""
    episode: Ints
    """[W] number of the first item within its title."""
    played: Ints
    """[W] items played."""
    upto: Floats
    """[W, E] share of each item that was wanted."""
    breaks: NDArray[np.int8]
    """[W, E]"""
    returns: NDArray[np.int8]
    """[W, E] breaks after which the member came back."""
    begin: Floats
    """[W] share of the first item that had been seen before."""
    shift: Floats
    """[W] where the breaks lie between their even places."""
    status: Ints
    """[W] what the title is afterwards."""
    progress: Ints
    """[W] episodes seen to their end."""


@dataclass(frozen=True)
class Left:
    """How members of a block ended."""

    cause: Ints
    """[M] index in `CAUSES`."""
    session: Ints
    """[M] sessions that took place."""


def walk(
    members: Members, catalogue: Catalogue, sessions: Sessions, choice: ChoiceModel, rng: np.random.Generator
) -> tuple[Viewings, Left]:
    """Let every session take place."""
    plan = make_plan(members, sessions, choice, rng)
    member = sessions.member[plan.session]
    planned = np.bincount(member, minlength=len(members))
    busy_first = np.argsort(-planned, kind="stable")
    start = segment_starts(planned)
    walker = _Walker(members, catalogue, sessions, choice, plan, planned)
    rounds = int(planned.max(initial=0))
    still = np.searchsorted(-planned[busy_first], -np.arange(rounds), side="left")
    for number in range(rounds):
        some = busy_first[: still[number]]
        some = some[walker.here[some]]
        if len(some):
            walker.turn(start[some] + number, some)
    return walker.finished()


class _Walker:
    """The members of a block on their way."""

    def __init__(
        self,
        members: Members,
        catalogue: Catalogue,
        sessions: Sessions,
        choice: ChoiceModel,
        plan: Plan,
        planned: Ints,
    ) -> None:
        M, W = len(members), len(plan.session)
        self.members, self.catalogue, self.sessions, self.choice, self.plan = members, catalogue, sessions, choice, plan
        self.state = State(choice.shelf, planned)
        self.here = np.ones(M, dtype=bool)
        self.cause = np.where(members.price_day < choice.config.days, 1, 0)
        self.had = np.zeros(M, dtype=np.int64)
        self.let_down = np.full(M, 0.2)
        self.nothing_new = np.zeros(M)
        self.rate = break_rate(choice.config, sessions.device)
        self.title = np.full(W, -1)
        self.via, self.place, self.trailer, self.listed = (np.full(W, -1) for _ in range(4))
        self.liked, self.episode, self.played, self.status, self.progress = (
            np.zeros(W, dtype=np.int64) for _ in range(5)
        )
        self.shown = np.full((W, LENGTH), -1, dtype=np.int32)
        self.match, self.begin, self.utility = (np.zeros(W, dtype=np.float32) for _ in range(3))
        self.shift = (0.8 * (plan.uniform[:, 7] - 0.5)).astype(np.float32)
        self.upto = np.zeros((W, EPISODES), dtype=np.float32)
        self.breaks, self.returns = (np.zeros((W, EPISODES), dtype=np.int8) for _ in range(2))

    def turn(self, rows: Ints, member: Ints) -> None:
        """These planned viewings, one of each of these members: what, and how far."""
        plan, state = self.plan, self.state
        opens = plan.number[rows] == 0
        stays = self._stay(rows, member, opens)
        if not stays.all():
            rows, member, opens = rows[stays], member[stays], opens[stays]
            if not len(rows):
                return
        session = plan.session[rows]
        day = self.sessions.day[session]
        title = self._choose(rows, member, session, day, opens)
        self._play(rows, member, session, day, title)
        state.turn_to(member, title)
        self.title[rows] = title
        ends = np.nonzero(plan.last[rows])[0]
        self._put_on_list(rows[ends], member[ends])

    def _stay(self, rows: Ints, member: Ints, opens: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of them have not left before this session."""
        config, uniform = self.choice.config, self.plan.uniform[rows, 0]
        content = config.leaving_content * np.maximum(0.0, self.nothing_new[member] - 0.5) / 0.5
        hazard = content + config.leaving_disappointed * np.maximum(0.0, self.let_down[member] - 0.4) / 0.6
        leaves = opens & (uniform < hazard)
        if leaves.any():
            gone = member[leaves]
            self.here[gone] = False
            self.cause[gone] = np.where(uniform[leaves] < content[leaves], 2, 3)
        self.had[member[opens & ~leaves]] += 1
        return np.asarray(~leaves)

    def _choose(self, rows: Ints, member: Ints, session: Ints, day: Ints, opens: NDArray[np.bool_]) -> Ints:
        plan, state, config = self.plan, self.state, self.choice.config
        uniform = plan.uniform[rows]
        title = np.full(len(rows), -1)
        via = np.full(len(rows), -1)

        # A trailer first, perhaps.
        seeing = np.nonzero(uniform[:, SEES] < plan.habits.trailer[session])[0]
        undecided = np.ones(len(rows), dtype=bool)
        if len(seeing):
            undecided[seeing] = False
            ideas = plan.ideas[rows[seeing], IDEAS:-1]
            taken = plan.taking[rows[seeing], IDEAS:-1] < state.factors(member[seeing], day[seeing], ideas)
            seen = ideas[np.arange(len(seeing)), np.argmax(taken, axis=1)]
            liked = uniform[seeing, 2] < LIKED
            self.trailer[rows[seeing]] = seen
            self.liked[rows[seeing]] = liked
            follows = liked & (uniform[seeing, 2] < LIKED * FOLLOWED)
            title[seeing[follows]], via[seeing[follows]] = seen[follows], TRAILER

        self._go_on(rows, member, day, uniform, np.nonzero(undecided & opens)[0], title, via)
        listed = state.listed[member]
        some = np.nonzero(undecided & (title < 0) & (listed >= 0) & (uniform[:, 5] < config.from_watchlist))[0]
        some = some[state.status[state.place(member[some], listed[some])] == FRESH]
        title[some], via[some] = listed[some], WATCHLIST
        again = undecided & (title < 0) & (uniform[:, 6] < plan.habits.rewatches[session])
        self._remember(rows, member, np.nonzero(again & (state.count[member] > 0))[0], title, via)
        self._pick(rows, member, session, day, np.nonzero(title < 0)[0], title, via)
        self.via[rows] = via
        return title

    def _go_on(self, rows: Ints, member: Ints, day: Ints, uniform: Floats, some: Ints, title: Ints, via: Ints) -> None:
        """With what they are in the middle of."""
        state, session = self.state, self.plan.session
        some = some[uniform[some, 3] < self.plan.habits.goes_on[session[rows[some]]]]
        some = some[state.latest[member[some], 0] >= 0]
        latest = state.latest[member[some]]
        first = state.waits(state.place(member[some], latest[:, 0]), day[some], latest[:, 0])
        other = np.maximum(latest[:, 1], 0)
        second = (latest[:, 1] >= 0) & state.waits(state.place(member[some], other), day[some], other)
        takes_second = second & (~first | (uniform[some, 4] >= LATEST_FIRST))
        found = first | second
        title[some[found]] = np.where(takes_second, latest[:, 1], latest[:, 0])[found]
        via[some[found]] = GOING_ON

    def _remember(self, rows: Ints, member: Ints, some: Ints, title: Ints, via: Ints) -> None:
        """Something seen before, if one of those that come to mind is wanted again."""
        state, memories = self.state, self.plan.memories[rows[some]]
        who = member[some]
        which = (memories[:, 0] * state.count[who, None]).astype(np.int64)
        which = np.minimum(which, state.count[who, None] - 1)
        ideas = state.seen[state.start[who, None] + which]
        wanted = memories[:, 1] < state.wanted_again(state.place(who, ideas), ideas)
        found = wanted.any(axis=1)
        chosen = ideas[np.arange(len(some)), np.argmax(wanted, axis=1)]
        title[some[found]], via[some[found]] = chosen[found], AGAIN

    def _pick(self, rows: Ints, member: Ints, session: Ints, day: Ints, some: Ints, title: Ints, via: Ints) -> None:
        """A free choice, from a row of the service or from everything."""
        plan, state = self.plan, self.state
        at, who, when = rows[some], member[some], day[some]
        row = plan.row[at]
        in_row = np.nonzero(row >= 0)[0]
        ideas = plan.ideas[at, :IDEAS]
        titles = self.choice.rows[when[in_row], row[in_row]]
        places = plan.places[at[in_row]]
        ideas[in_row] = np.take_along_axis(titles, places.astype(np.int64), axis=1)
        taken = plan.taking[at, :IDEAS] < state.factors(who, when, ideas)
        self.nothing_new[who] += _MEMORY * (~taken[:, 0] - self.nothing_new[who])
        first = np.argmax(taken, axis=1)
        chosen = ideas[np.arange(len(some)), first].astype(np.int64)
        place = np.full(len(some), -1)
        place[in_row] = places[np.arange(len(in_row)), first[in_row]]
        none = np.nonzero(~taken.any(axis=1))[0]
        if len(none):
            chosen[none], place[none] = self._pick_outright(
                session[some[none]], who[none], when[none], row[none], at[none]
            )
        title[some], via[some] = chosen, np.where(row >= 0, ROW, SEARCH)
        self.place[at] = place
        shown = state.shelf.first[titles] + state.episode(state.place(who[in_row], titles), when[in_row], titles)
        self.shown[at[in_row]] = shown

    def _pick_outright(self, session: Ints, member: Ints, day: Ints, row: Ints, at: Ints) -> tuple[Ints, Ints]:
        """Titles, and places in the row, from all weights at once."""
        weights = self.choice.weights(self.plan.sides[session], day) * self.state.all_factors(member, day)
        uniform = self.plan.uniform[at, 4].astype(np.float64)
        chosen = draw(weights, uniform)
        place = np.full(len(row), -1)
        in_row = np.nonzero(row >= 0)[0]
        if len(in_row):
            titles = self.choice.rows[day[in_row], row[in_row]]
            shown = np.take_along_axis(weights[in_row], titles.astype(np.int64), axis=1) * self.choice.propensity
            place[in_row] = draw(shown, uniform[in_row])
            chosen[in_row] = titles[np.arange(len(in_row)), place[in_row]]
        return chosen, place

    def _play(self, rows: Ints, member: Ints, session: Ints, day: Ints, title: Ints) -> None:
        plan, state, catalogue = self.plan, self.state, self.catalogue
        where = state.place(member, title)
        episode = state.episode(where, day, title)
        match = (self.sessions.taste[session] * catalogue.factor[title]).sum(axis=1) + self.choice.appeal[day, title]
        course = run_course(
            self.choice.config,
            uniform=plan.course[rows],
            shift=self.shift[rows],
            finishes=completion(match, plan.habits.patience[session]),
            binges=plan.habits.binges[session],
            rate=self.rate[session],
            hours=catalogue.hours[title],
            begin=np.where(state.status[where] == 2, state.left[where], 0.0).astype(np.float32),
            episode=episode,
            available=state.shelf.available[day, title].astype(np.int64),
            size=catalogue.size[title],
        )
        disliked = (course.status == ABANDONED) & (plan.uniform[rows, 8] < self.choice.config.dislike_share)
        status = np.where(disliked, DISLIKED, course.status)
        self.let_down[member] += _MEMORY * ((course.status == ABANDONED) - self.let_down[member])
        state.leave(member, title, status, course.progress, course.left)
        sides = plan.sides[session]
        self.utility[rows] = (
            (sides[:, :-2] * self.choice.features.T[title]).sum(axis=1)
            + sides[:, -2] * self.choice.fresh[day, title]
            + sides[:, -1] * self.choice.appeal[day, title]
        )
        self.match[rows], self.episode[rows], self.begin[rows] = match, episode, course.begin
        self.played[rows], self.status[rows], self.progress[rows] = course.played, status, course.progress
        self.upto[rows], self.breaks[rows], self.returns[rows] = course.upto, course.breaks, course.returns

    def _put_on_list(self, rows: Ints, member: Ints) -> None:
        plan, state = self.plan, self.state
        puts = plan.taking[rows, -1] < self.choice.config.watchlist_share
        rows, member = rows[puts], member[puts]
        idea = plan.ideas[rows, -1].astype(np.int64)
        new = state.status[state.place(member, idea)] == FRESH
        state.listed[member[new]] = idea[new]
        self.listed[rows[new]] = idea[new]

    def finished(self) -> tuple[Viewings, Left]:
        """What took place."""
        keep = np.nonzero(self.title >= 0)[0]
        plan = self.plan
        row = np.where(self.via[keep] == ROW, plan.row[keep], -1)
        viewings = Viewings(
            session=plan.session[keep],
            number=plan.number[keep],
            title=self.title[keep],
            via=self.via[keep],
            row=row,
            place=self.place[keep],
            shown=self.shown[keep],
            trailer=self.trailer[keep],
            liked=self.liked[keep],
            listed=self.listed[keep],
            utility=self.utility[keep],
            match=self.match[keep],
            episode=self.episode[keep],
            played=self.played[keep],
            upto=self.upto[keep],
            breaks=self.breaks[keep],
            returns=self.returns[keep],
            begin=self.begin[keep],
            shift=self.shift[keep],
            status=self.status[keep],
            progress=self.progress[keep],
        )
        return viewings, Left(cause=self.cause, session=self.had)
