"""How a title is chosen: one model, by which the simulator draws and the oracles score.

The utility of title v for a member at a moment is the inner product of two vectors on the grid (see `grid`):

    member's side: taste | genres: moment + intent | types: moment + intent + type of member | languages | novelty | mainstream
    title's side:  place | its genres              | its type                                | language  | new     | quality + buzz

Its exponential is the *weight* of the title. A free choice is made from everything that has launched, or from a row
of the service, with probability in proportion to the weight, times what the member's past does to it (`state`), times
the propensity of the place in the row. Other choices go on with something, take what is on the watchlist, look for
something seen before, or follow a trailer.
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.config import SimulationConfig
from palate.simulate.context import CONTINUE, DISCOVER, FIRST_GENRE, REWATCH
from palate.simulate.grid import Bools, Doubles, Floats, Ints, on_grid, products
from palate.simulate.rows import make_rows, propensities, row_shares
from palate.simulate.state import FRESH, Shelf, State

_DISCOVERY = 1.0
_OWN_LANGUAGE, _FOREIGN_LANGUAGE = 0.7, -0.8
_BUZZ, _BUZZ_WEEKS = 0.35, 4.0
SOUGHT: Final = 0.85
"""Probability of going on with something where that is what the session is after."""
SOUGHT_AGAIN: Final = 0.9
"""Probability of looking for something seen before where that is what the session is after."""
LATEST_FIRST: Final = 0.8
"""Of two titles that could be gone on with, how often it is the latest."""
MEMORIES: Final = 4
"""Titles seen before that come to mind, one after another, until one is wanted again."""
LIKED: Final = 0.6
"""Share of trailers that please."""
FOLLOWED: Final = 0.65
"""Share of the trailers that please after which their title is played."""


@dataclass(frozen=True)
class Habits:
    """Probabilities by which members decide, apart from titles; all [N]."""

    goes_on: Doubles
    """That a session opens with what the member is in the middle of."""
    rewatches: Doubles
    """That a choice looks for something seen before."""
    trailer: Doubles
    """That a trailer comes first."""
    binges: Doubles
    """That the next episode follows an episode seen to its end."""
    patience: Doubles
    """Log odds of seeing something to its end."""

    @classmethod
    def of(cls, config: SimulationConfig, intent: Ints, kind: Ints) -> Habits:
        """Of sessions with this intent by members of this kind."""
        trailer = config.trailer_share * np.where(intent == DISCOVER, 2.0, 1.0)
        go_on = np.minimum(config.continue_share * world.CONTINUE[kind], 0.95)
        again = np.minimum(config.rewatch_share * world.REWATCH[kind], 0.9)
        odds = config.binge / (1 - config.binge) * np.exp(world.BINGE_SHIFT[kind] + 0.4 * (intent == CONTINUE))
        return cls(
            goes_on=np.where(intent == CONTINUE, SOUGHT, np.where(intent == REWATCH, 0.0, go_on)),
            rewatches=np.where(intent == REWATCH, SOUGHT_AGAIN, again),
            trailer=np.minimum(trailer, 0.9),
            binges=odds / (1 + odds),
            patience=world.PATIENCE_SHIFT[kind],
        )


@dataclass(frozen=True)
class Moments:
    """N sessions in which something is chosen, on the members' side."""

    taste: Floats
    """[N, D]"""
    mainstream: Floats
    novelty: Floats
    context: Floats
    """[N, genres + types] utilities of device, hour and weekday."""
    locale: Ints
    intent: Ints
    kind: Ints
    """[N] type of the member."""


@dataclass(frozen=True)
class ChoiceModel:
    """Weights of titles; G titles in order of launch."""

    config: SimulationConfig
    features: Floats
    """[F, G] the title's side but for its last two columns."""
    appeal: Floats
    """[days, G] quality and buzz."""
    fresh: Floats
    """[days, G] effect of being new."""
    launched: Ints
    """[days] titles available on each day: those before that index."""
    shelf: Shelf
    rows: NDArray[np.int32]
    """[days, rows, length] titles in the rows of the service."""
    row_shares: Doubles
    """[intents, rows]"""
    propensity: Doubles
    """[length]"""

    def sides(self, moments: Moments) -> Floats:
        """The member's side [N, F + 2]."""
        N, G = len(moments.intent), len(world.GENRES)
        first_language = world.LATENT + G + len(world.TYPES)
        result = np.empty((N, first_language + len(world.LANGUAGES) + 2), dtype=np.float32)
        result[:, : world.LATENT] = moments.taste
        result[:, world.LATENT : first_language] = moments.context
        result[:, world.LATENT + G : first_language] += world.TYPE_LIKING.astype(np.float32)[moments.kind]
        after = np.nonzero(moments.intent >= FIRST_GENRE)[0]
        wanted = world.LATENT + moments.intent[after] - FIRST_GENRE
        result[after, wanted] += np.float32(self.config.intent_strength)
        result[:, first_language] = 0.0
        result[:, first_language + 1 : -2] = _FOREIGN_LANGUAGE
        result[np.arange(N), first_language + moments.locale] = _OWN_LANGUAGE
        result[:, -2] = moments.novelty + _DISCOVERY * (moments.intent == DISCOVER)
        result[:, -1] = moments.mainstream
        result *= np.float32(self.config.sharpness)
        return on_grid(result)

    def utilities(self, sides: Floats, day: Ints) -> Floats:
        """[N, G], whether launched or not."""
        result = products(sides[:, :-2], self.features)
        result += sides[:, -2, None] * self.fresh[day]
        result += sides[:, -1, None] * self.appeal[day]
        return result

    def weights(self, sides: Floats, day: Ints) -> Floats:
        """[N, G] of titles before the member's past counts, zero where they have not launched."""
        result = self.utilities(sides, day)
        np.exp(result, out=result)
        first, last = int(self.launched[day].min()), int(self.launched[day].max())
        result[:, last:] = 0.0
        if first < last:
            result[:, first:last] *= np.arange(first, last) < self.launched[day][:, None]
        return result


@dataclass(frozen=True)
class Situation:
    """N moments at which members turn to a title."""

    member: Ints
    """[N] place in the state's block."""
    day: Ints
    intent: Ints
    opens: Bools
    """[N] whether it is the first title of a session."""
    trailer: Ints
    """[N] title whose trailer was just watched, or -1."""
    liked: Ints
    """[N] whether that trailer pleased."""
    habits: Habits


def probabilities(model: ChoiceModel, weights: Doubles, now: Situation, state: State) -> Doubles:
    """Probabilities [N, G] of the title that each member turns to, given `ChoiceModel.weights` [N, G].

    This is the distribution that `palate.simulate.walk` draws from.
    """
    free = _free(model, weights, now, state)
    rows = np.nonzero(now.trailer >= 0)[0]
    follows = FOLLOWED * now.liked[rows]
    after_trailer = free[rows] * (1 - follows)[:, None]
    after_trailer[np.arange(len(rows)), now.trailer[rows]] += follows

    result = free
    again = seen_again(state, now.member)
    share = now.habits.rewatches
    result *= (1 - share * again.sum(axis=1))[:, None]
    result += share[:, None] * again
    listed = state.listed[now.member]
    usable = np.nonzero(listed >= 0)[0]
    usable = usable[state.status[state.place(now.member[usable], listed[usable])] == FRESH]
    result[usable] *= 1 - model.config.from_watchlist
    result[usable, listed[usable]] += model.config.from_watchlist
    going_on = _going_on(state, now)
    result *= (1 - going_on.sum(axis=1))[:, None]
    for column in range(2):
        some = np.nonzero(going_on[:, column] > 0)[0]
        result[some, state.latest[now.member[some], column]] += going_on[some, column]
    result[rows] = after_trailer
    return result


def _free(model: ChoiceModel, weights: Doubles, now: Situation, state: State) -> Doubles:
    """Free choice: a row of the service, or everything."""
    weights = weights * state.all_factors(now.member, now.day)
    share = model.config.row_share
    result = (1 - share) * weights / weights.sum(axis=1, keepdims=True)
    N = len(weights)
    titles = model.rows[now.day]
    R, L = titles.shape[1:]
    in_row = np.take_along_axis(weights, titles.reshape(N, R * L), axis=1).reshape(N, R, L) * model.propensity
    total = in_row.sum(axis=2, keepdims=True)
    in_row *= share * model.row_shares[now.intent][:, :, None] / total
    flat = (np.arange(N)[:, None] * weights.shape[1] + titles.reshape(N, R * L)).ravel()
    result += np.bincount(flat, weights=in_row.ravel(), minlength=weights.size).reshape(weights.shape)
    return np.asarray(result)


def seen_again(state: State, member: Ints) -> Doubles:
    """[N, G] probabilities of finding each title when something seen before is looked for; may sum to less than one."""
    N, G = len(member), state.titles
    length = state.count[member]
    row = np.repeat(np.arange(N), length)
    inside = np.arange(len(row)) - np.repeat(length.cumsum() - length, length)
    title = state.seen[state.start[member[row]] + inside]
    wanted = state.wanted_again(state.place(member[row], title), title) / length[row]
    found = np.bincount(row * G + title, weights=wanted, minlength=N * G).reshape(N, G)
    each = found.sum(axis=1)
    tries = np.where(each > 0, (1 - (1 - each) ** MEMORIES) / np.where(each > 0, each, 1.0), 0.0)
    return np.asarray(found * tries[:, None])


def _going_on(state: State, now: Situation) -> Doubles:
    """[N, 2] probabilities of going on with each of the last two titles."""
    latest = state.latest[now.member]
    waits = np.zeros((len(latest), 2), dtype=bool)
    for column in range(2):
        some = np.nonzero((latest[:, column] >= 0) & now.opens)[0]
        title = latest[some, column]
        waits[some, column] = state.waits(state.place(now.member[some], title), now.day[some], title)
    both = waits[:, 0] & waits[:, 1]
    shares = np.where(both[:, None], [LATEST_FIRST, 1 - LATEST_FIRST], waits.astype(np.float64))
    return np.asarray(shares * now.habits.goes_on[:, None])


def discovery(model: ChoiceModel, day: Ints) -> Floats:
    """[N, G] factor of a session of discovery on the weights of titles."""
    result: Floats = np.exp(model.config.sharpness * _DISCOVERY * model.fresh[day])
    return result


def make_choice_model(config: SimulationConfig, catalogue: Catalogue, rng: np.random.Generator) -> ChoiceModel:
    """The titles' side: fixed features; quality, buzz (an AR(1) process in weekly steps) and freshness by day."""
    days = np.arange(config.days)
    week, rest = np.divmod(days, 7)
    G = len(catalogue.first)
    buzz = rng.normal(size=(week[-1] + 2, G))
    memory = np.exp(-1 / _BUZZ_WEEKS)
    for step in range(1, len(buzz)):
        buzz[step] = memory * buzz[step - 1] + np.sqrt(1 - memory**2) * buzz[step]
    share = (rest / 7)[:, None]
    appeal = on_grid(catalogue.quality + _BUZZ * (buzz[week] * (1 - share) + buzz[week + 1] * share))
    age = (days[:, None] - catalogue.launch_day).clip(min=0)
    fresh = on_grid(config.freshness * catalogue.hype * np.exp(-age / config.freshness_days))
    launched = np.searchsorted(catalogue.launch_day, days, side="right")
    features = [
        catalogue.factor,
        catalogue.genres.astype(np.float32),
        np.eye(len(world.TYPES), dtype=np.float32)[catalogue.kind],
        np.eye(len(world.LANGUAGES), dtype=np.float32)[catalogue.language],
    ]
    return ChoiceModel(
        config=config,
        features=np.ascontiguousarray(np.concatenate(features, axis=1).T),
        appeal=appeal,
        fresh=fresh,
        launched=launched,
        shelf=Shelf(
            available=catalogue.launched_items(config.days),
            first=catalogue.first,
            size=catalogue.size,
            comfort=catalogue.comfort,
            seen_weight=config.seen_weight,
        ),
        rows=make_rows(config, catalogue, appeal, fresh, launched, rng),
        row_shares=row_shares(),
        propensity=propensities(config),
    )
