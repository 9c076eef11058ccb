"""How a title is chosen: one model, used by the simulator to draw and by the oracle to score.

The utility of title v for a member at a moment is the inner product of two vectors on the grid (see `grid`):

    member's side: taste | genres: moment + intent | types: moment + intent | languages | novelty | mainstream
    title's side:  place | its genres              | its type              | its language | new   | quality + buzz

The probability is the softmax over available titles that the member has not played, where the weight of the next
part of something played, and of the title whose trailer was just watched, are multiplied by their own factors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.config import SimulationConfig
from palate.simulate.context import CONTINUE, DISCOVER, FIRST_GENRE
from palate.simulate.grid import Floats, Ints, on_grid, products

_DISCOVERY = 1.0
_CONTINUE_BONUS = 3.0
_RECENT_PLAYS = 5.0
_OWN_LANGUAGE, _FOREIGN_LANGUAGE = 0.7, -0.8
TRAILER_LIKED, TRAILER_DISLIKED = 3.0, -2.0
_BUZZ, _BUZZ_WEEKS = 0.35, 4.0


@dataclass(frozen=True)
class Moments:
    """N situations in which something is chosen."""

    taste: Floats
    """[N, D] taste at that day."""
    mainstream: Floats
    novelty: Floats
    context: Floats
    """[N, genres + types] utilities of device, hour and weekday."""
    locale: Ints
    intent: Ints

    def rows(self, index: Ints | slice) -> Moments:
        """Some of them."""
        return Moments(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def supposing(self, intent: int) -> Moments:
        """The same situations, if this were what all sessions are after."""
        return replace(self, intent=np.full_like(self.intent, intent))


@dataclass(frozen=True)
class Pasts:
    """What was played before each of N situations, as pairs of a row and a title."""

    row: Ints
    item: Ints
    ago: Ints
    """How many plays the member has made since."""

    @classmethod
    def gather(cls, history: Ints, start: Ints, length: Ints) -> Pasts:
        """Of situation n, the titles ``history[start[n] : start[n] + length[n]]``."""
        row = np.repeat(np.arange(len(length)), length)
        within = np.arange(len(row)) - np.repeat(length.cumsum() - length, length)
        return cls(row=row, item=history[start[row] + within], ago=length[row] - 1 - within)


@dataclass(frozen=True)
class ChoiceModel:
    """Utilities and weights of titles; V titles in order of launch."""

    config: SimulationConfig
    features: Floats
    """[V, F] the title's side but for its last two columns."""
    appeal: Floats
    """[days, V] quality and buzz."""
    fresh: Floats
    """[days, V] effect of being new."""
    launched: Ints
    """[days] titles available on each day: those before that index."""
    successor: Ints

    def sides(self, moments: Moments) -> Floats:
        """The member's side [N, F + 2]."""
        sharpness, strength = self.config.sharpness, self.config.intent_strength
        N, G = len(moments.intent), len(world.GENRES)
        wanted = np.zeros((N, G + len(world.TYPES)), dtype=np.float32)
        after = np.nonzero(moments.intent >= FIRST_GENRE)[0]
        wanted[after, moments.intent[after] - FIRST_GENRE] = strength
        language = np.full((N, len(world.LANGUAGES)), _FOREIGN_LANGUAGE, dtype=np.float32)
        language[:, 0] = 0.0
        language[np.arange(N), moments.locale] = _OWN_LANGUAGE
        novelty = moments.novelty + _DISCOVERY * (moments.intent == DISCOVER)
        return on_grid(
            sharpness
            * np.concatenate(
                [
                    moments.taste,
                    moments.context + wanted,
                    language,
                    novelty[:, None],
                    moments.mainstream[:, None],
                ],
                axis=1,
            )
        )

    def weights(self, day: int, moments: Moments, pasts: Pasts) -> Floats:
        """Unnormalised probabilities [N, launched] of the titles available on that day, played ones at zero."""
        available = int(self.launched[day])
        titles = np.concatenate(
            [
                self.features[:available].T,
                self.fresh[day, None, :available],
                self.appeal[day, None, :available],
            ]
        )
        weights = np.exp(products(self.sides(moments), titles))
        following = self.successor[pasts.item]
        open_parts = (following >= 0) & (following < available)
        row, item = pasts.row[open_parts], following[open_parts]
        bonus = self.config.continuation * (1 + np.exp(-pasts.ago[open_parts] / _RECENT_PLAYS))
        bonus += _CONTINUE_BONUS * (moments.intent[row] == CONTINUE)
        weights[row, item] *= np.exp(self.config.sharpness * bonus).astype(np.float32)
        weights[pasts.row, pasts.item] = 0.0
        return np.asarray(weights)


def trailer_factor(liked: Ints, sharpness: float) -> Floats:
    """Factor on the weight of the title whose trailer was just watched."""
    return np.exp(sharpness * np.where(liked == 1, TRAILER_LIKED, TRAILER_DISLIKED)).astype(np.float32)


def make_choice_model(config: SimulationConfig, catalogue: Catalogue, rng: np.random.Generator) -> ChoiceModel:
    """The titles' side: fixed features; quality, buzz (an AR(1) process in weekly steps) and freshness by day."""
    days = np.arange(config.days)
    week, rest = np.divmod(days, 7)
    buzz = rng.normal(size=(week[-1] + 2, config.items))
    memory = np.exp(-1 / _BUZZ_WEEKS)
    for step in range(1, len(buzz)):
        buzz[step] = memory * buzz[step - 1] + np.sqrt(1 - memory**2) * buzz[step]
    share = (rest / 7)[:, None]
    appeal = catalogue.quality + _BUZZ * (buzz[week] * (1 - share) + buzz[week + 1] * share)
    age = (days[:, None] - catalogue.launch_day).clip(min=0)
    features = [
        catalogue.factor,
        catalogue.genres.astype(np.float32),
        np.eye(len(world.TYPES), dtype=np.float32)[catalogue.kind],
        np.eye(len(world.LANGUAGES), dtype=np.float32)[catalogue.language],
    ]
    return ChoiceModel(
        config=config,
        features=np.concatenate(features, axis=1),
        appeal=on_grid(appeal),
        fresh=on_grid(config.freshness * catalogue.hype * np.exp(-age / config.freshness_days)),
        launched=np.searchsorted(catalogue.launch_day, days, side="right"),
        successor=catalogue.successor,
    )
