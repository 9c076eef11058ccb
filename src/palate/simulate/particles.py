"""Guesses at what a member is like, and how they follow what the member does.

Each member has K particles: a type, a lasting taste, a wandering part, an infatuation, weights of quality and of being
new. They are drawn from the generator's prior and weighted by how probable they make what the member chose (sequential
importance resampling: Gordon, Salmond and Smith 1993). After a resampling the lasting parts are shaken with their mean
and spread kept (Liu and West 2001). What a session is after is summed out exactly.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.context import INTENTS
from palate.simulate.grid import Doubles, Floats, Ints, unit
from palate.simulate.members import KNOT_DAYS, PHASE, lasting_tastes, mainstream_weights, novelty_weights

_SHAKE: Final = 0.15
_OTHER_TYPE: Final = 0.02
_PHASE_WEEKS: Final = 3.0


class Particles:
    """K particles for each of M members."""

    def __init__(self, config: SimulationConfig, space: world.Space, M: int, K: int, rng: np.random.Generator) -> None:
        """From the prior."""
        self._config, self._space, self._rng = config, space, rng
        self.kind: Ints = rng.choice(len(world.MEMBER_TYPES), size=(M, K), p=world.MEMBER_TYPE_SHARES)
        _, lasting = lasting_tastes(space, self.kind.ravel(), rng)
        self.lasting: Doubles = lasting.reshape(M, K, world.LATENT)
        self.wander: Doubles = config.drift * rng.normal(size=self.lasting.shape) / np.sqrt(world.LATENT)
        self.phase: Doubles = np.zeros_like(self.lasting)
        self.mainstream: Doubles = mainstream_weights(M * K, rng).reshape(M, K)
        self.novelty: Doubles = novelty_weights(M * K, rng).reshape(M, K)
        self.weight: Doubles = np.full((M, K), 1.0 / K)
        self.intent: Doubles = np.full((M, K, len(INTENTS)), 1.0 / len(INTENTS))
        """[M, K, intents] probability of what the session is after, given the particle."""
        self.week = np.full(M, -1)

    def taste(self, some: Ints) -> Floats:
        """[N, K, D]"""
        total = self.lasting[some] + self.wander[some] + self.phase[some]
        return np.asarray(self._config.taste_strength * total, dtype=np.float32)

    def move(self, some: Ints, day: Ints) -> None:
        """Let time pass for these members until a day."""
        config, rng = self._config, self._rng
        week = day // KNOT_DAYS
        steps = week - self.week[some]
        some, steps = some[steps > 0], steps[steps > 0]
        if not len(some):
            return
        self.week[some] += steps
        memory = np.exp(-KNOT_DAYS * steps / config.drift_days)[:, None, None]
        noise = rng.normal(size=self.wander[some].shape) / np.sqrt(world.LATENT)
        self.wander[some] = memory * self.wander[some] + np.sqrt(1 - memory**2) * config.drift * noise
        # Infatuations end, and others begin.
        shape = self.kind[some].shape
        ends = rng.random(shape) < 1 - np.exp(-steps / _PHASE_WEEKS)[:, None]
        each_week = config.phases_per_100_days * KNOT_DAYS / 100
        recent = np.minimum(steps, _PHASE_WEEKS)[:, None]
        begins = rng.random(shape) < 1 - np.exp(-each_week * recent)
        genre = rng.choice(len(world.GENRES), size=shape, p=world.GENRE_SHARES)
        phase = np.where(ends[:, :, None], 0.0, self.phase[some])
        self.phase[some] = np.where(begins[:, :, None], PHASE * self._space.genres[genre], phase)

    def weigh(self, some: Ints, likelihood: Doubles) -> None:
        """Something of probability ``likelihood [N, K]`` has been seen of these members."""
        weight = self.weight[some] * np.maximum(likelihood, 1e-12)
        weight /= weight.sum(axis=1, keepdims=True)
        self.weight[some] = weight
        few = 1 / (weight**2).sum(axis=1) < 0.5 * weight.shape[1]
        self._resample(some[few])

    def _resample(self, some: Ints) -> None:
        N, K = len(some), self.weight.shape[1]
        if not N:
            return
        rng, weight = self._rng, self.weight[some]
        level = (rng.random((N, 1)) + np.arange(K)) / K
        ends = np.cumsum(weight, axis=1)
        ends[:, -1] = 1.0
        flat = (ends + np.arange(N)[:, None]).ravel()
        chosen = (
            np.searchsorted(flat, (level + np.arange(N)[:, None]).ravel()).reshape(N, K) - K * np.arange(N)[:, None]
        )
        chosen = chosen.clip(0, K - 1)
        at = some[:, None], chosen
        mean = (weight[:, :, None] * self.lasting[some]).sum(axis=1, keepdims=True)
        spread = np.sqrt((weight[:, :, None] * (self.lasting[some] - mean) ** 2).sum(axis=1, keepdims=True)) + 0.01
        keep = np.sqrt(1 - _SHAKE**2)
        lasting = mean + keep * (self.lasting[at] - mean)
        lasting += _SHAKE * spread * rng.normal(size=lasting.shape)
        kind = np.where(
            rng.random((N, K)) < _OTHER_TYPE,
            rng.choice(len(world.MEMBER_TYPES), size=(N, K), p=world.MEMBER_TYPE_SHARES),
            self.kind[at],
        )
        wander, phase, intent = self.wander[at], self.phase[at], self.intent[at]
        mainstream = self.mainstream[at] + 0.05 * rng.normal(size=(N, K))
        novelty = self.novelty[at] + 0.05 * rng.normal(size=(N, K))
        self.lasting[some], self.kind[some] = unit(lasting), kind
        self.wander[some], self.phase[some], self.intent[some] = wander, phase, intent
        self.mainstream[some], self.novelty[some] = mainstream.clip(0.2, 2.0), novelty.clip(0.0, 2.5)
        self.weight[some] = 1.0 / K
