"""The hash: ties would be broken otherwise on another machine or in another version, and figures would move."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data import stable_hash

MASK = (1 << 64) - 1


def mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def plain_hash(text: str, seed: int) -> int:
    """The same hash, one byte after another."""
    increment = 0x9E3779B97F4A7C15
    content = text.encode()
    state = mix(((seed * increment + increment) & MASK) ^ len(content))
    for start in range(0, len(content), 8):
        word = int.from_bytes(content[start : start + 8], "little")
        state = mix(state ^ mix((word + increment) & MASK))
    return state


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(max_size=30)), seed=st.integers(0, 1000))
def test_it_agrees_with_its_plain_form(texts: list[str], seed: int) -> None:
    assert stable_hash(pl.Series(texts, dtype=pl.String), seed).tolist() == [plain_hash(t, seed) for t in texts]


def test_it_never_changes() -> None:
    ids = pl.Series(["7", "12345678901234", "", "é" * 20])
    assert stable_hash(ids).tolist() == [
        1114452683699961129, 4712146158060761158, 16294208416658607535, 7907924348581885594,
    ]  # fmt: skip


@given(ids=st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_and_their_text_hash_alike(ids: list[int]) -> None:
    numbers = pl.Series(ids, dtype=pl.Int64)
    assert (stable_hash(numbers) == stable_hash(numbers.cast(pl.String))).all()


def test_it_spreads() -> None:
    hashes = stable_hash(pl.Series(np.arange(100_000)))
    assert len(np.unique(hashes)) == 100_000
    counts = np.bincount((hashes % np.uint64(100)).astype(np.int64))
    assert counts.min() > 850
    assert counts.max() < 1150
    assert not (hashes == stable_hash(pl.Series(np.arange(100_000)), seed=1)).any()
