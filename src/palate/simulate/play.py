"""The walk through the days: what is played in each session, and for how long.

All members go through a day together, one play at a time: first everybody's first play of the day, then everybody's
second. What a play depends on beyond its session is what the member has played before and when they were done.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.choice import ChoiceModel, Moments, Pasts, trailer_factor
from palate.simulate.context import DISCOVER, context_table, hour_of, is_weekend
from palate.simulate.grid import Bools, Doubles, Floats, Ints, draw
from palate.simulate.members import Members, taste_at
from palate.simulate.sessions import Sessions

_BLOCK: Final = 1 << 18
"""Weights computed at a time: a block that stays in the cache."""
_SITTING: Final = np.array([95.0, 22.0, 45.0, 55.0])
"""Median minutes a member sits before each device."""
_LIKED_SHARE: Final = 0.6
_USUAL_MATCH: Final = 1.5


@dataclass(frozen=True)
class Plays:
    """The plays that took place, sorted by member and time; P of them."""

    session: Ints
    """[P] row in `Sessions`."""
    item: Ints
    second: Ints
    """[P] start, in seconds since the start of the period."""
    watched: Ints
    """[P] seconds."""
    rating: Ints
    """[P] 1 to 5; 0: none given."""
    match: Floats
    """[P] utility of the title from taste and quality alone."""
    log_probability: Floats
    """[P] of the choice that was made."""
    trailer: Ints
    """[P] title whose trailer was watched just before, or -1."""
    trailer_second: Ints
    trailer_watched: Ints
    liked: Ints
    """[P] whether that trailer pleased."""

    def rows(self, index: Ints) -> Plays:
        """Some of them."""
        return Plays(**{column.name: getattr(self, column.name)[index] for column in fields(self)})


@dataclass(frozen=True)
class _Plan:
    """Plays as they were planned, and the random numbers of each: [planned plays]."""

    session: Ints
    member: Ints
    day: Ints
    step: Ints
    """Which play of the member's day it is."""
    first: Bools
    """Whether it opens its session."""
    uniform: Doubles
    """[planned, 8]"""
    normal: Doubles
    """[planned, 4]"""


@dataclass
class _State:
    """What is remembered of each member while days pass."""

    free_at: Ints
    """[M] second at which the last play ended."""
    offset: Ints
    """[M] start of the member's part of ``history``."""
    count: Ints
    history: Ints
    result: Plays
    """Filled play by play; ``item`` is -1 where nothing was played."""

    @classmethod
    def before(cls, plan: _Plan, members: int) -> _State:
        """Nobody has played anything."""
        P = len(plan.session)
        planned = np.bincount(plan.member, minlength=members)
        nothing = Plays(
            session=plan.session,
            item=np.full(P, -1),
            second=np.zeros(P, dtype=np.int64),
            watched=np.zeros(P, dtype=np.int64),
            rating=np.zeros(P, dtype=np.int64),
            match=np.zeros(P, dtype=np.float32),
            log_probability=np.zeros(P, dtype=np.float32),
            trailer=np.full(P, -1),
            trailer_second=np.zeros(P, dtype=np.int64),
            trailer_watched=np.zeros(P, dtype=np.int64),
            liked=np.zeros(P, dtype=np.int64),
        )
        return cls(
            free_at=np.zeros(members, dtype=np.int64),
            offset=planned.cumsum() - planned,
            count=np.zeros(members, dtype=np.int64),
            history=np.full(P, -1),
            result=nothing,
        )

    def pasts(self, member: Ints) -> Pasts:
        """All that these members have played so far."""
        return Pasts.gather(self.history, self.offset[member], self.count[member])

    def remember(self, member: Ints, item: Ints, until: Ints) -> None:
        """Each of these (distinct) members has played one title, and is free after that."""
        self.history[self.offset[member] + self.count[member]] = item
        self.count[member] += 1
        self.free_at[member] = until


def play_all(
    members: Members, catalogue: Catalogue, sessions: Sessions, choice: ChoiceModel, rng: np.random.Generator
) -> Plays:
    """Let every session take place."""
    walk = _Walk(members, catalogue, sessions, choice, _plan(sessions, rng))
    plan = walk.plan
    order = np.lexsort((plan.member, plan.step, plan.day))
    breaks = np.nonzero(np.diff(plan.day[order]) | np.diff(plan.step[order]))[0] + 1
    state = _State.before(plan, len(members.user_id))
    block = max(1, _BLOCK // len(catalogue.item_id))
    for rows in np.split(order, breaks) if len(order) else []:
        for start in range(0, len(rows), block):
            walk.play(rows[start : start + block], state)
    return state.result.rows(np.nonzero(state.result.item >= 0)[0])


def _plan(sessions: Sessions, rng: np.random.Generator) -> _Plan:
    session = np.repeat(np.arange(len(sessions.member)), sessions.plays)
    member, day = sessions.member[session], sessions.day[session]
    index = np.arange(len(session))
    opens_day = np.ones(len(session), dtype=bool)
    opens_day[1:] = (np.diff(member) != 0) | (np.diff(day) != 0)
    first = np.ones(len(session), dtype=bool)
    first[1:] = np.diff(session) != 0
    step = index - np.maximum.accumulate(np.where(opens_day, index, 0))
    return _Plan(
        session=session,
        member=member,
        day=day,
        step=step,
        first=first,
        uniform=rng.random((len(session), 8)),
        normal=rng.normal(size=(len(session), 4)),
    )


@dataclass(frozen=True)
class _Walk:
    """Everything that does not change while days pass."""

    members: Members
    catalogue: Catalogue
    sessions: Sessions
    choice: ChoiceModel
    plan: _Plan

    def play(self, rows: Ints, state: _State) -> None:
        """One play of each of these members, on one day: when, after which trailer, of what, how long."""
        session, member, day = self.plan.session[rows], self.plan.member[rows], int(self.plan.day[rows[0]])
        uniform = self.plan.uniform[rows].T
        begin, pause = self._begin(rows, state)

        # A trailer first, perhaps: what comes of it depends on whether it pleases.
        config, intent = self.choice.config, self.sessions.intent[session]
        with_trailer = uniform[1] < config.trailer_share * np.where(intent == DISCOVER, 2.0, 1.0) / 1.25
        liked = (uniform[2] < _LIKED_SHARE).astype(np.int64)
        length = np.where(liked == 1, 60 + 90 * uniform[3], 5 + 35 * uniform[3]).astype(np.int64)
        second = begin + np.where(with_trailer, length + 5 + pause // 4, 0)
        in_time = second < (day + 1) * world.DAY
        late = member[~in_time]  # they go to bed, once what they watch has ended
        state.free_at[late] = np.maximum(state.free_at[late], (day + 1) * world.DAY)

        moments = self._moments(rows, second)
        weights = self.choice.weights(day, moments, state.pasts(member))
        trailer = np.full(len(rows), -1)
        seeing = np.nonzero(with_trailer)[0]
        trailer[seeing] = draw(weights[seeing], uniform[4][seeing])
        seen = seeing[trailer[seeing] >= 0]
        weights[seen, trailer[seen]] *= trailer_factor(liked[seen], config.sharpness)
        item = np.where(in_time, draw(weights, uniform[5]), -1)

        done = np.nonzero(item >= 0)[0]
        rows, member, item, result = rows[done], member[done], item[done], state.result
        match = (moments.taste[done] * self.catalogue.factor[item]).sum(axis=1) + self.choice.appeal[day, item]
        watched, stars = self._watch(rows, item, match)
        after_trailer = trailer[done] >= 0
        result.item[rows] = item
        result.second[rows] = second[done]
        result.watched[rows] = watched
        result.rating[rows] = np.where(uniform[6][done] < config.rating_share, stars, 0)
        result.match[rows] = match
        result.log_probability[rows] = np.log(weights[done, item] / weights[done].sum(axis=1, dtype=np.float64))
        result.trailer[rows] = trailer[done]
        result.trailer_second[rows] = np.where(after_trailer, begin[done], 0)
        result.trailer_watched[rows] = np.where(after_trailer, length[done], 0)
        result.liked[rows] = np.where(after_trailer, liked[done], 0)
        state.remember(member, item, second[done] + watched)

    def _begin(self, rows: Ints, state: _State) -> tuple[Ints, Ints]:
        """When these members turn to the next title, and how long they look around before.

        A session planned for a time at which the member still watches starts after that.
        """
        pause = (20 + 160 * self.plan.uniform[rows, 0]).astype(np.int64)
        ready = state.free_at[self.plan.member[rows]] + pause
        start = self.sessions.start[self.plan.session[rows]]
        return np.where(self.plan.first[rows], np.maximum(start, ready), ready), pause

    def _moments(self, rows: Ints, second: Ints) -> Moments:
        session, member, day = self.plan.session[rows], self.plan.member[rows], self.plan.day[rows]
        table = context_table(self.choice.config.context_strength)
        return Moments(
            taste=taste_at(self.members.knots, member, day),
            mainstream=self.members.mainstream[member],
            novelty=self.members.novelty[member],
            context=table[self.sessions.device[session], is_weekend(day), hour_of(second)],
            locale=self.members.locale[member],
            intent=self.sessions.intent[session],
        )

    def _watch(self, rows: Ints, item: Ints, match: Floats) -> tuple[Ints, Ints]:
        """Seconds watched, and the rating that would be given: both grow with how well the title fits."""
        normal = self.plan.normal[rows].T
        wish = 1 / (1 + np.exp(-(0.55 * (match - _USUAL_MATCH) + 0.4 + 0.9 * normal[0])))
        sitting = 60 * _SITTING[self.sessions.device[self.plan.session[rows]]] * np.exp(0.5 * normal[1])
        runtime = self.catalogue.runtime[item]
        watched = np.clip(np.minimum(wish * runtime, sitting), 10, runtime).astype(np.int64)
        stars = 3.1 + 0.5 * (match - _USUAL_MATCH) + 1.2 * (wish - 0.5) + 0.6 * normal[2]
        return watched, np.rint(stars).clip(1, 5).astype(np.int64)
