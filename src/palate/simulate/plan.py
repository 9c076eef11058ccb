"""What can be drawn before members walk through their sessions: all that doesn't depend on what they have seen.

That is above all which titles come to mind: for each free choice several, in order, from everything or from a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from palate.simulate.choice import MEMORIES, ChoiceModel, Habits, Moments
from palate.simulate.grid import Cumulative, Floats, Ints, draw, segment_starts, within
from palate.simulate.members import Members
from palate.simulate.sessions import Sessions
from palate.simulate.viewing import EPISODES

IDEAS: Final = 7
"""Titles that come to mind for a choice."""
OTHERS: Final = 5
"""For a trailer, four and for the watchlist, one."""
SEES: Final = 1
"""Which of the decisions is the one for a trailer."""
_CHUNK: Final = 1 << 18
"""Weights computed at a time: a block that stays in the cache."""


@dataclass(frozen=True)
class Plan:
    """All that doesn't depend on the past; W planned viewings."""

    session: Ints
    number: Ints
    last: NDArray[np.bool_]
    """[W] whether it is the last of its session."""
    sides: Floats
    """[S, F + 2]"""
    habits: Habits
    """Of sessions."""
    row: Ints
    """[W] the row that a free choice looks at, or -1: it searches everything."""
    ideas: NDArray[np.int32]
    """[W, IDEAS + OTHERS] titles, from everything."""
    places: NDArray[np.int8]
    """[W, IDEAS] places in the row, or 0."""
    uniform: Floats
    """[W, 9] for decisions."""
    memories: Floats
    """[W, 2, MEMORIES]"""
    taking: Floats
    """[W, IDEAS + OTHERS]"""
    course: Floats
    """[W, E, 5]"""


def make_plan(members: Members, sessions: Sessions, choice: ChoiceModel, rng: np.random.Generator) -> Plan:
    """Draw it, for all sessions of a block."""
    config = choice.config
    session = np.repeat(np.arange(len(sessions)), sessions.viewings)
    number = within(sessions.viewings)
    W = len(session)
    moments = Moments(
        taste=sessions.taste,
        mainstream=members.mainstream[sessions.member],
        novelty=members.novelty[sessions.member],
        context=sessions.context,
        locale=members.locale[sessions.member],
        intent=sessions.intent,
        kind=members.kind[sessions.member],
    )
    sides = choice.sides(moments)
    habits = Habits.of(config, sessions.intent, moments.kind)
    row = draw(choice.row_shares[sessions.intent][session], rng.random(W)) if W else np.zeros(0, dtype=np.int64)
    plan = Plan(
        session=session,
        number=number,
        last=number == sessions.viewings[session] - 1,
        sides=sides,
        habits=habits,
        row=np.where(rng.random(W) < config.row_share, row, -1),
        ideas=np.zeros((W, IDEAS + OTHERS), dtype=np.int32),
        places=np.zeros((W, IDEAS), dtype=np.int8),
        uniform=rng.random((W, 9), dtype=np.float32),
        memories=rng.random((W, 2, MEMORIES), dtype=np.float32),
        taking=rng.random((W, IDEAS + OTHERS), dtype=np.float32),
        course=rng.random((W, EPISODES, 5), dtype=np.float32),
    )
    _have_ideas(plan, sessions, choice, rng)
    return plan


def _have_ideas(plan: Plan, sessions: Sessions, choice: ChoiceModel, rng: np.random.Generator) -> None:
    """Draw what comes to mind, where it will be asked for: of everything, and of rows of the service."""
    first = segment_starts(sessions.viewings)
    seeing = plan.uniform[:, SEES] < plan.habits.trailer[plan.session]
    listing = plan.last & (plan.taking[:, -1] < choice.config.watchlist_share)
    asked = (  # columns of the ideas, and which viewings want them
        (slice(0, IDEAS), plan.row < 0),
        (slice(IDEAS, -1), seeing),
        (slice(IDEAS + OTHERS - 1, None), listing),
    )
    wanted = np.bincount(plan.session, weights=(plan.row < 0) | seeing | listing, minlength=len(sessions)) > 0
    each = max(16, _CHUNK // choice.features.shape[1])
    for begin in range(0, len(sessions), each):
        end = min(begin + each, len(sessions))
        weights = choice.weights(plan.sides[begin:end], sessions.day[begin:end])
        start = int(first[begin])
        stop = int(first[end]) if end < len(sessions) else len(plan.session)
        local = plan.session[start:stop] - begin
        compact = np.cumsum(wanted[begin:end]) - 1
        everything = Cumulative(weights[wanted[begin:end]])
        for columns, who in asked:
            some = np.nonzero(who[start:stop])[0]
            count = len(range(*columns.indices(IDEAS + OTHERS)))
            drawn = everything.draw(compact[local[some]], rng.random((len(some), count))) if len(some) else 0
            plan.ideas[start + some, columns] = drawn
        some = np.nonzero(plan.row[start:stop] >= 0)[0]
        if len(some):
            titles = choice.rows[sessions.day[plan.session[start + some]], plan.row[start + some]]
            shown = Cumulative(weights[local[some, None], titles] * choice.propensity)
            plan.places[start + some] = shown.draw(np.arange(len(some)), rng.random((len(some), IDEAS)))
