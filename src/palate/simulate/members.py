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
PHASE = 0.8
"""Length of an infatuation, against the lasting taste."""
_PRICE_RISES = 0.6


@dataclass(frozen=True)
class Members:
    """Consecutive members in order of their external id; M of them."""

    start: int
    """Number of the first one among all members."""
    kind: Ints
    """[M] index among `world.MEMBER_TYPES`."""
    archetypes: Doubles
    """[M, archetypes] shares of the mixture."""
    knots: Floats
    """[M, knots, D] tastes at the start of each week, in utility, on the grid."""
    locale: Ints
    age: Ints
    plan: Ints
    mainstream: Floats
    """[M] weight of quality and buzz, on the grid."""
    novelty: Floats
    """[M] weight of being new, on the grid."""
    joined_day: Ints
    """[M] first day; negative before the period."""
    price_day: Ints
    """[M] day on which the member leaves because of the price, or the length of the period."""
    rate: Doubles
    """[M] sessions a day while a member."""
    weekend: Doubles
    """[M] log of the weekend's activity against the week's."""
    peak: Doubles
    """[M] favourite hour of the evening."""
    noon: Doubles
    """[M] share of the sessions around noon."""
    devices: Doubles
    """[M, devices] shares."""

    def __len__(self) -> int:
        return len(self.kind)


def user_ids(config: SimulationConfig, number: Ints) -> pl.Series:
    """External ids of members by their number among all."""
    width = max(5, len(str(config.members)))
    return pl.Series(words.USER_ID, number + 1).cast(pl.String).str.zfill(width).str.replace("^", "m")


def users_table(config: SimulationConfig, members: Members) -> pl.DataFrame:
    """The users table as it is written."""

    def named(names: tuple[str, ...], codes: Ints) -> pl.Series:
        return pl.Series(names)[codes]

    return pl.DataFrame(
        {
            words.USER_ID: user_ids(config, members.start + np.arange(len(members))),
            "country": named(tuple(name[3:] for name in world.LOCALES), members.locale),
            "age_band": named(world.AGES, members.age),
            "plan": named(world.PLANS, members.plan),
            "joined": (world.START + world.DAY * members.joined_day) * 1000,
        }
    )


def taste_at(knots: Floats, member: NDArray[np.integer], day: NDArray[np.integer]) -> Floats:
    """Tastes [N, D] of members on days, interpolated between weekly knots."""
    week, rest = np.divmod(day, KNOT_DAYS)
    share = (rest / KNOT_DAYS)[:, None]
    return on_grid(knots[member, week] * (1 - share) + knots[member, week + 1] * share)


def make_members(
    config: SimulationConfig, space: world.Space, start: int, count: int, rng: np.random.Generator
) -> Members:
    """Draw ``count`` members, the first of which is number ``start`` among all."""
    M = count
    kind = rng.choice(len(world.MEMBER_TYPES), size=M, p=world.MEMBER_TYPE_SHARES)
    archetypes, lasting = lasting_tastes(space, kind, rng)
    wandering = _wandering(config, M, rng) + _phases(config, M, space, rng)
    knots = on_grid(config.taste_strength * (lasting[:, None] + wandering))

    locale = rng.choice(len(world.LOCALES), size=M, p=world.LOCALE_SHARES)
    joins = rng.random(M) < config.joining_share
    before = -1 - np.floor(rng.exponential(500.0, size=M)).astype(np.int64)
    joined_day = np.where(joins, rng.integers(0, config.days, size=M), before)
    spread = config.activity_spread
    activity = world.ACTIVITY[kind] * np.exp(spread * rng.normal(size=M) - spread**2 / 2)
    devices = rng.dirichlet([2.2, 1.2, 0.5, 0.7], size=M)
    ages = softmax(mix(archetypes, space.leaning)).cumsum(axis=1)
    rise = int(_PRICE_RISES * config.days)
    leaves = (rng.random(M) < config.leaving_price) & (joined_day < rise)
    price_day = rise + np.floor(rng.exponential(5.0, size=M)).astype(np.int64)
    plan = np.clip(np.rint(0.6 * np.log(activity) + rng.normal(1.0, 0.6, size=M)), 0, 2)
    return Members(
        start=start,
        kind=kind,
        archetypes=archetypes,
        knots=knots,
        locale=locale,
        age=(ages < rng.random(M)[:, None]).sum(axis=1).clip(max=len(world.AGES) - 1),
        plan=plan.astype(np.int64),
        mainstream=on_grid(mainstream_weights(M, rng)),
        novelty=on_grid(novelty_weights(M, rng)),
        joined_day=joined_day,
        price_day=np.where(leaves, np.minimum(price_day, config.days), config.days),
        rate=np.minimum(config.sessions_per_day * activity, max(3.0, 2.5 * config.sessions_per_day)),
        weekend=rng.normal(0.15, 0.35, size=M),
        peak=rng.normal(20.4, 1.5, size=M),
        noon=rng.beta(1.5, 8.0, size=M),
        devices=devices,
    )


def lasting_tastes(space: world.Space, kind: Ints, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Shares of archetypes [M, archetypes], and directions [M, D] of what lasts in the tastes of members."""
    M = len(kind)
    archetypes = rng.dirichlet(np.full(world.ARCHETYPES, 0.15), size=M)
    lasting = unit(mix(archetypes, space.archetypes)) + 0.25 * unit(rng.normal(size=(M, world.LATENT)))
    for_children = unit(space.genres[world.genre("Family")] + space.genres[world.genre("Animation")])
    return archetypes, unit(lasting + 0.8 * np.where(kind[:, None] == world.FAMILY_MEMBER, for_children, 0.0))


def knot_count(days: int) -> int:
    """Weekly knots of a period of so many days."""
    return (days - 1) // KNOT_DAYS + 2


def mainstream_weights(M: int, rng: np.random.Generator) -> Doubles:
    """[M] weights of quality and buzz."""
    return np.clip(rng.normal(1.0, 0.3, size=M), 0.2, 2.0)


def novelty_weights(M: int, rng: np.random.Generator) -> Doubles:
    """[M] weights of being new."""
    return np.clip(rng.normal(1.0, 0.4, size=M), 0.0, 2.5)


def _wandering(config: SimulationConfig, M: int, rng: np.random.Generator) -> Doubles:
    """[M, knots, D]: a stationary AR(1) process of standard length ``drift``."""
    steps = rng.normal(size=(M, knot_count(config.days), world.LATENT)) / np.sqrt(world.LATENT)
    memory = np.exp(-KNOT_DAYS / config.drift_days)
    for week in range(1, steps.shape[1]):
        steps[:, week] = memory * steps[:, week - 1] + np.sqrt(1 - memory**2) * steps[:, week]
    return np.asarray(config.drift * steps)


def _phases(config: SimulationConfig, M: int, space: world.Space, rng: np.random.Generator) -> Doubles:
    """[M, knots, D]: for two to four weeks a member is taken with one genre."""
    K = knot_count(config.days)
    total = np.zeros((M, K, world.LATENT))
    count = rng.poisson(config.phases_per_100_days * config.days / 100, size=M)
    member = np.repeat(np.arange(M), count)
    start = rng.integers(0, K, size=len(member))
    length = rng.integers(2, 5, size=len(member))
    direction = space.genres[rng.choice(len(world.GENRES), size=len(member), p=world.GENRE_SHARES)]
    for offset in range(4):
        live = (offset < length) & (start + offset < K)
        np.add.at(total, (member[live], start[live] + offset), PHASE * direction[live])
    return total
