"""Settings of the simulated service, and the presets that fix them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from palate.config import Config
from palate.errors import ConfigError

PresetName = Literal["tiny", "service", "long"]


class SimulationConfig(Config):
    """Everything that decides what a simulated service is: equal settings make equal bytes."""

    version: Literal[2] = 2
    """Version of the generator. Another version may make other data from the same settings."""
    members: int = Field(default=2000, ge=1, le=20_000_000)
    """Members, those who join during the period included."""
    items: int = Field(default=1000, ge=40, le=200_000)
    """Items, those that launch during the period included; each episode of a series is one."""
    days: int = Field(default=120, ge=2, le=2000)
    """Length of the period in days, from Monday 2 January 2023, 04:00 UTC."""
    seed: int = Field(default=0, ge=0)
    """Seed of all random draws."""

    sessions_per_day: float = Field(default=0.18, gt=0, le=6)
    """Sessions a day of a member, on average over members."""
    activity_spread: float = Field(default=1.0, ge=0, le=2)
    """Standard deviation of the logarithm of a member's activity: the heavy tail of history lengths."""
    another: float = Field(default=0.38, ge=0, lt=0.9)
    """Probability that a session goes on with another title once the member is through with one."""
    joining_share: float = Field(default=0.2, ge=0, le=0.9)
    """Share of the members who join during the period; the others were there before."""

    launching_share: float = Field(default=0.15, ge=0, le=0.9)
    """Share of the titles that launch during the period; the others were there before."""
    series_share: float = Field(default=0.15, ge=0, le=0.9)
    """Share of the titles that are series; each has 4 to 16 episodes."""
    weekly_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the series that launch an episode a week; the others launch whole."""

    sharpness: float = Field(default=1.0, gt=0, le=3)
    """Inverse temperature of every choice: more makes members more predictable."""
    taste_strength: float = Field(default=6.5, ge=0, le=10)
    """Length of a taste vector: utility of a title that fits perfectly, against one that does not matter."""
    drift: float = Field(default=0.45, ge=0, le=2)
    """Standard length of the slow wandering of a taste, relative to its lasting part."""
    drift_days: float = Field(default=35, gt=0)
    """Days after which the wandering part has lost 63 % of its memory."""
    phases_per_100_days: float = Field(default=2.5, ge=0, le=20)
    """Passing infatuations with one genre (two to four weeks each), a member and 100 days."""
    quality_scale: float = Field(default=1.4, ge=0, le=4)
    """Scale of the exponentially distributed quality, which ends at 3.2 scales: the heavy tail of popularity."""
    freshness: float = Field(default=1.6, ge=0, le=5)
    """Utility of being new on launch day, for the average title and member."""
    freshness_days: float = Field(default=12, gt=0)
    """Days after which the effect of being new has fallen to 37 %."""
    context_strength: float = Field(default=1.0, ge=0, le=3)
    """Factor on what device, hour and weekday do to the choice."""
    intent_strength: float = Field(default=2.2, ge=0, le=8)
    """Utility of a title that has the genre or type the session is after."""

    continue_share: float = Field(default=0.3, ge=0, le=1)
    """Probability that a session opens with what the member is in the middle of; 0.85 where that is sought."""
    binge: float = Field(default=0.7, ge=0, le=0.95)
    """Probability that the next episode follows an episode seen to its end, before the member's type counts."""
    breaks_per_hour: float = Field(default=0.3, ge=0, le=5)
    """Breaks in an hour of play, before the device counts: each makes two play events of one."""
    resume: float = Field(default=0.85, ge=0.05, le=0.99)
    """Probability that a member comes back from a break in the same session."""
    rewatch_share: float = Field(default=0.1, ge=0, le=0.9)
    """Share of choices that look for something seen before; 0.9 where that is sought."""
    seen_weight: float = Field(default=0.03, gt=0, le=1)
    """Factor on the weight of a title that the member is through with, where nothing seen is sought."""

    trailer_share: float = Field(default=0.12, ge=0, le=0.5)
    """Share of choices before which a trailer is watched; twice that in sessions of discovery."""
    watchlist_share: float = Field(default=0.12, ge=0, le=1)
    """Share of sessions that end with a title put on the watchlist."""
    from_watchlist: float = Field(default=0.2, ge=0, le=1)
    """Probability that a choice takes the title on the watchlist, where there is one."""
    rating_share: float = Field(default=0.1, ge=0, le=1)
    """Share of viewings that get a rating at the end of the session."""
    dislike_share: float = Field(default=0.15, ge=0, le=1)
    """Share of abandoned viewings that get a dislike at the end of the session."""

    row_share: float = Field(default=0.55, ge=0, le=1)
    """Share of free choices made from a row of titles that the service shows; the others search everything."""
    position_bias: float = Field(default=0.7, ge=0, le=3)
    """Exponent b of the propensity 1 / position ** b of being looked at in a row."""
    promotion: float = Field(default=1.2, ge=0, le=5)
    """Standard deviation of what puts titles into rows and is no one's taste; redrawn each week."""

    leaving_disappointed: float = Field(default=0.3, ge=0, le=1)
    """Hazard of leaving, a session, of who only abandons titles; it falls linearly to none at 40 % abandoned."""
    leaving_content: float = Field(default=0.05, ge=0, le=1)
    """Hazard of leaving, a session, of who only thinks of titles already seen; it falls to none at half of them."""
    leaving_price: float = Field(default=0.04, ge=0, le=1)
    """Share of the members who leave when the price rises, after 60 % of the period."""

    late_share: float = Field(default=0.0, ge=0, le=1)
    """Share of events that reach the log late: they stand behind events that happened after them."""
    duplicate_share: float = Field(default=0.0, ge=0, le=1)
    """Share of events that the log holds twice."""


_PRESETS: Final[dict[str, dict[str, float]]] = {
    "tiny": {"members": 200, "items": 160, "days": 40, "sessions_per_day": 0.35},
    "service": {},
    "long": {"members": 300, "items": 4000, "days": 730, "sessions_per_day": 2.5, "activity_spread": 0.7,
             "another": 0.5, "binge": 0.85, "continue_share": 0.6, "series_share": 0.35, "breaks_per_hour": 0.4,
             "seen_weight": 0.1,
             "joining_share": 0.0, "leaving_disappointed": 0.0, "leaving_content": 0.0, "leaving_price": 0.0},
}  # fmt: skip


def preset(name: PresetName, *, seed: int = 0, **changes: float) -> SimulationConfig:
    """The settings of a named preset, with ``changes`` to single settings.

    ``tiny`` is for tests (a second), ``service`` for the demo, ``long`` has few members with very long histories.
    Raises `ConfigError` for any other name, or for a setting that doesn't exist.
    """
    if name not in _PRESETS:
        raise ConfigError(f"no preset is called {name!r}", hint=f"presets: {', '.join(_PRESETS)}")
    return SimulationConfig.parse({**_PRESETS[name], **changes, "seed": seed}, source=f"preset {name}")
