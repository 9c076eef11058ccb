"""What a block of members has behind it: titles seen, episodes to come, what is on the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from palate.simulate.grid import Bools, Doubles, Ints, segment_starts

FRESH: Final = 0
"""Never played."""
OPEN: Final = 1
"""A series of which the member wants the next episode."""
BROKEN: Final = 2
"""Left in the middle, to be gone on with."""
DONE: Final = 3
ABANDONED: Final = 4
DISLIKED: Final = 5
HARDLY: Final = 1e-4
"""Factor on the weight of a title that was disliked."""


@dataclass(frozen=True)
class Shelf:
    """The titles as far as progress needs them; G of them."""

    available: NDArray[np.int16]
    """[days, G] items of each title that have launched."""
    first: Ints
    size: Ints
    comfort: Doubles
    seen_weight: float


class State:
    """The past of B members; changed viewing by viewing. Members are given by their place in the block."""

    def __init__(self, shelf: Shelf, viewings: Ints) -> None:
        """Nobody has seen anything; ``viewings [B]`` says how many viewings each may have."""
        B, G = len(viewings), len(shelf.first)
        self.shelf = shelf
        self.titles = G
        self.status = np.zeros(B * G, dtype=np.int8)
        self.progress = np.zeros(B * G, dtype=np.int16)
        """[B · G] episodes seen to their end."""
        self.left = np.zeros(B * G, dtype=np.float32)
        """[B · G] share seen of the item that was left in the middle."""
        self.latest = np.full((B, 2), -1)
        """[B, 2] the last two different titles."""
        self.listed = np.full(B, -1)
        """[B] the title on the watchlist."""
        self.seen = np.full(int(viewings.sum()), -1)
        """All titles in the order in which members turned to them, member by member."""
        self.start = segment_starts(viewings)
        self.count = np.zeros(B, dtype=np.int64)
        self._factor = np.array([1.0, 1.0, 1.0, shelf.seen_weight, shelf.seen_weight, HARDLY])

    def place(self, member: Ints, title: NDArray[np.integer]) -> Ints:
        """Where pairs of member and title lie in the flat arrays; ``title`` is [N] or [N, k]."""
        base = member * self.titles
        return np.asarray((base if title.ndim == 1 else base[:, None]) + title)

    def waits(self, place: Ints, day: Ints, title: NDArray[np.integer]) -> Bools:
        """Whether the member is in the middle of the title, and it can be gone on with."""
        status = self.status[place]
        more = self.progress[place] < self._available(day, title)
        return np.asarray((status == BROKEN) | ((status == OPEN) & more))

    def factors(self, member: Ints, day: Ints, title: NDArray[np.integer]) -> Doubles:
        """What the past does to the weights of titles [N, k] in a free choice."""
        place = self.place(member, title)
        status = self.status[place]
        factor = self._factor[status]
        caught_up = (status == OPEN) & (self.progress[place] >= self._available(day, title))
        return np.where(caught_up, self.shelf.seen_weight, factor)

    def all_factors(self, member: Ints, day: Ints) -> Doubles:
        """`factors` of all titles [N, G]."""
        status = self.status.reshape(-1, self.titles)[member]
        progress = self.progress.reshape(-1, self.titles)[member]
        caught_up = (status == OPEN) & (progress >= self.shelf.available[day])
        return np.where(caught_up, self.shelf.seen_weight, self._factor[status])

    def wanted_again(self, place: Ints, title: NDArray[np.integer]) -> Doubles:
        """Probability that a title once turned to is turned to again when it comes to mind."""
        return np.where(self.status[place] < ABANDONED, self.shelf.comfort[title], 0.0)

    def episode(self, place: Ints, day: Ints, title: NDArray[np.integer]) -> Ints:
        """Number within its title of the item that would be played now."""
        started = (self.status[place] != FRESH) & (self.status[place] != DONE)
        next_one = np.where(started, self.progress[place], 0)
        return np.minimum(next_one, self._available(day, title) - 1)

    def turn_to(self, member: Ints, title: Ints) -> None:
        """These (distinct) members turn to a title each."""
        self.seen[self.start[member] + self.count[member]] = title
        self.count[member] += 1
        other = member[self.latest[member, 0] != title]
        self.latest[other, 1] = self.latest[other, 0]
        self.latest[member, 0] = title

    def leave(self, member: Ints, title: Ints, status: Ints, progress: Ints, left: Doubles) -> None:
        """And are through with it, in this state."""
        place = self.place(member, title)
        self.status[place] = status
        self.progress[place] = progress
        self.left[place] = left

    def _available(self, day: Ints, title: NDArray[np.integer]) -> NDArray[np.int16]:
        return np.asarray(self.shelf.available[day if title.ndim == 1 else day[:, None], title])
