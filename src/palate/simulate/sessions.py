"""When members come, on which device, after what, and how many titles they turn to.

Sessions of a block of members are planned for the whole period at once; what is played in them is decided later.
The number of sessions of a member and day is Poisson with a rate that is heavy-tailed over members, follows the
weekdays, and swells and ebbs from week to week. The hour comes from the member's own mixture of morning, noon,
afternoon and evening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.context import context_table, device_weights, hour_of, intent_prior, is_weekend
from palate.simulate.grid import Floats, Ints, draw, within
from palate.simulate.members import Members, taste_at

_WEEKDAYS = np.array([0.86, 0.84, 0.88, 0.92, 1.10, 1.25, 1.15])
_MOST_SESSIONS = 8
_AWAY_SHARE = 0.04


@dataclass(frozen=True)
class Sessions:
    """Planned sessions, sorted by member and start; S of them."""

    member: Ints
    """[S] place in the block of members."""
    number: Ints
    """[S] how many sessions the member has had before."""
    day: Ints
    start: Ints
    """[S] seconds since the start of the period, as planned: they begin later where the one before lasts longer."""
    device: Ints
    locale: Ints
    intent: Ints
    """[S] index among `context.INTENTS`."""
    viewings: Ints
    """[S] how many titles the member turns to, one after another."""
    taste: Floats
    """[S, D]"""
    context: Floats
    """[S, genres + types] utilities of device, hour and weekday."""

    def __len__(self) -> int:
        return len(self.member)


def plan_sessions(config: SimulationConfig, space: world.Space, members: Members, rng: np.random.Generator) -> Sessions:
    """Draw all sessions of these members."""
    counts = _counts(config, members, rng)
    member, day = np.nonzero(counts)
    repeats = counts[member, day]
    member, day = np.repeat(member, repeats), np.repeat(day, repeats)
    second = _seconds(members, member, day, rng)
    order = np.lexsort((second, day, member))
    member, day = member[order], day[order]
    start = day * world.DAY + second[order]

    S = len(member)
    hour = hour_of(start)
    device = draw(members.devices[member] * device_weights(hour), rng.random(S))
    away = rng.random(S) < _AWAY_SHARE
    locale = np.where(away, rng.integers(0, len(world.LOCALES), size=S), members.locale[member])
    context = context_table(config.context_strength)[device, is_weekend(day), hour]
    taste = taste_at(members.knots, member, day)
    prior = intent_prior(taste, context, members.kind[member], space, config.taste_strength)
    return Sessions(
        member=member,
        number=within(np.bincount(member, minlength=len(members))),
        day=day,
        start=start,
        device=device,
        locale=locale,
        intent=draw(prior, rng.random(S)),
        viewings=rng.geometric(1 - config.another, size=S),
        taste=taste,
        context=context,
    )


def _counts(config: SimulationConfig, members: Members, rng: np.random.Generator) -> Ints:
    """Sessions [M, days] of each member and day."""
    M = len(members)
    day = np.arange(config.days)
    weekday = day % 7
    rhythm = np.log(_WEEKDAYS / _WEEKDAYS.mean())[weekday] + members.weekend[:, None] * (weekday >= 4)
    weeks = rng.gamma(1.6, 1 / 1.6, size=(M, config.days // 7 + 1))
    rate = members.rate[:, None] * np.exp(rhythm) * weeks[:, day // 7]
    counts: Ints = np.minimum(rng.poisson(rate), _MOST_SESSIONS)
    counts[(day < members.joined_day[:, None]) | (day >= members.price_day[:, None])] = 0
    return counts


def _seconds(members: Members, member: Ints, day: Ints, rng: np.random.Generator) -> Ints:
    """Second of the service's day at which each session starts."""
    S = len(member)
    free = is_weekend(day)
    noon = members.noon[member] * np.where(free, 0.6, 1.0)
    morning = np.where(free, 0.05, 0.08)
    afternoon = np.where(free, 0.20, 0.08)
    spread_out = np.full(S, 0.04)
    evening = 1 - np.minimum(noon + morning + afternoon + spread_out, 0.95)
    part = draw(np.stack([morning, noon, afternoon, evening, spread_out], axis=1), rng.random(S))
    centre = np.array([7.8, 12.6, 15.6, 0.0, 0.0])[part] + np.where(part == 3, members.peak[member], 0.0)
    spread = np.array([0.9, 0.7, 1.4, 1.5, 0.0])[part]
    hour = np.where(part == 4, 24 * rng.random(S), centre + spread * rng.normal(size=S))
    second = ((hour - world.DAY_STARTS_AT) % 24) * 3600
    return second.astype(np.int64).clip(60, world.DAY - 60)
