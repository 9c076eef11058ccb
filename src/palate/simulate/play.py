"""The walk through the days: what is played in each session, and for how long.

All members go through a day together, one play at a time: first everybody's first play of the day, then everybody's second.
What a play depends on beyond its session is what the member has played before and when they were done.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np

from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.choice import ChoiceModel, Moments, Pasts, trailer_factor
from palate.simulate.config import SimulationConfig
from palate.simulate.context import DISCOVER, context_table, hour_of, is_weekend
from palate.simulate.grid import Doubles, Floats, Ints, draw
from palate.simulate.members import Members, taste_at
from palate.simulate.sessions import Sessions

_BLOCK: Final = 1 << 18
"""Weights computed at a time: a block that stays in the cache."""
_SITTING: Final = np.array([150.0, 35.0, 70.0, 80.0])
"""Median minutes a member sits before each device."""
_LIKED_SHARE: Final = 0.6


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
    first: Ints
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
    blocks: int = field(default=0)


def play_all(
    config: SimulationConfig,
    members: Members,
    catalogue: Catalogue,
    sessions: Sessions,
    choice: ChoiceModel,
    rng: np.random.Generator,
) -> Plays:
    """Let every session take place."""
    plan = _plan(sessions, rng)
    P, M = len(plan.session), config.members
    planned = np.bincount(plan.member, minlength=M)
    state = _State(
        free_at=np.zeros(M, dtype=np.int64),
        offset=np.concatenate([[0], planned.cumsum()[:-1]]),
        count=np.zeros(M, dtype=np.int64),
        history=np.full(P, -1),
        result=_nothing(plan),
    )
    order = np.lexsort((plan.member, plan.step, plan.day))
    breaks = np.nonzero(np.diff(plan.day[order]) | np.diff(plan.step[order]))[0] + 1
    table = context_table(config.context_strength)
    block = max(1, _BLOCK // config.items)
    for rows in np.split(order, breaks) if P else []:
        for start in range(0, len(rows), block):
            _play(config, members, catalogue, sessions, choice, table, plan, state, rows[start : start + block])
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
        first=first.astype(np.int64),
        uniform=rng.random((len(session), 8)),
        normal=rng.normal(size=(len(session), 4)),
    )


def _nothing(plan: _Plan) -> Plays:
    P = len(plan.session)
    zeros, none = (lambda: np.zeros(P, dtype=np.int64)), (lambda: np.full(P, -1))
    return Plays(
        session=plan.session,
        item=none(),
        second=zeros(),
        watched=zeros(),
        rating=zeros(),
        match=np.zeros(P, dtype=np.float32),
        log_probability=np.zeros(P, dtype=np.float32),
        trailer=none(),
        trailer_second=zeros(),
        trailer_watched=zeros(),
        liked=zeros(),
    )


def _play(
    config: SimulationConfig,
    members: Members,
    catalogue: Catalogue,
    sessions: Sessions,
    choice: ChoiceModel,
    table: Floats,
    plan: _Plan,
    state: _State,
    rows: Ints,
) -> None:
    """One play of each of these members, on one day: when, after which trailer, of what, how long."""
    session, member, day = plan.session[rows], plan.member[rows], int(plan.day[rows[0]])
    uniform, normal = plan.uniform[rows].T, plan.normal[rows].T
    intent, device = sessions.intent[session], sessions.device[session]

    # When. A session planned for a time at which the member still watches starts after that.
    pause = (20 + 160 * uniform[0]).astype(np.int64)
    ready = state.free_at[member] + pause
    begin = np.where(plan.first[rows] == 1, np.maximum(sessions.start[session], ready), ready)
    likelihood = config.trailer_share * np.where(intent == DISCOVER, 2.0, 1.0) / 1.25
    with_trailer = uniform[1] < likelihood
    liked = (uniform[2] < _LIKED_SHARE).astype(np.int64)
    length = np.where(liked == 1, 60 + 90 * uniform[3], 5 + 35 * uniform[3]).astype(np.int64)
    second = begin + np.where(with_trailer, length + 5 + pause // 4, 0)
    in_time = second < (day + 1) * world.DAY
    state.free_at[member[~in_time]] = (day + 1) * world.DAY  # they go to bed

    # What.
    hour = hour_of(second)
    moments = Moments(
        taste=taste_at(members.knots, member, np.full(len(rows), day)),
        mainstream=members.mainstream[member],
        novelty=members.novelty[member],
        context=table[device, is_weekend(np.full(len(rows), day)), hour],
        locale=members.locale[member],
        intent=intent,
    )
    weights = choice.weights(day, moments, _pasts(state, member))
    trailer = np.full(len(rows), -1)
    seeing = np.nonzero(with_trailer)[0]
    trailer[seeing] = draw(weights[seeing], uniform[4][seeing])
    seen = seeing[trailer[seeing] >= 0]
    weights[seen, trailer[seen]] *= trailer_factor(liked[seen], config.sharpness)
    item = np.where(in_time, draw(weights, uniform[5]), -1)
    done = np.nonzero(item >= 0)[0]
    if not len(done):
        return

    # How long, and how well it is liked.
    rows, member, item = rows[done], member[done], item[done]
    liking = (moments.taste[done] * catalogue.factor[item]).sum(axis=1)
    match = liking + choice.appeal[day, item]
    wish = 1 / (1 + np.exp(-(0.55 * (match - 1.5) + 0.4 + 0.9 * normal[0][done])))
    sitting = 60 * _SITTING[device[done]] * np.exp(0.5 * normal[1][done])
    runtime = catalogue.runtime[item]
    watched = np.clip(np.minimum(wish * runtime, sitting), 10, runtime).astype(np.int64)
    stars = np.rint(3.1 + 0.5 * (match - 1.5) + 1.2 * (wish - 0.5) + 0.6 * normal[2][done]).clip(1, 5)
    given = uniform[6][done] < config.rating_share

    result = state.result
    result.item[rows] = item
    result.second[rows] = second[done]
    result.watched[rows] = watched
    result.rating[rows] = np.where(given, stars, 0).astype(np.int64)
    result.match[rows] = match
    result.log_probability[rows] = np.log(weights[done, item] / weights[done].sum(axis=1, dtype=np.float64))
    result.trailer[rows] = trailer[done]
    result.trailer_second[rows] = begin[done]
    result.trailer_watched[rows] = np.where(trailer[done] >= 0, length[done], 0)
    result.liked[rows] = np.where(trailer[done] >= 0, liked[done], 0)
    state.history[state.offset[member] + state.count[member]] = item
    state.count[member] += 1
    state.free_at[member] = second[done] + watched


def _pasts(state: _State, member: Ints) -> Pasts:
    """All that these members have played so far."""
    lengths = state.count[member]
    row = np.repeat(np.arange(len(member)), lengths)
    within = np.arange(len(row)) - np.repeat(lengths.cumsum() - lengths, lengths)
    return Pasts(row=row, item=state.history[state.offset[member][row] + within])
