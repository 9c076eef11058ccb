"""What the moment does to the choice: device, hour, weekday, and what a session is after.

The effects are tables of utilities for genres and types. Short things suit the phone at noon, films the
television in the evening, animation the tablet in the afternoon, horror the night.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from palate.simulate import world
from palate.simulate.grid import Doubles, Floats, Ints, on_grid, products, softmax

_DAYPARTS: Final = (7.5, 12.5, 16.0, 20.5, 0.5)
"""Hours in the middle of morning, noon, afternoon, evening and night."""
_TYPE_BY_DAYPART: Final = np.array(
    [  # film, episode, documentary, special, short
        [-0.8, 0.2, 0.3, -0.3, 0.8],
        [-1.2, 0.3, 0.0, 0.3, 1.2],
        [0.0, 0.3, 0.3, 0.0, 0.2],
        [1.0, 0.5, 0.0, 0.3, -0.8],
        [0.4, 0.2, 0.2, 0.6, -0.2],
    ]
)
_TYPE_BY_DEVICE: Final = np.array(
    [
        [0.7, 0.3, 0.1, 0.0, -0.9],
        [-1.2, 0.0, -0.2, 0.3, 1.2],
        [-0.2, 0.3, 0.1, 0.0, 0.3],
        [0.0, 0.0, 0.2, 0.2, 0.1],
    ]
)
_GENRE_BY_DAYPART: Final = (
    {"Family": 1.0, "Animation": 0.8, "Horror": -1.0, "Thriller": -0.5, "Nature": 0.5},
    {"Comedy": 0.8, "Horror": -0.4, "Nature": 0.3},
    {"Nature": 0.6, "Family": 0.6, "Animation": 0.6, "Romance": 0.2},
    {"Drama": 0.4, "Crime": 0.5, "Thriller": 0.4, "Action": 0.3},
    {"Horror": 1.3, "Thriller": 0.6, "Science Fiction": 0.4, "Family": -1.2, "Animation": -0.5},
)
_GENRE_ON_TABLET: Final = {"Family": 0.6, "Animation": 0.9}
_GENRE_AT_WEEKENDS: Final = {"Family": 0.4, "Action": 0.3, "History": -0.2}
_DEVICE_BY_DAYPART: Final = np.array(
    [[0.5, 1.6, 1.0, 0.7], [0.3, 2.4, 0.8, 1.5], [0.9, 0.9, 1.4, 1.0], [1.8, 0.5, 0.7, 0.7], [1.2, 0.9, 1.0, 1.0]]
)

DISCOVER: Final = 0
CONTINUE: Final = 1
REWATCH: Final = 2
FIRST_GENRE: Final = 3
FIRST_TYPE: Final = FIRST_GENRE + len(world.GENRES)
INTENTS: Final = (
    "discover",
    "continue",
    "rewatch",
    *(f"genre: {name}" for name in world.GENRES),
    *(f"type: {name}" for name in world.TYPES),
)
"""What a session can be after, in the order of their codes."""
_LIKING = 3.2
_SHARES = {"discover": 0.22, "continue": 0.20, "rewatch": 0.06, "genre": 0.38, "type": 0.14}


def _dayparts() -> Doubles:
    """[24, dayparts] how much an hour belongs to each part of the day; rows sum to one."""
    distance = np.abs(np.arange(24)[:, None] + 0.5 - np.array(_DAYPARTS))
    distance = np.minimum(distance, 24 - distance)
    weights = np.exp(-0.5 * (distance / 1.6) ** 2) + 1e-6
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _by_genre(effects: dict[str, float]) -> Doubles:
    row = np.zeros(len(world.GENRES))
    for name, effect in effects.items():
        row[world.genre(name)] = effect
    return row


@cache
def context_table(strength: float) -> Floats:
    """Utilities [devices, 2 (weekend), 24 (hour), genres + types], on the grid."""
    parts = _dayparts()
    by_part = np.concatenate([np.stack([_by_genre(row) for row in _GENRE_BY_DAYPART]), _TYPE_BY_DAYPART], axis=1)
    by_hour = (parts[:, :, None] * by_part).sum(axis=1)
    by_device = np.zeros((len(world.DEVICES), by_hour.shape[1]))
    by_device[:, len(world.GENRES) :] = _TYPE_BY_DEVICE
    by_device[world.TABLET, : len(world.GENRES)] = _by_genre(_GENRE_ON_TABLET)
    by_weekend = np.zeros((2, by_hour.shape[1]))
    by_weekend[1, : len(world.GENRES)] = _by_genre(_GENRE_AT_WEEKENDS)
    by_weekend[1, len(world.GENRES) + world.FILM] = 0.3
    return on_grid(strength * (by_device[:, None, None] + by_weekend[:, None] + by_hour))


def device_weights(hour: Ints) -> Doubles:
    """How much more each device is used at these hours [N, devices]."""
    return np.asarray((_dayparts()[hour][:, :, None] * _DEVICE_BY_DAYPART).sum(axis=1))


def hour_of(second: Ints) -> Ints:
    """Hour of the day (UTC) of a second of the period."""
    return np.asarray((second // 3600 + world.DAY_STARTS_AT) % 24)


def is_weekend(day: Ints) -> Ints:
    """1 on Saturdays and Sundays of the service."""
    return np.asarray((day % 7 >= 5).astype(np.int64))


def intent_prior(taste: Floats, context: Floats, member_type: Ints, space: world.Space, strength: float) -> Doubles:
    """Probabilities [N, intents] of what a session is after, given its member's taste [N, D] and type, and the moment.

    Whoever likes a genre wants it more often; the moment's effects on genres and types count as well, and so does the
    type of the member.
    """
    likes = products(taste, space.genres_on_grid.T)
    genres = softmax(
        _LIKING * likes / max(strength, 1e-9) + context[:, : len(world.GENRES)] + np.log(world.GENRE_SHARES)
    )
    types = softmax(context[:, len(world.GENRES) :] + world.TYPE_LIKING[member_type])
    weights = np.concatenate(
        [
            _SHARES["discover"] * world.DISCOVER[member_type, None],
            _SHARES["continue"] * world.CONTINUE[member_type, None],
            _SHARES["rewatch"] * world.REWATCH[member_type, None],
            _SHARES["genre"] * genres,
            _SHARES["type"] * types,
        ],
        axis=1,
    )
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
