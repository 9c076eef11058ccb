"""When all of it happens: sessions one after another, and in them the single plays, trailers, ratings and so on.

A viewing makes a play of every stretch between two breaks, of every episode. The time between two plays of a session
has one distribution, whatever comes next, so that it tells nothing about that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from palate.simulate.catalogue import Catalogue
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Bools, Floats, Ints, segment_starts, within
from palate.simulate.sessions import Sessions
from palate.simulate.state import ABANDONED, BROKEN, DISLIKED
from palate.simulate.viewing import EPISODES, share_at_break
from palate.simulate.walk import Viewings
from palate.simulate.world import DAY

ENDED, AT_BREAK, HAS_NEXT = range(3)
"""How a play ends: the viewing may be over, there is a break, or the next episode could follow."""
FIRST, RESUMED, NEXT_EPISODE = range(3)
"""How a play begins."""

APART: Final = 1860
"""Seconds between the end of a session and the start of the next one, at least."""
_SHORTEST: Final = 10
_AFTER_TRAILER: Final = 8
_THOUGHT: Final = 18
"""Seconds for each rating, dislike or title for the watchlist."""
_USUAL_STARS, _STARS_OF_MATCH = 3.6, 0.4
_USUAL_MATCH: Final = 6.8


@dataclass(frozen=True)
class Plays:
    """The plays, sorted by member and time; P of them."""

    viewing: Ints
    """[P] row in `Viewings`."""
    item: Ints
    second: Ints
    """[P] start, in seconds since the start of the period."""
    watched: Ints
    """[P] seconds."""
    begins: Ints
    """[P] how it begins."""
    ends: Ints
    """[P] how it ends."""
    run: Ints
    """[P] number of its episode within the viewing."""
    share: Floats
    """[P] share of the item that has been seen at its end, what was seen in earlier sessions included."""


@dataclass(frozen=True)
class Others:
    """Events of another type; N of them."""

    viewing: Ints
    item: Ints
    second: Ints
    value: Ints
    """[N] seconds of a trailer, stars of a rating, else 0."""


@dataclass(frozen=True)
class Timeline:
    """All events of a block of members."""

    plays: Plays
    trailers: Others
    ratings: Others
    dislikes: Others
    listings: Others


def make_timeline(
    config: SimulationConfig, catalogue: Catalogue, sessions: Sessions, viewings: Viewings, rng: np.random.Generator
) -> Timeline:
    """Lay out the viewings in time."""
    plays = _plays(config, catalogue, sessions, viewings)
    session = viewings.session[plays.viewing]
    P, S = len(session), len(sessions)
    gap = np.exp(4.3 + rng.standard_normal(P)).clip(5, 1500).astype(np.int64)
    seeing = np.nonzero((plays.begins == FIRST) & (viewings.trailer[plays.viewing] >= 0))[0]
    seen = plays.viewing[seeing]
    length = _trailer_lengths(viewings.liked[seen], rng)
    took = gap + plays.watched
    took[seeing] += length + _AFTER_TRAILER
    thoughts = _Thoughts.of(config, catalogue, viewings, rng)
    of_thought = viewings.session[thoughts.viewing]

    counts = np.bincount(session, minlength=S)
    until = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(took)])
    first = segment_starts(counts)
    lasts = until[first + counts] - until[first]
    thinking = np.bincount(of_thought, minlength=S)
    start = _one_after_another(sessions, lasts + _THOUGHT * thinking)
    second = start[session] + until[1:] - plays.watched - until[first[session]]
    trailers = Others(
        viewing=seen,
        item=catalogue.first[viewings.trailer[seen]],
        second=second[seeing] - length - _AFTER_TRAILER,
        value=length,
    )
    order = np.argsort(of_thought, kind="stable")
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = within(thinking)
    pause = rng.integers(3, _THOUGHT, size=len(order))
    moment = (start + lasts)[of_thought] + _THOUGHT * turn + pause
    return Timeline(replace(plays, second=second), trailers, *thoughts.split(moment))


def _plays(config: SimulationConfig, catalogue: Catalogue, sessions: Sessions, viewings: Viewings) -> Plays:
    """Items of viewings, then plays of items; their times are still to come."""
    of_item = np.repeat(np.arange(len(viewings.title)), viewings.played)
    item_run = within(viewings.played)
    item_breaks, item_returns = viewings.breaks[of_item, item_run], viewings.returns[of_item, item_run]
    stretches = np.minimum(item_returns, item_breaks).astype(np.int64) + 1
    number = within(stretches)
    part = np.repeat(np.arange(len(of_item)), stretches)
    viewing, run = of_item[part], item_run[part]
    breaks, returns = item_breaks[part], item_returns[part]
    upto = viewings.upto[viewing, run]
    begin = np.where(run == 0, viewings.begin[viewing], np.float32(0))
    shift = viewings.shift[viewing]
    at_break = (number < stretches[part] - 1) | (returns < breaks)
    from_break = share_at_break(begin, upto, number - 1, breaks, shift)
    before = np.where(number == 0, begin, from_break)
    after = np.where(at_break, share_at_break(begin, upto, number, breaks, shift), upto)

    title = viewings.title[viewing]
    episode = viewings.episode[viewing] + run
    item = catalogue.first[title] + episode
    watched = ((after - before) * catalogue.runtime[item]).astype(np.int64)
    seen_to_end = ~np.isin(viewings.status, (ABANDONED, BROKEN, DISLIKED))
    whole = ~at_break & ((run < viewings.played[viewing] - 1) | seen_to_end[viewing])
    available = catalogue.launched_items(config.days)[sessions.day[viewings.session[viewing]], title]
    has_next = whole & (episode + 1 < available) & (run < EPISODES - 1)
    return Plays(
        viewing=viewing,
        item=item,
        second=np.zeros(len(item), dtype=np.int64),
        watched=np.maximum(watched, _SHORTEST),
        begins=np.where(number > 0, RESUMED, np.where(run > 0, NEXT_EPISODE, FIRST)),
        ends=np.where(at_break, AT_BREAK, np.where(has_next, HAS_NEXT, ENDED)),
        run=run,
        share=after.astype(np.float32),
    )


@dataclass(frozen=True)
class _Thoughts:
    """What members say at the end of a session: ratings, then dislikes, then titles for the watchlist."""

    viewing: Ints
    item: Ints
    stars: Ints
    ends: tuple[int, int]
    """Where the ratings end, and the dislikes."""

    @classmethod
    def of(
        cls, config: SimulationConfig, catalogue: Catalogue, viewings: Viewings, rng: np.random.Generator
    ) -> _Thoughts:
        W = len(viewings.title)
        given_up: Bools = np.isin(viewings.status, (ABANDONED, DISLIKED))
        stars = _USUAL_STARS + _STARS_OF_MATCH * (viewings.match - _USUAL_MATCH) - 1.2 * given_up
        stars = np.rint(stars + 0.6 * rng.normal(size=W)).clip(1, 5).astype(np.int64)
        rated = np.nonzero(rng.random(W) < config.rating_share)[0]
        disliked = np.nonzero(viewings.status == DISLIKED)[0]
        listing = np.nonzero(viewings.listed >= 0)[0]
        last_item = catalogue.first[viewings.title] + viewings.episode + viewings.played - 1
        return cls(
            viewing=np.concatenate([rated, disliked, listing]),
            item=np.concatenate([last_item[rated], last_item[disliked], catalogue.first[viewings.listed[listing]]]),
            stars=stars[rated],
            ends=(len(rated), len(rated) + len(disliked)),
        )

    def split(self, second: Ints) -> tuple[Others, Others, Others]:
        """As events at these moments."""
        first, last = self.ends
        value = np.concatenate([self.stars, np.zeros(len(self.item) - first, dtype=np.int64)])
        ratings, dislikes, listings = (
            Others(viewing=self.viewing[some], item=self.item[some], second=second[some], value=value[some])
            for some in (slice(0, first), slice(first, last), slice(last, None))
        )
        return ratings, dislikes, listings


def _trailer_lengths(liked: Ints, rng: np.random.Generator) -> Ints:
    """Seconds of a trailer that are watched: those that please are watched longer."""
    share = rng.random(len(liked))
    return np.where(liked == 1, 60 + 90 * share, 5 + 35 * share).astype(np.int64)


def _one_after_another(sessions: Sessions, lasts: Ints) -> Ints:
    """[S] starts: as planned, or `APART` seconds after the end of the session before."""
    S = len(sessions)
    if not S:
        return sessions.start
    counts = np.bincount(sessions.member)
    before = np.cumsum(lasts + APART) - (lasts + APART)
    before -= before[segment_starts(counts)[sessions.member]]
    slack = sessions.start - before + sessions.member * (1 << 40)  # later members always lie higher
    return np.asarray(np.maximum.accumulate(slack) - sessions.member * (1 << 40) + before)


def recorded(config: SimulationConfig, second: Ints) -> Bools:
    """Whether these moments lie within the period."""
    return np.asarray(second < config.days * DAY)
