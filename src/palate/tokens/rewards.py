"""Reward weights: how much each training target counts, from what is known of how it went.

The weight of a target is a product of factors, cut to [``least``, ``most``] and divided by its mean over the training
targets:

    raw = type × (1 − a + a · share) × (1 − b + b · score) × 0.5 ^ (age / half-life)

``share`` of the runtime that was watched, ``score`` the rating on [0, 1], a and b their strengths, age the time from
the event to the last training event. A part that is off has the factor 1. What is known of a target lies in the
training part alone: its own event, the events of its run, and a rating that follows before the member turns to the
item again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from palate.config import Config
from palate.data import Dataset, Part, Split, is_target, run_starts
from palate.errors import ConfigError
from palate.tokens.fields import numbers
from palate.tokens.reward_signals import DurationReward, RatingReward, ratings, shares
from palate.tokens.sample import Sample, row_hashes
from palate.tokens.tokenizer import begins, first_of_members
from palate.words import EVENT_TYPE, TIMESTAMP, USER_ID

__all__ = ["DurationReward", "RatingReward", "RewardConfig", "RewardFitter", "Rewards", "training_targets"]

_MILLISECONDS_A_DAY: Final = 86_400_000
_PIECES: Final = 1 << 24
"""Raw weights are summed in whole pieces of this size: the sum is the same for a log whole or in parts."""


class RewardConfig(Config):
    """What the weight of a target is made of; each part is off unless it is given."""

    event_types: dict[str, float] = Field(default={})
    """Factor of each event type, 1 for those not listed; where the schema has one target a run, the largest of the
    run's events."""
    duration: DurationReward | None = None
    """Share of the runtime that was watched; null: off."""
    rating: RatingReward | None = None
    """Rating by the member; null: off."""
    recency_half_life_days: float | None = Field(default=None, gt=0)
    """Days before the last training event at which a target counts half; null: off."""
    least: float = Field(default=0.0, ge=0)
    """Smallest raw weight."""
    most: float = Field(default=10.0, gt=0)
    """Largest raw weight."""

    @model_validator(mode="after")
    def _possible(self) -> RewardConfig:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}")
        if negative := [name for name, factor in self.event_types.items() if not factor >= 0]:
            raise ValueError(f"the factor of {negative[0]} is {self.event_types[negative[0]]}: give 0 or more")
        return self


class Rewards(Config):
    """Reward weights, fitted: a configuration and what it needs to know of the training targets."""

    config: RewardConfig
    """What the weight is made of."""
    last_moment: int | None = None
    """Milliseconds of the last training event, where recency counts."""
    mean_share: float = 1.0
    """Mean share over the training targets that have one."""
    lowest: float = 0.0
    """Rating with the score 0."""
    highest: float = 1.0
    """Rating with the score 1."""
    mean_score: float = 1.0
    """Mean score over the training targets that have a rating."""
    mean: float = 1.0
    """Mean raw weight of the training targets."""

    @classmethod
    def fit(cls, parts: Callable[[], Iterable[tuple[Dataset, Split]]], config: RewardConfig) -> Rewards:
        """Learn from the training part of a log in parts, each of whole members; ``parts`` is gone through twice.

        Raises `ConfigError` for a column or an event type that is not there, a column that is no number, and where no
        training target has a weight above 0.
        """
        fitter = RewardFitter(config)
        for dataset, split in parts():
            fitter.add(dataset, split)
        rewards = fitter.finish()
        total = targets = 0
        for dataset, split in parts():
            target = training_targets(dataset, split)
            raw = rewards.raw(dataset, split)[target]
            total += int(np.round(raw * _PIECES).astype(np.int64).sum())
            targets += int(target.sum())
        if targets and not total:
            raise ConfigError("rewards: every training target has the weight 0", hint="give some factor above 0")
        return rewards.model_copy(update={"mean": total / _PIECES / targets if targets else 1.0})

    def weights(self, dataset: Dataset, split: Split) -> NDArray[np.float32]:
        """The weight of each event, ``[events]``, of mean 1 over the training targets; 0 where there is none."""
        return (self.raw(dataset, split) / self.mean).astype(np.float32)

    def raw(self, dataset: Dataset, split: Split) -> NDArray[np.float64]:
        """Weights before they are divided by their mean, ``[events]``; 0 for what is no training target."""
        train, target = split.part == Part.TRAIN, training_targets(dataset, split)
        events = dataset.events.filter(pl.Series(train))
        asked = target[train]
        found = _factor_of_types(events, dataset, self.config.event_types)
        if (duration := self.config.duration) is not None:
            share = shares(events, dataset.items, dataset.schema, duration)
            found = found * _mixed(duration.strength, share, self.mean_share)
        if (rating := self.config.rating) is not None:
            found = found * _mixed(
                rating.strength, self._score(ratings(events, dataset, rating, asked)), self.mean_score
            )
        if self.config.recency_half_life_days is not None:
            assert self.last_moment is not None, "fitted on a log with times"
            age = (self.last_moment - events[TIMESTAMP].to_numpy()) / _MILLISECONDS_A_DAY
            found = found * 0.5 ** (age / self.config.recency_half_life_days)
        result = np.zeros(len(train))
        result[train] = np.where(asked, found.clip(self.config.least, self.config.most), 0.0)
        return result

    def _score(self, rating: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.lowest == self.highest:
            return np.where(np.isnan(rating), np.nan, 1.0)
        return ((rating - self.lowest) / (self.highest - self.lowest)).clip(0, 1)


class RewardFitter:
    """Collects, part by part, what the weights need to know of the training targets, all but their mean."""

    def __init__(self, config: RewardConfig) -> None:
        self._config = config
        self._types: set[str] = set()
        self._last: int | None = None
        self._shares, self._ratings = Sample(), Sample()

    def add(self, dataset: Dataset, split: Split) -> None:
        """Take a part of whole members."""
        config = self._config
        train = split.part == Part.TRAIN
        events = dataset.events.filter(pl.Series(train))
        asked = training_targets(dataset, split)[train]
        if config.event_types and EVENT_TYPE in events.columns:
            self._types.update(events[EVENT_TYPE].drop_nulls().unique())
        if config.recency_half_life_days is not None:
            if not dataset.has_time:
                raise ConfigError("rewards: recency needs timestamps, and the data have positions")
            last = events[TIMESTAMP].max()
            assert last is None or isinstance(last, int)
            self._last = last if self._last is None or (last is not None and last > self._last) else self._last
        hashes = row_hashes(events[USER_ID], begins(first_of_members(events)))[asked]
        if config.duration is not None:
            self._shares.add(hashes, shares(events, dataset.items, dataset.schema, config.duration)[asked])
        if config.rating is not None:
            self._ratings.add(hashes, ratings(events, dataset, config.rating, asked)[asked])

    def finish(self) -> Rewards:
        """Weights whose mean is not known yet."""
        config = self._config
        if strange := [name for name in config.event_types if name not in self._types]:
            known = ", ".join(sorted(self._types)) or "none"
            raise ConfigError(f"rewards: no training event has the type {strange[0]!r}", hint=f"types: {known}")
        rewards = Rewards(config=config, last_moment=self._last)
        if config.duration is not None:
            found = np.sort(self._shares.values())
            if not len(found):
                raise ConfigError("rewards: no training target has both a duration and a runtime")
            rewards = rewards.model_copy(update={"mean_share": float(found.mean())})
        if config.rating is not None:
            found = np.sort(self._ratings.values())
            if not len(found):
                raise ConfigError(f"rewards: no training target has a {config.rating.column}")
            lowest, highest = (
                float(end) if given is None else given
                for given, end in ((config.rating.lowest, found[0]), (config.rating.highest, found[-1]))
            )
            if lowest > highest:
                raise ConfigError(
                    f"rewards: the ratings lie between {found[0]:g} and {found[-1]:g}, beyond what is stated",
                    hint="correct lowest or highest",
                )
            rewards = rewards.model_copy(update={"lowest": lowest, "highest": highest})
            rewards = rewards.model_copy(update={"mean_score": float(rewards._score(found).mean())})
        return rewards


def training_targets(dataset: Dataset, split: Split) -> NDArray[np.bool_]:
    """Whether each event is a target of the training part, ``[events]``; later parts have no say in it."""
    breaks = np.diff(split.part, prepend=split.part[:1]) != 0
    target: NDArray[np.bool_] = is_target(dataset, breaks=breaks) & (split.part == Part.TRAIN)
    return target


def _factor_of_types(events: pl.DataFrame, dataset: Dataset, factors: dict[str, float]) -> NDArray[np.float64]:
    """The factor of each event's type, ``[events]``; with one target a run, the largest of its run's."""
    if not factors or EVENT_TYPE not in events.columns or not events.height:
        return np.ones(events.height)
    types = events[EVENT_TYPE]
    factor = numbers(types.replace_strict(list(factors), list(factors.values()), default=1.0, return_dtype=pl.Float64))
    if not dataset.schema.one_target_a_run:
        return factor
    starts = run_starts(events, dataset.schema, dataset.items)
    largest: NDArray[np.float64] = np.maximum.reduceat(factor, np.flatnonzero(starts))[np.cumsum(starts) - 1]
    return largest


def _mixed(strength: float, value: NDArray[np.float64], unknown: float) -> NDArray[np.float64]:
    return 1 - strength + strength * np.where(np.isnan(value), unknown, value)
