"""Settings of the simulated service, and the presets that fix them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palate.config import Config
from palate.errors import ConfigError


class SimulationConfig(Config):
    """Everything that decides what a simulated service is: equal settings make equal bytes."""

    version: Literal[1] = 1
    """Version of the generator. Another version may make other data from the same settings."""
    members: int = Field(default=2000, ge=1, le=1_000_000)
    """Members, those who join during the period included."""
    items: int = Field(default=1000, ge=30, le=100_000)
    """Titles, those that launch during the period included."""
    days: int = Field(default=120, ge=2, le=1000)
    """Length of the period in days, from Monday 2 January 2023, 04:00 UTC."""
    seed: int = Field(default=0, ge=0)
    """Seed of all random draws."""

    plays_per_day: float = Field(default=0.5, gt=0, le=5)
    """Plays a day of a member, on average over members."""
    activity_spread: float = Field(default=1.0, ge=0, le=2)
    """Standard deviation of the logarithm of a member's activity: the heavy tail of history lengths."""
    plays_per_session: float = Field(default=3.0, ge=1, le=5)
    """Plays of a session, on average (before the end of the day cuts some off)."""
    joining_share: float = Field(default=0.2, ge=0, le=0.9)
    """Share of the members who join during the period; the others were there before."""
    launching_share: float = Field(default=0.15, ge=0, le=0.9)
    """Share of the titles that launch during the period; the others were there before."""

    sharpness: float = Field(default=1.0, gt=0, le=3)
    """Inverse temperature of every choice: more makes members more predictable."""
    taste_strength: float = Field(default=6.5, ge=0, le=10)
    """Length of a taste vector: utility of a title that fits perfectly, against one that does not matter."""
    drift: float = Field(default=0.3, ge=0, le=2)
    """Standard length of the slow wandering of a taste, relative to its lasting part."""
    drift_days: float = Field(default=35, gt=0)
    """Days after which the wandering part has lost 63 % of its memory."""
    phases_per_100_days: float = Field(default=1.5, ge=0, le=20)
    """Passing infatuations with one genre (two to four weeks each), a member and 100 days."""
    quality_scale: float = Field(default=2.4, ge=0, le=4)
    """Scale of the exponentially distributed quality, which ends at 3.2 scales: the heavy tail of popularity."""
    freshness: float = Field(default=1.6, ge=0, le=5)
    """Utility of being new on launch day, for the average title and member."""
    freshness_days: float = Field(default=12, gt=0)
    """Days after which the effect of being new has fallen to 37 %."""
    context_strength: float = Field(default=1.0, ge=0, le=3)
    """Factor on what device, hour and weekday do to the choice."""
    intent_strength: float = Field(default=2.2, ge=0, le=8)
    """Utility of a title that has the genre or type the session is after."""
    continuation: float = Field(default=2.0, ge=0, le=8)
    """Utility of the next part of something played long ago; twice that just after it; 3 more where it is sought."""

    trailer_share: float = Field(default=0.15, ge=0, le=1)
    """Share of plays before which a trailer is watched; twice that in sessions of discovery."""
    rating_share: float = Field(default=0.08, ge=0, le=1)
    """Share of plays that get a rating."""


def preset(name: Literal["tiny", "service"], *, seed: int = 0) -> SimulationConfig:
    """The settings of a named preset: ``tiny`` for tests (seconds), ``service`` for the demo.

    Raises `ConfigError` for any other name.
    """
    if name == "tiny":
        return SimulationConfig(members=200, items=150, days=40, seed=seed)
    if name == "service":
        return SimulationConfig(seed=seed)
    raise ConfigError(f"no preset is called {name!r}", hint="presets: tiny, service")
