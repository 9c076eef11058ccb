"""One hash of external ids that is the same on every machine, in every version and for both id types.

It breaks ties (of scores, of equal times) and assigns members to parts of a log, so it may never change. The
mixing step is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), applied to the id's UTF-8 text, eight bytes at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

_INCREMENT = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

Hashes = npt.NDArray[np.uint64]


def mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64: a bijection of 64-bit words in which every bit moves every other."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def stable_hash(ids: pl.Series, seed: int = 0) -> Hashes:
    """A 64-bit hash of each id, ``[len(ids)]``; the integer 7 and the text "7" hash alike.

    Ids are integers or text without nulls. The result depends on the id's text and ``seed`` alone.
    """
    assert ids.null_count() == 0, "ids without nulls"
    text = ids.cast(pl.String)
    lengths = text.str.len_bytes().to_numpy().astype(np.int64)
    joined = text.str.join("").item() if len(text) else ""
    content = np.frombuffer(joined.encode(), dtype=np.uint8)
    content = np.concatenate([content, np.zeros(8, np.uint8)])
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])[:-1]

    state = np.full(len(text), (seed * _INCREMENT + _INCREMENT) & _MASK, dtype=np.uint64)
    state = mix(state ^ lengths.astype(np.uint64))
    for offset in range(0, int(lengths.max(initial=0)), 8):
        rows = np.flatnonzero(lengths > offset)
        word = np.zeros(len(rows), dtype=np.uint64)
        for byte in range(8):
            inside = lengths[rows] > offset + byte
            values = np.where(inside, content[starts[rows] + np.minimum(offset + byte, lengths[rows])], 0)
            word |= values.astype(np.uint64) << np.uint64(8 * byte)
        state[rows] = mix(state[rows] ^ mix(word + np.uint64(_INCREMENT)))
    return state
