"""The members: who they are, what they like, and how that wanders.

A lasting taste is a mixture of archetypes plus something of one's own. On top lie a slow wandering (an AR(1)
process in weekly steps) and passing phases, each an infatuation with one genre. Between weekly knots a taste is
interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate import words
from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Doubles, Floats, Ints, mix, on_grid, softmax, unit

KNOT_DAYS = 7


@dataclass(frozen=True)
class Members:
    """Members in order of their external id; M of them."""

    user_id: NDArray[np.object_]
    table: pl.DataFrame
    """The users table as it is written."""
    archetypes: Doubles
    """[M, archetypes] shares of the mixture."""
    knots: Floats
    """[knots, M, D] tastes at the start of each week, in utility, on the grid."""
    locale: Ints
    mainstream: Floats
    """[M] weight of quality and buzz, on the grid."""
    novelty: Floats
    """[M] weight of being new, on the grid."""
    joined_day: Ints
    """[M] first day; negative before the period."""
    rate: Doubles
    """[M] plays a day while a member."""
    weekend: Doubles
    """[M] log of the weekend's activity against the week's."""
    peak: Doubles
    """[M] favourite hour of the evening."""
    noon: Doubles
    """[M] share of the sessions around noon."""
    devices: Doubles
    """[M, devices] shares."""


def taste_at(knots: Floats, member: Ints, day: Ints) -> Floats:
    """Tastes [N, D] of members on days, interpolated between weekly knots."""
    week, rest = np.divmod(day, KNOT_DAYS)
    share = (rest / KNOT_DAYS)[:, None]
    return on_grid(knots[week, member] * (1 - share) + knots[week + 1, member] * share)


def make_members(config: SimulationConfig, space: world.Space, rng: np.random.Generator) -> Members:
    """Draw all members."""
    M = config.members
    archetypes = rng.dirichlet(np.full(world.ARCHETYPES, 0.15), size=M)
    lasting = unit(unit(mix(archetypes, space.archetypes)) + 0.25 * unit(rng.normal(size=(M, world.LATENT))))
    wandering = _wandering(config, rng) + _phases(config, space, rng)
    knots = on_grid(config.taste_strength * (lasting + wandering))

    locale = rng.choice(len(world.LOCALES), size=M, p=world.LOCALE_SHARES)
    joins = rng.random(M) < config.joining_share
    before = -1 - np.floor(rng.exponential(500.0, size=M)).astype(np.int64)
    joined_day = np.where(joins, rng.integers(0, config.days, size=M), before)
    rate = np.exp(config.activity_spread * rng.normal(size=M) - config.activity_spread**2 / 2)
    # Nobody plays more than two fifths of the catalogue in the period, nor five titles a day.
    ceiling = min(5.0, 0.4 * config.items / config.days)
    rate = np.minimum(config.plays_per_day * rate, max(ceiling, config.plays_per_day))
    devices = rng.dirichlet([2.2, 1.2, 0.5, 0.7], size=M)
    age = _ages(archetypes, rng)
    plan = np.clip(np.rint(0.6 * np.log(rate / config.plays_per_day) + rng.normal(1.0, 0.6, size=M)), 0, 2)
    width = max(5, len(str(M)))
    user_id = [f"m{number:0{width}d}" for number in range(1, M + 1)]
    table = pl.DataFrame(
        {
            words.USER_ID: user_id,
            "country": [world.LOCALES[code][3:] for code in locale.tolist()],
            "age_band": [world.AGES[code] for code in age.tolist()],
            "plan": [world.PLANS[code] for code in plan.astype(int).tolist()],
            "joined": (world.START + world.DAY * joined_day) * 1000,
        }
    )
    return Members(
        user_id=np.array(user_id, dtype=object),
        table=table,
        archetypes=archetypes,
        knots=knots,
        locale=locale,
        mainstream=on_grid(np.clip(rng.normal(1.0, 0.3, size=M), 0.2, 2.0)),
        novelty=on_grid(np.clip(rng.normal(1.0, 0.4, size=M), 0.0, 2.5)),
        joined_day=joined_day,
        rate=rate,
        weekend=rng.normal(0.15, 0.35, size=M),
        peak=rng.normal(20.4, 1.5, size=M),
        noon=rng.beta(1.5, 8.0, size=M),
        devices=devices,
    )


def _knot_count(days: int) -> int:
    return (days - 1) // KNOT_DAYS + 2


def _wandering(config: SimulationConfig, rng: np.random.Generator) -> Doubles:
    """[knots, M, D]: a stationary AR(1) process of standard length ``drift``."""
    steps = rng.normal(size=(_knot_count(config.days), config.members, world.LATENT)) / np.sqrt(world.LATENT)
    memory = np.exp(-KNOT_DAYS / config.drift_days)
    for week in range(1, len(steps)):
        steps[week] = memory * steps[week - 1] + np.sqrt(1 - memory**2) * steps[week]
    return np.asarray(config.drift * steps)


def _phases(config: SimulationConfig, space: world.Space, rng: np.random.Generator) -> Doubles:
    """[knots, M, D]: for two to four weeks a member is taken with one genre."""
    K, M = _knot_count(config.days), config.members
    total = np.zeros((K, M, world.LATENT))
    count = rng.poisson(config.phases_per_100_days * config.days / 100, size=M)
    member = np.repeat(np.arange(M), count)
    start = rng.integers(0, K, size=len(member))
    length = rng.integers(2, 5, size=len(member))
    direction = space.genres[rng.choice(len(world.GENRES), size=len(member), p=world.GENRE_SHARES)]
    for offset in range(4):
        live = (offset < length) & (start + offset < K)
        np.add.at(total, (start[live] + offset, member[live]), 0.8 * direction[live])
    return total


def _ages(archetypes: Doubles, rng: np.random.Generator) -> Ints:
    """Age bands that tell a little about the taste: each archetype leans to one of them."""
    leaning = rng.integers(0, len(world.AGES), size=world.ARCHETYPES)
    lean = 2.0 * (leaning[:, None] == np.arange(len(world.AGES)))
    weights = softmax(mix(archetypes, lean))
    cumulative = weights.cumsum(axis=1)
    return np.asarray((cumulative < rng.random(len(archetypes))[:, None]).sum(axis=1).clip(max=len(world.AGES) - 1))
