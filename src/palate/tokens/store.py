"""The token store: a log as arrays, in memory or mapped from `palate.tokens.columns`."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TokenStore(NamedTuple):
    """One row a token, members' histories end to end. ``n`` rows, ``F`` index and ``N`` number columns."""

    ids: NDArray[np.int32]
    """Field indices ``[n, F]``, post-action columns first."""
    values: NDArray[np.float32]
    """Scaled numbers ``[n, N]``, those of post-action fields first."""
    time: NDArray[np.int64]
    """Milliseconds of each token's first event ``[n]``; 0 without time."""
    end: NDArray[np.int64]
    """Milliseconds of its last event."""
    target: NDArray[np.int32]
    """Item index ``[n]`` where the token is a target, else 0."""
    available: NDArray[np.int32]
    """Item indices below this one exist at the token's first event, ``[n]``."""
    begin: NDArray[np.int64]
    """First row of each row's member ``[n]``; it may lie before the rows that are there, as those left out count."""
    session: NDArray[np.int32]
    """Number of each token's session within its member's history ``[n]``."""
    familiar: NDArray[np.int8]
    """`palate.tokens.batch.Familiar` of each target ``[n]``, 0 for what is none."""
    weight: NDArray[np.float32]
    """What each target counts ``[n]``, 0 for what is none."""
    shown: NDArray[np.int32]
    """Item indices that each target was chosen among, ``[n, S]``; S is 0 where that is not used."""
    event: NDArray[np.int64]
    """Row in the log of each token's first event ``[n]``, ascending."""

    def digest(self) -> str:
        """A hash of all content."""
        digest = hashlib.sha256()
        for array in self:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
