"""The fixed facts of the simulated service: genres, types, devices, languages, and the space of tastes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from palate.simulate.grid import Doubles, Floats, mix, on_grid, unit

START: Final = 1_672_632_000
"""Start of the period in seconds: Monday 2 January 2023, 04:00 UTC."""
DAY: Final = 86_400
DAY_STARTS_AT: Final = 4
"""Hour at which the service's day begins: titles launch then."""

LATENT: Final = 16
"""Width of the space of tastes."""

GENRES: Final = (
    "Action", "Animation", "Comedy", "Crime", "Drama", "Family", "Fantasy", "History", "Horror", "Mystery",
    "Nature", "Romance", "Science Fiction", "Thriller",
)  # fmt: skip
GENRE_SHARES: Final = np.array([9, 6, 13, 9, 15, 6, 6, 6, 6, 5, 4, 7, 7, 8]) / 107
FAMILIES: Final = np.array([0, 1, 1, 2, 3, 1, 0, 3, 2, 2, 3, 1, 0, 2])
"""Genres of one family are liked together."""

TYPES: Final = ("film", "episode", "documentary", "special", "short")
"""Types of items; a series is a title whose items are episodes."""
FILM, EPISODE, DOCUMENTARY, SPECIAL, SHORT = range(5)
SINGLE_SHARES: Final = np.array([0.55, 0.0, 0.18, 0.09, 0.18])
"""Shares of the types among titles that are no series."""

LANGUAGES: Final = ("en", "de", "fr", "es", "it", "ko", "ja")
LANGUAGE_SHARES: Final = np.array([0.50, 0.11, 0.11, 0.11, 0.07, 0.06, 0.04])
LOCALES: Final = ("en-GB", "de-DE", "fr-FR", "es-ES", "it-IT")
LOCALE_SHARES: Final = np.array([0.40, 0.19, 0.16, 0.15, 0.10])
"""A locale's own language has the locale's index among the languages."""

DEVICES: Final = ("tv", "phone", "tablet", "web")
TV, PHONE, TABLET, WEB = range(4)
RESTLESS: Final = np.array([0.7, 2.2, 1.3, 1.1])
"""Breaks in an hour on each device, against the setting."""
PLANS: Final = ("basic", "standard", "premium")
AGES: Final = ("18-24", "25-34", "35-44", "45-54", "55+")
ARCHETYPES: Final = 10

MEMBER_TYPES: Final = ("binger", "cinephile", "family", "sampler", "regular")
MEMBER_TYPE_SHARES: Final = np.array([0.20, 0.15, 0.15, 0.15, 0.35])
FAMILY_MEMBER: Final = 2
ACTIVITY: Final = np.array([1.3, 0.9, 1.3, 0.8, 0.9])
"""Sessions of each type of member, against the average."""
BINGE_SHIFT: Final = np.array([0.9, -0.6, 0.0, -0.8, 0.0])
"""Log odds of going on to the next episode."""
PATIENCE_SHIFT: Final = np.array([0.2, 0.2, 0.0, -0.9, 0.0])
"""Log odds of seeing something to its end."""
REWATCH: Final = np.array([0.7, 0.4, 3.0, 0.3, 1.0])
"""Choices that look for something seen before, against the setting."""
CONTINUE: Final = np.array([1.3, 0.7, 1.0, 0.6, 1.0])
"""Sessions that open with what the member is in the middle of, against the setting."""
DISCOVER: Final = np.array([0.8, 1.2, 0.6, 2.0, 1.0])
"""Sessions of discovery, against the average."""
TYPE_LIKING: Final = np.array(
    [  # film, episode, documentary, special, short
        [-0.3, 2.0, -0.3, 0.0, -0.3],
        [0.9, 0.5, 0.3, 0.0, 0.0],
        [0.2, 1.0, -0.3, 0.0, 0.7],
        [0.0, 0.8, 0.2, 0.3, 0.3],
        [0.0, 1.2, 0.0, 0.0, 0.0],
    ]
)
"""Utility of a title's type for each type of member."""


def genre(name: str) -> int:
    """Index of a genre."""
    return GENRES.index(name)


@dataclass(frozen=True)
class Space:
    """Directions in the space of tastes: unit vectors."""

    genres: Doubles
    """[genres, D]; those of one family lie closer together."""
    archetypes: Doubles
    """[archetypes, D]: typical tastes, of which a member's is a mixture."""
    leaning: Doubles
    """[archetypes, ages] log odds of age bands."""

    @property
    def genres_on_grid(self) -> Floats:
        """The genres as they enter inner products."""
        return on_grid(self.genres)


def make_space(rng: np.random.Generator) -> Space:
    """Draw the directions of genres and archetypes."""
    families = unit(rng.normal(size=(4, LATENT)))
    genres = unit(unit(rng.normal(size=(len(GENRES), LATENT))) + 0.6 * families[FAMILIES])
    loadings = np.zeros((ARCHETYPES, len(GENRES)))
    for row in loadings:
        liked = rng.choice(len(GENRES), size=4, replace=False, p=GENRE_SHARES)
        row[liked] = [1.0, 0.8, 0.5, -0.6]
    ages = rng.integers(0, len(AGES), size=ARCHETYPES)
    return Space(
        genres=genres,
        archetypes=unit(mix(loadings, genres)),
        leaning=2.0 * (ages[:, None] == np.arange(len(AGES))),
    )
