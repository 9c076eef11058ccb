"""What becomes of a title once a member has turned to it: how many episodes, how far, with which breaks.

An item is seen to its end or abandoned on the way. Breaks come at a rate; after each the member comes back in the same
session or leaves the item in the middle. An episode seen to its end is followed by the next one with the member's
probability of binging.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Doubles, Floats, Ints
from palate.simulate.state import ABANDONED, BROKEN, DONE, OPEN

EPISODES: Final = 8
"""Episodes of one series in one go, at most."""
_BREAKS: Final = 4
_USUAL_MATCH: Final = 6.8
"""Utility of taste and quality of an average choice."""
_MATCHING, _PATIENCE = 0.4, 1.7
_CREDITS: Final = 0.08
_GIVEN_UP: Final = 0.6


@dataclass(frozen=True)
class Course:
    """What N members do with the title that they have turned to; by episode where it says E."""

    played: Ints
    """[N] items played, at least one."""
    upto: Floats
    """[N, E] share of the item that is wanted in all."""
    breaks: NDArray[np.int8]
    """[N, E] breaks that would come before that."""
    returns: NDArray[np.int8]
    """[N, E] breaks after which the member comes back, as long as there are any."""
    begin: Floats
    """[N] share of the first item that had been seen before."""
    shift: Floats
    """[N] where breaks lie between their even places, in distances of these."""
    status: Ints
    """[N] what the title is then, for the state."""
    progress: Ints
    """[N] episodes seen to their end."""
    left: Doubles
    """[N] share seen of the last item where it was left in the middle, else 0."""


def completion(match: Doubles, patience: Doubles) -> Doubles:
    """Probability that an item is wanted to its end; ``match`` is the utility of taste and quality."""
    return np.asarray(1 / (1 + np.exp(-(_MATCHING * (match - _USUAL_MATCH) + _PATIENCE + patience))))


def break_rate(config: SimulationConfig, device: Ints) -> Doubles:
    """Breaks in an hour."""
    return np.asarray(config.breaks_per_hour * world.RESTLESS[device])


def share_at_break(
    begin: Floats, upto: Floats, number: NDArray[np.integer], breaks: NDArray[np.integer], shift: Floats
) -> Floats:
    """Share of an item that has been seen at break ``number`` (from 0) of ``breaks``."""
    return np.asarray(begin + (upto - begin) * (number + 1 + shift) / (breaks + 1), dtype=np.float32)


def run_course(
    config: SimulationConfig,
    *,
    uniform: Floats,
    shift: Floats,
    finishes: Doubles,
    binges: Doubles,
    rate: Doubles,
    hours: Doubles,
    begin: Floats,
    episode: Ints,
    available: Ints,
    size: Ints,
) -> Course:
    """Let it take its course; all [N] but ``uniform [N, E, 5]``.

    ``hours`` is the runtime of one item, ``episode`` the number of the first one, ``available`` and ``size`` how many
    have launched and how many there will be.
    """
    N, E = uniform.shape[:2]
    ends, depth, breaking, returning, going_on = (uniform[:, :, n] for n in range(5))
    to_end = ends < finishes[:, None]
    wish = np.where(to_end, 1 - _CREDITS * depth, 0.01 + _GIVEN_UP * depth**2).astype(np.float32)
    start = np.zeros((N, E), dtype=np.float32)
    start[:, 0] = begin
    upto = start + (1 - start) * wish
    expected = (rate * hours)[:, None] * (upto - start)
    none = np.exp(-expected)
    breaks = np.zeros((N, E), dtype=np.int8)
    term, total = none, none
    for number in range(1, _BREAKS + 1):  # a Poisson variable by inversion, cut off
        breaks += breaking >= total
        term = term * expected / number
        total = total + term
    returns = np.minimum(np.log(np.maximum(returning, 1e-9)) / np.log(config.resume), _BREAKS).astype(np.int8)
    stopped = returns < breaks
    whole = to_end & ~stopped
    further = episode[:, None] + np.arange(1, E + 1)
    follows = whole & (going_on < binges[:, None]) & (further < available[:, None])
    follows[:, -1] = False
    last = np.argmin(follows, axis=1)
    rows = np.arange(N)
    done, broken = whole[rows, last], stopped[rows, last]
    progress = episode + last + done
    status = np.where(done, np.where(progress < size, OPEN, DONE), np.where(broken, BROKEN, ABANDONED))
    left = share_at_break(start[rows, last], upto[rows, last], returns[rows, last], breaks[rows, last], shift)
    return Course(
        played=last + 1,
        upto=upto,
        breaks=breaks,
        returns=returns,
        begin=begin,
        shift=shift,
        status=status,
        progress=progress,
        left=np.where(broken, left, 0.0),
    )
