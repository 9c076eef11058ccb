"""The rows of titles that the service shows: one of what is popular, one of what is new, one for each genre.

They are the same for everybody on a day. A title gets a place for its quality and buzz, and because it is promoted,
which has nothing to do with anyone's taste: that, and the places, bias what is chosen.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.config import SimulationConfig
from palate.simulate.context import DISCOVER, FIRST_GENRE, FIRST_TYPE, INTENTS
from palate.simulate.grid import Doubles, Floats, Ints

ROWS: Final = ("popular", "new", *(f"genre: {name}" for name in world.GENRES))
LENGTH: Final = 10
"""Titles of a row."""
_POPULAR, _NEW, _FIRST = 0, 1, 2
_JITTER = 0.3


def propensities(config: SimulationConfig) -> Doubles:
    """[LENGTH] how much each place of a row is looked at, against the first."""
    return np.asarray(1.0 / np.arange(1, LENGTH + 1) ** config.position_bias)


def row_shares() -> Doubles:
    """[intents, rows] which row a member turns to."""
    shares = np.zeros((len(INTENTS), len(ROWS)))
    shares[:, [_POPULAR, _NEW]] = 0.5
    shares[DISCOVER, [_POPULAR, _NEW]] = 0.3, 0.6
    shares[DISCOVER, _FIRST:] = 0.1 * world.GENRE_SHARES
    for number in range(len(world.GENRES)):
        shares[FIRST_GENRE + number] = 0.0
        shares[FIRST_GENRE + number, [_POPULAR, _NEW, _FIRST + number]] = 0.15, 0.10, 0.75
    shares[FIRST_TYPE:, [_POPULAR, _NEW]] = 0.6, 0.4
    return shares


def make_rows(
    config: SimulationConfig,
    catalogue: Catalogue,
    appeal: Floats,
    fresh: Floats,
    launched: Ints,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """[days, rows, LENGTH] titles in order of their places."""
    days, G = appeal.shape
    promoted = config.promotion * rng.normal(size=(-(-days // 7), G))
    result = np.empty((days, len(ROWS), LENGTH), dtype=np.int32)
    missing = np.where(catalogue.genres.T, 0.0, -1000.0)  # titles of other genres fill a row that is short
    for day in range(days):
        score = appeal[day] + promoted[day // 7] + _JITTER * rng.normal(size=G)
        scores = np.concatenate([score[None], (score + 3.0 * fresh[day])[None], score + missing])
        scores = scores[:, : launched[day]]
        best = np.argpartition(-scores, LENGTH - 1, axis=1)[:, :LENGTH]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        result[day] = np.take_along_axis(best, order, axis=1)
    return result
