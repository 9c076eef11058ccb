"""The titles: what they are called, who is in them, when they launch, how good they are, where they lie in the
space of tastes.

Titles are kept in order of launch, so that those available on a day are a prefix. A title's latent vector is
made of its genres, its cast and something of its own, so that metadata tell much of it and not all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate import words
from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Bools, Doubles, Floats, Ints, on_grid, unit
from palate.simulate.names import people_names, title_names

_GENRE_TILT = {
    world.DOCUMENTARY: {"History": 8.0, "Nature": 10.0, "Crime": 2.5, "Fantasy": 0.05, "Horror": 0.1, "Romance": 0.2},
    world.SPECIAL: {"Comedy": 12.0, "Family": 2.0},
    world.SHORT: {"Animation": 4.0, "Comedy": 2.0},
    world.SEASON: {"Crime": 1.6, "Mystery": 1.5},
}
_RUNTIMES = {  # minutes: median and spread of the logarithm
    world.FILM: (106, 0.17),
    world.SEASON: (330, 0.25),
    world.DOCUMENTARY: (78, 0.25),
    world.SPECIAL: (62, 0.15),
    world.SHORT: (16, 0.40),
}


_BEST = 3.2  # quality ends here, in scales: titles that everybody has played teach nothing


@dataclass(frozen=True)
class Catalogue:
    """Titles in order of launch; V of them."""

    item_id: NDArray[np.object_]
    table: pl.DataFrame
    """The items table as it is written, in order of ``item_id``."""
    factor: Floats
    """[V, D] place in the space of tastes: unit vectors, on the grid."""
    genres: Bools
    """[V, genres]"""
    kind: Ints
    """[V] index among `world.TYPES`."""
    language: Ints
    runtime: Ints
    """[V] seconds."""
    launch_day: Ints
    """[V] day of the period, negative before it; ascending."""
    successor: Ints
    """[V] the next part of the same group, or -1."""
    quality: Doubles
    hype: Doubles
    """[V] factor on the effect of being new."""

    def available(self, day: int) -> int:
        """How many titles have launched by this day: those before that index."""
        return int(np.searchsorted(self.launch_day, day, side="right"))


def make_catalogue(config: SimulationConfig, space: world.Space, rng: np.random.Generator) -> Catalogue:
    """Draw all titles of the service."""
    V = config.items
    kind, group, part = _groups(V, rng)
    # Parts of a group share nearly everything: what is shared is drawn for the group and looked up.
    genres, ranks = _genres(kind, group, rng)
    people, cast = _cast(ranks, group, space, rng)
    own = unit(rng.normal(size=(V, world.LATENT)))
    shared_own = unit(rng.normal(size=(V, world.LATENT)))[group]
    genre_part = unit((ranks[:, :, None] * space.genres).sum(axis=1))
    cast_part = unit(people.vectors[cast].sum(axis=1))
    factor = unit(genre_part + 0.5 * cast_part + 0.35 * shared_own + 0.2 * own)

    language = rng.choice(len(world.LANGUAGES), size=V, p=world.LANGUAGE_SHARES)[group]
    quality = rng.exponential(config.quality_scale, size=V)
    quality = np.minimum(quality, _BEST * config.quality_scale)
    quality = np.where(part > 0, 0.8 * quality[group] + 0.2 * quality, quality) - config.quality_scale
    medians, spreads = (np.array([_RUNTIMES[code][n] for code in range(len(world.TYPES))]) for n in (0, 1))
    minutes = np.rint(medians[kind] * np.exp(spreads[kind] * rng.normal(size=V))).astype(np.int64)
    launch_day = _launches(config, group, part, rng)

    order = np.lexsort((part, group, launch_day))
    place = np.empty(V, dtype=np.int64)
    place[order] = np.arange(V)
    follows = np.lexsort((part, group))
    same = group[follows[1:]] == group[follows[:-1]]
    successor = np.full(V, -1)
    successor[place[follows[:-1][same]]] = place[follows[1:][same]]

    width = max(5, len(str(V)))
    numbers = rng.permutation(V) + 1
    item_id = np.array([f"t{number:0{width}d}" for number in numbers.tolist()], dtype=object)
    table = pl.DataFrame(
        {
            words.ITEM_ID: item_id[order].tolist(),
            "title": _titles(kind, group, part, rng, order),
            words.GROUP_ID: _group_ids(group, order),
            words.ENTITY_TYPE: [world.TYPES[code] for code in kind[order].tolist()],
            "genres": ["|".join(world.GENRES[code] for code in np.argsort(-row)[: int((row > 0).sum())])
                       for row in ranks[order]],
            "cast": ["|".join(people.names[person] for person in row) for row in cast[order].tolist()],
            "language": [world.LANGUAGES[code] for code in language[order].tolist()],
            "runtime_minutes": minutes[order],
            words.LAUNCH_TIME: (world.START + world.DAY * launch_day[order]) * 1000,
        }
    ).sort(words.ITEM_ID)  # fmt: skip
    return Catalogue(
        item_id=item_id[order],
        table=table,
        factor=on_grid(factor[order]),
        genres=genres[order],
        kind=kind[order],
        language=language[order],
        runtime=minutes[order] * 60,
        launch_day=launch_day[order],
        successor=successor,
        quality=quality[order],
        hype=(0.4 + rng.gamma(2.0, 0.3, size=V))[order],
    )


def _groups(V: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Type, group and part of each title. The group is the index of its first part; parts count from 0."""
    kind = np.sort(rng.choice(len(world.TYPES), size=V, p=world.TYPE_SHARES))
    position = np.arange(V)
    # A title opens a group, or goes on with the group of the title before it.
    opens = rng.random(V) > np.where(kind == world.SEASON, 0.58, np.where(kind == world.FILM, 0.12, 0.0))
    opens[0] = True
    opens[1:] |= kind[1:] != kind[:-1]
    group = np.maximum.accumulate(np.where(opens, position, 0))
    return kind, group, position - group


def _genres(kind: Ints, group: Ints, rng: np.random.Generator) -> tuple[Bools, Doubles]:
    """Membership [V, genres] and weights of the one to three genres of each title, the first weighing most."""
    weights = np.tile(world.GENRE_SHARES, (len(world.TYPES), 1))
    for code, tilts in _GENRE_TILT.items():
        for name, factor in tilts.items():
            weights[code, world.genre(name)] *= factor
    keys = np.log(weights[kind]) + rng.gumbel(size=(len(kind), len(world.GENRES)))
    count = rng.choice([1, 2, 3], size=len(kind), p=[0.25, 0.45, 0.30])
    rank = np.argsort(np.argsort(-keys, axis=1), axis=1)
    ranks = np.where(rank < count[:, None], np.array([1.0, 0.7, 0.45] + [0.0] * len(world.GENRES))[rank], 0.0)[group]
    return ranks > 0, ranks


@dataclass(frozen=True)
class _People:
    names: list[str]
    vectors: Doubles


def _cast(ranks: Doubles, group: Ints, space: world.Space, rng: np.random.Generator) -> tuple[_People, Ints]:
    """People, and the three of each title: they mostly stay with the genre they are known for."""
    V = len(group)
    count = max(20, V // 3)
    home = rng.choice(len(world.GENRES), size=count, p=world.GENRE_SHARES)
    vectors = unit(space.genres[home] + 0.9 * unit(rng.normal(size=(count, world.LATENT))))
    fame = rng.pareto(1.5, size=count) + 0.3
    weights = np.where(home == np.arange(len(world.GENRES))[:, None], 8.0, 1.0) * fame  # [genres, people]
    cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    cumulative += np.arange(len(world.GENRES))[:, None]  # one ascending line: genre g lies in (g, g + 1]
    main = ranks.argmax(axis=1)
    cast = np.empty((V, 3), dtype=np.int64)
    open_rows = np.arange(V)
    while len(open_rows):  # until the three of every title are three
        level = main[open_rows, None] + rng.random((len(open_rows), 3))
        cast[open_rows] = np.searchsorted(cumulative.ravel(), level, side="right").clip(max=cumulative.size - 1) % count
        a, b, c = cast[open_rows].T
        open_rows = open_rows[(a == b) | (b == c) | (a == c)]
    return _People(people_names(rng, count), vectors), np.sort(cast, axis=1)[group]


def _launches(config: SimulationConfig, group: Ints, part: Ints, rng: np.random.Generator) -> Ints:
    """Launch days; the parts of a group launch in their order."""
    V = len(group)
    during = rng.random(V) < config.launching_share
    before = -1 - np.floor(rng.exponential(400.0, size=V)).astype(np.int64)
    day = np.where(during, rng.integers(0, config.days, size=V), before)
    by_group = np.lexsort((day, group))
    by_part = np.lexsort((part, group))
    ordered = np.empty(V, dtype=np.int64)
    ordered[by_part] = day[by_group]
    # Somebody has to have something to play on the first day.
    if (ordered < 0).sum() < 10:
        ordered[by_part[:10]] = -30
    return ordered


def _titles(kind: Ints, group: Ints, part: Ints, rng: np.random.Generator, order: Ints) -> list[str]:
    names = title_names(rng, len(group))
    sizes = np.bincount(group, minlength=len(group))[group]
    result = []
    for index in order.tolist():
        name = names[group[index]]
        if kind[index] == world.SEASON:
            name = f"{name}: Season {part[index] + 1}"
        elif sizes[index] > 1 and part[index] > 0:
            name = f"{name}, Part {part[index] + 1}"
        result.append(name)
    return result


def _group_ids(group: Ints, order: Ints) -> list[str | None]:
    """Groups of more than one title have an id; the others have none."""
    sizes = np.bincount(group, minlength=len(group))
    number: Any = np.cumsum(sizes > 1)
    return [f"g{number[group[i]]:04d}" if sizes[group[i]] > 1 else None for i in order.tolist()]
