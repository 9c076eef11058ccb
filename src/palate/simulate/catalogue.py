"""The titles: what they are called, who makes them, when they launch, how good they are, where they lie in the
space of tastes.

A *title* is what a member chooses: a film, or a series with its episodes. An *item* is what is played and what the
tables list: every episode is one. Titles are kept in order of launch, so that those available on a day are a prefix;
the items of a title lie next to each other. A title's latent vector is made of its genres, its cast, its maker and
something of its own, so that metadata tell much of it and not all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate import words
from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Bools, Doubles, Floats, Ints, on_grid, segment_starts, unit, within
from palate.simulate.names import people_names, title_names

_GENRE_TILT = {
    world.DOCUMENTARY: {"History": 8.0, "Nature": 10.0, "Crime": 2.5, "Fantasy": 0.05, "Horror": 0.1, "Romance": 0.2},
    world.SPECIAL: {"Comedy": 12.0, "Family": 2.0},
    world.SHORT: {"Animation": 4.0, "Comedy": 2.0},
    world.EPISODE: {"Crime": 1.6, "Mystery": 1.5},
}
_RUNTIMES = {  # minutes: median and spread of the logarithm
    world.FILM: (106, 0.17),
    world.EPISODE: (42, 0.30),
    world.DOCUMENTARY: (78, 0.25),
    world.SPECIAL: (62, 0.15),
    world.SHORT: (16, 0.40),
}
_COMFORT = {"Family": 0.9, "Animation": 0.9, "Comedy": 0.5, "Fantasy": 0.35, "Romance": 0.35}
_LITTLE_COMFORT = 0.15
_BEST = 3.2  # quality ends here, in scales: titles that everybody has played teach nothing
_FIRST_DAY = 15  # titles that are there on the first day, at least: a row of them can be shown


@dataclass(frozen=True)
class Catalogue:
    """G titles in order of launch, and their V items in the same order."""

    item_id: NDArray[np.object_]
    """[V]"""
    table: pl.DataFrame
    """The items table as it is written, in order of ``item_id``."""
    title: Ints
    """[V] the title of each item."""
    first: Ints
    """[G] the first item of each title."""
    size: Ints
    """[G] items of each title: episodes, or 1."""
    item_day: Ints
    """[V] day of the period on which the item launches, negative before it."""
    launch_day: Ints
    """[G] the same of the title, ascending."""
    runtime: Ints
    """[V] seconds."""
    hours: Doubles
    """[G] runtime of one item of the title."""
    factor: Floats
    """[G, D] place in the space of tastes: unit vectors, on the grid."""
    genres: Bools
    """[G, genres]"""
    kind: Ints
    """[G] index among `world.TYPES`."""
    language: Ints
    """[G]"""
    quality: Doubles
    """[G] utility for everybody."""
    hype: Doubles
    """[G] factor on the effect of being new."""
    comfort: Doubles
    """[G] probability that a member who thinks of this title again does want to see it again."""

    def launched_items(self, days: int) -> NDArray[np.int16]:
        """[days, G] how many items of each title have launched by each day."""
        counts = np.zeros((days, len(self.first)), dtype=np.int16)
        np.add.at(counts, (self.item_day.clip(0, days - 1), self.title), (self.item_day < days).astype(np.int16))
        return np.asarray(np.cumsum(counts, axis=0, dtype=np.int16))


def make_catalogue(config: SimulationConfig, space: world.Space, rng: np.random.Generator) -> Catalogue:
    """Draw all titles of the service."""
    kind, size = _titles(config, rng)
    G = len(kind)
    ranks = _genres(kind, rng)
    main = ranks.argmax(axis=1)
    people = _people(main, max(20, G // 2), 3, 1.5, space, rng)
    makers = _people(main, max(6, G // 14), 1, 1.1, space, rng)
    factor = unit(
        unit((ranks[:, :, None] * space.genres).sum(axis=1))
        + 0.45 * unit(people.vectors[people.of].sum(axis=1))
        + 0.45 * makers.vectors[makers.of[:, 0]]
        + 0.30 * unit(rng.normal(size=(G, world.LATENT)))
    )
    language = rng.choice(len(world.LANGUAGES), size=G, p=world.LANGUAGE_SHARES)
    quality = np.minimum(rng.exponential(config.quality_scale, size=G), _BEST * config.quality_scale)
    medians, spreads = (np.array([_RUNTIMES[code][n] for code in range(len(world.TYPES))]) for n in (0, 1))
    minutes = medians[kind] * np.exp(spreads[kind] * rng.normal(size=G))
    launch_day = _launches(config, kind, rng)
    weekly = rng.random(G) < config.weekly_share
    comfort = np.full(G, _LITTLE_COMFORT)
    for name, share in _COMFORT.items():
        comfort[ranks[:, world.genre(name)] == 1] = share  # of the main genre
    comfort = np.clip(comfort * np.exp(0.3 * rng.normal(size=G)), 0.02, 0.98)
    hype = 0.4 + rng.gamma(2.0, 0.3, size=G)
    names, person_names = title_names(rng, G), people_names(rng, len(people.vectors))
    maker_names = [f"{name.split()[-1]} Pictures" for name in people_names(rng, len(makers.vectors))]

    # All of it in order of launch.
    order = np.lexsort((np.arange(G), launch_day))
    kind, size, launch_day = kind[order], size[order], launch_day[order]
    weekly, minutes = weekly[order], minutes[order]
    title, episode = np.repeat(np.arange(G), size), within(size)
    V = len(title)
    item_day = launch_day[title] + np.where(weekly[title], 7 * episode, 0)
    vary = np.where(kind[title] == world.EPISODE, np.exp(0.06 * rng.normal(size=V)), 1.0)
    item_minutes = np.rint(minutes[title] * vary).astype(np.int64).clip(3)
    width = max(5, len(str(V)))
    item_id = np.array([f"t{number:0{width}d}" for number in (rng.permutation(V) + 1).tolist()], dtype=object)
    serial = kind[title] == world.EPISODE
    series_number = np.cumsum(kind == world.EPISODE)
    by_title = pl.DataFrame(
        {
            "name": [names[place] for place in order.tolist()],
            words.GROUP_ID: [
                f"s{number:04d}" if one == world.EPISODE else None
                for number, one in zip(series_number.tolist(), kind.tolist(), strict=True)
            ],
            words.ENTITY_TYPE: [world.TYPES[code] for code in kind.tolist()],
            "genres": [
                "|".join(world.GENRES[code] for code in np.argsort(-row)[: int((row > 0).sum())])
                for row in ranks[order]
            ],
            "cast": ["|".join(person_names[person] for person in row) for row in people.of[order].tolist()],
            "maker": [maker_names[maker] for maker in makers.of[order, 0].tolist()],
            "language": [world.LANGUAGES[code] for code in language[order].tolist()],
        }
    )
    table = (
        by_title[title]
        .select(
            pl.Series(words.ITEM_ID, item_id.tolist()),
            pl.when(pl.Series(serial))
            .then(pl.format("{}, Episode {}", "name", pl.Series(episode + 1)))
            .otherwise("name")
            .alias("title"),
            pl.exclude("name"),
            pl.when(pl.Series(serial)).then(pl.Series(episode + 1)).alias("episode"),
            pl.Series("runtime_minutes", item_minutes),
            pl.Series(words.LAUNCH_TIME, (world.START + world.DAY * item_day) * 1000),
        )
        .sort(words.ITEM_ID)
    )
    return Catalogue(
        item_id=item_id,
        table=table,
        title=title,
        first=segment_starts(size),
        size=size,
        item_day=item_day,
        launch_day=launch_day,
        runtime=item_minutes * 60,
        hours=minutes / 60,
        factor=on_grid(factor[order]),
        genres=ranks[order] > 0,
        kind=kind,
        language=language[order],
        quality=quality[order] - config.quality_scale,
        hype=hype[order],
        comfort=comfort[order],
    )


def _titles(config: SimulationConfig, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Type and number of items of each title; the numbers add up to the items of the configuration."""
    V = config.items
    kind = rng.choice(len(world.TYPES), size=V, p=world.SINGLE_SHARES)
    kind[rng.random(V) < config.series_share] = world.EPISODE
    # Singles come first, so that a small catalogue is not one series.
    kind[:_FIRST_DAY] = np.where(kind[:_FIRST_DAY] == world.EPISODE, world.FILM, kind[:_FIRST_DAY])
    size = np.where(kind == world.EPISODE, np.clip(4 + rng.negative_binomial(2, 0.33, size=V), 4, 16), 1)
    G = int(np.searchsorted(size.cumsum(), V)) + 1
    kind, size = kind[:G], size[:G]
    size[-1] -= size.sum() - V
    return kind, size


def _genres(kind: Ints, rng: np.random.Generator) -> Doubles:
    """Weights [G, genres] of the one to three genres of each title, the first weighing most."""
    weights = np.tile(world.GENRE_SHARES, (len(world.TYPES), 1))
    for code, tilts in _GENRE_TILT.items():
        for name, factor in tilts.items():
            weights[code, world.genre(name)] *= factor
    keys = np.log(weights[kind]) + rng.gumbel(size=(len(kind), len(world.GENRES)))
    count = rng.choice([1, 2, 3], size=len(kind), p=[0.25, 0.45, 0.30])
    rank = np.argsort(np.argsort(-keys, axis=1), axis=1)
    strength = np.array([1.0, 0.7, 0.45] + [0.0] * len(world.GENRES))
    return np.where(rank < count[:, None], strength[rank], 0.0)


@dataclass(frozen=True)
class _People:
    vectors: Doubles
    of: Ints
    """[G, each] who they are for each title."""


def _people(
    main: Ints, count: int, each: int, fame_tail: float, space: world.Space, rng: np.random.Generator
) -> _People:
    """People or makers, and the ones of each title: they mostly stay with the genre they are known for."""
    G = len(main)
    home = rng.choice(len(world.GENRES), size=count, p=world.GENRE_SHARES)
    vectors = unit(space.genres[home] + 0.9 * unit(rng.normal(size=(count, world.LATENT))))
    fame = rng.pareto(fame_tail, size=count) + 0.3
    weights = np.where(home == np.arange(len(world.GENRES))[:, None], 8.0, 1.0) * np.minimum(fame, 20)
    cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    cumulative += np.arange(len(world.GENRES))[:, None]  # one ascending line: genre g lies in (g, g + 1]
    chosen = np.empty((G, each), dtype=np.int64)
    open_rows = np.arange(G)
    while len(open_rows):  # until those of every title are different
        level = main[open_rows, None] + rng.random((len(open_rows), each))
        place = np.searchsorted(cumulative.ravel(), level, side="right").clip(max=cumulative.size - 1)
        chosen[open_rows] = np.sort(place % count, axis=1)
        open_rows = open_rows[(np.diff(chosen[open_rows], axis=1) == 0).any(axis=1)]
    return _People(vectors, chosen)


def _launches(config: SimulationConfig, kind: Ints, rng: np.random.Generator) -> Ints:
    """Launch days of titles."""
    G = len(kind)
    during = rng.random(G) < config.launching_share
    before = -1 - np.floor(rng.exponential(400.0, size=G)).astype(np.int64)
    day = np.where(during, rng.integers(0, config.days, size=G), before)
    if (day < 0).sum() < _FIRST_DAY:
        day[:_FIRST_DAY] = np.minimum(day[:_FIRST_DAY], -30)
    return np.asarray(day)
