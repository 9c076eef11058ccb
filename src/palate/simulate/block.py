"""A block of members: the unit of simulation, of memory, and of work for a process.

Its size follows from the configuration alone, and its random numbers from the seed and its number, so that blocks can
be made in any order by any process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from palate.simulate import world
from palate.simulate.catalogue import Catalogue, make_catalogue
from palate.simulate.choice import ChoiceModel, make_choice_model
from palate.simulate.config import SimulationConfig
from palate.simulate.log import Log, make_log
from palate.simulate.members import Members, make_members
from palate.simulate.sessions import Sessions, plan_sessions
from palate.simulate.timeline import Plays, make_timeline
from palate.simulate.walk import Left, Viewings, walk

_EVENTS: Final = 1_300_000
"""Events of a block, about."""
_CELLS: Final = 1 << 25
"""Pairs of member and title of a block, at most."""
_EVENTS_OF_A_VIEWING: Final = 2.2
_MOST_MEMBERS: Final = 4096
_SERVICE, _BLOCKS = 0, 1


@dataclass(frozen=True)
class Service:
    """What there is before any member comes."""

    config: SimulationConfig
    space: world.Space
    catalogue: Catalogue
    choice: ChoiceModel


@dataclass(frozen=True)
class Block:
    """What consecutive members did, and why."""

    members: Members
    sessions: Sessions
    viewings: Viewings
    plays: Plays
    left: Left
    log: Log


def make_service(config: SimulationConfig) -> Service:
    """Draw catalogue and rows."""
    seeds = np.random.SeedSequence((config.seed, _SERVICE)).spawn(3)
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    space = world.make_space(generators[0])
    catalogue = make_catalogue(config, space, generators[1])
    return Service(config, space, catalogue, make_choice_model(config, catalogue, generators[2]))


def blocks(config: SimulationConfig, titles: int) -> list[range]:
    """The members of each block."""
    of_a_session = _EVENTS_OF_A_VIEWING / (1 - config.another)
    expected = max(1.0, of_a_session * config.sessions_per_day * config.days)
    most = max(1, min(_EVENTS / expected, _CELLS / titles, _MOST_MEMBERS))
    count = math.ceil(config.members / most)
    size = math.ceil(config.members / count)
    return [range(start, min(start + size, config.members)) for start in range(0, config.members, size)]


def run_block(service: Service, numbers: range) -> Block:
    """Simulate these members."""
    config = service.config
    seeds = np.random.SeedSequence((config.seed, _BLOCKS, numbers.start)).spawn(5)
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    members = make_members(config, service.space, numbers.start, len(numbers), generators[0])
    sessions = plan_sessions(config, service.space, members, generators[1])
    viewings, left = walk(members, service.catalogue, sessions, service.choice, generators[2])
    timeline = make_timeline(config, service.catalogue, sessions, viewings, generators[3])
    log = make_log(config, members, sessions, viewings, timeline, generators[4])
    return Block(members, sessions, viewings, timeline.plays, left, log)
