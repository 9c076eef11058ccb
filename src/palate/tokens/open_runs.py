"""Open runs: what a history looks like whose last run has not ended yet.

A closed run is merged as a whole; the last run of a member may go on, and shows only its beginning. For the model to
know such beginnings, training shows some windows with the last run before their final target cut short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.tokens.store import TokenStore
from palate.tokens.windows import WindowConfig, Windows


@dataclass(frozen=True)
class OpenRuns:
    """Runs cut short, each followed by the token that asks what comes next; m of them, in the order of the log."""

    store: TokenStore
    """The tokens of run 0 cut short, the token that follows it, those of run 1, …"""
    asking: NDArray[np.int64]
    """Row in the log of the event that asks, ``[m]``, ascending."""
    run: NDArray[np.int64]
    """Row in the log of the run's first event, ``[m]``."""
    stop: NDArray[np.int64]
    """Row of ``store`` behind the token that asks, ``[m]``."""

    @property
    def start(self) -> NDArray[np.int64]:
        """Row of ``store`` of the run's first token, ``[m]``."""
        return np.concatenate([np.zeros(1, np.int64), self.stop])[: len(self.stop)]


def with_open_runs(
    windows: Windows, store: TokenStore, open_runs: OpenRuns, config: WindowConfig, rng: np.random.Generator
) -> Windows:
    """The windows, of which a share show the last run before their final target cut short, where there is one.

    What lies between the cut run and the final target is the rest of the run, and no target, so each target still
    counts once.
    """
    if not len(open_runs.asking):
        return windows
    target_rows = np.flatnonzero(store.target > 0)
    place = np.searchsorted(target_rows, windows.stop) - 1
    final = target_rows[np.maximum(place, 0)]
    asked = np.searchsorted(open_runs.asking, store.event[final])
    asked = np.minimum(asked, len(open_runs.asking) - 1)
    run = np.searchsorted(store.event, open_runs.run[asked])
    chosen = rng.random(windows.number) < config.open_runs
    chosen &= (place >= 0) & (open_runs.asking[asked] == store.event[final])
    chosen &= (run >= windows.first_target) & (run > windows.start)
    # A beginning can have more tokens than the whole run.
    chosen &= run - windows.start + (open_runs.stop - open_runs.start)[asked] <= config.context
    none = np.zeros(windows.number, np.int64)
    return Windows(
        start=windows.start,
        first_target=windows.first_target,
        stop=np.where(chosen, run, windows.stop),
        tail=(np.where(chosen, open_runs.start[asked], none), np.where(chosen, open_runs.stop[asked], none)),
    )
