"""A log larger than memory can be converted, or the largest public ones can't be tried on a laptop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.foreign import samples

from palate.data.foreign import convert, text
from palate.data.foreign.tally import Distinct

_CODE = """
import resource, sys
from palate.data.foreign import convert
import palate.data.dataset
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
convert(sys.argv[1], sys.argv[2])
print(peak() - before)
"""


def ratings(rows: int) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "userId": np.sort(generator.integers(1, rows // 25, rows)),
            "movieId": generator.integers(1, 20_000, rows),
            "rating": generator.integers(1, 11, rows) / 2,
            "timestamp": generator.integers(800_000_000, 1_700_000_000, rows),
        }
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    source = samples.movielens_csv(tmp_path / "source")
    ratings(5_000_000).write_csv(source / "ratings.csv")
    run = [sys.executable, "-c", _CODE, str(source), str(tmp_path / "out")]
    grown = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert grown < 500, "MiB"
    assert pl.scan_parquet(tmp_path / "out" / "events.parquet").select(pl.len()).collect().item() == 5_000_003


def test_any_size_of_block_gives_the_same_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = samples.movielens_csv(tmp_path / "source")
    ratings(5_000).write_csv(source / "ratings.csv")
    with (source / "ratings.csv").open("a") as file:
        file.write("1,2,x,3\n4,5\n")
    whole = convert(source, tmp_path / "whole")
    monkeypatch.setattr(text, "_BLOCK", 1 << 10)
    pieces = convert(source, tmp_path / "pieces")
    assert pieces.repairs == whole.repairs
    assert len(whole.repairs) == 2
    assert pieces.counts == whole.counts
    for name in ("events", "items"):
        assert pl.read_parquet(tmp_path / "pieces" / f"{name}.parquet").equals(
            pl.read_parquet(tmp_path / "whole" / f"{name}.parquet")
        )


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(0, 30)))))
def test_distinct_values_of_pieces_are_those_of_the_whole(pieces: list[list[int | None]]) -> None:
    distinct = Distinct()
    for piece in pieces:
        distinct.add(pl.Series(piece, dtype=pl.Int64))
    assert distinct.count == len({value for piece in pieces for value in piece if value is not None})
