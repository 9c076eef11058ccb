"""If these fail, a log in parts is learned from otherwise than whole, or a killed encoding loses or repeats tokens."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.test_merges import merging, viewings

from palate.data import Dataset, Split, split
from palate.errors import SplitError
from palate.tokens import Columns, Tokenizer, TokenizerConfig
from palate.train.material import Material


def pieces(dataset: Dataset, cuts: list[int]) -> list[tuple[Dataset, Split]]:
    """Whole members, so many a piece."""
    division = split(dataset)
    starts = [*dataset.member_starts, dataset.events.height]
    edges = sorted({0, *(cut % len(starts) for cut in cuts), len(starts) - 1})
    found = []
    for low, high in pairwise(edges):
        rows = slice(int(starts[low]), int(starts[high]))
        part = Dataset(dataset.events[rows], dataset.items, dataset.users, dataset.schema, dataset.report)
        found.append((part, Split(division.rule, division.part[rows], division.cuts)))
    return found


def same(one: Material, two: Material) -> bool:
    alike = one.store.digest() == two.store.digest()
    alike &= one.begin.tolist() == two.begin.tolist() and one.end.tolist() == two.end.tolist()
    if one.open_runs is None or two.open_runs is None:
        return alike and one.open_runs is two.open_runs
    for name in ("asking", "run", "stop"):
        alike &= getattr(one.open_runs, name).tolist() == getattr(two.open_runs, name).tolist()
    return alike and one.open_runs.store.digest() == two.open_runs.store.digest()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=6), st.integers(0, 3), st.booleans())
def test_parts_give_the_same_material_as_the_whole(cuts: list[int], seed: int, merge: bool) -> None:
    dataset = viewings(seed=seed)
    config = merging() if merge else TokenizerConfig(runs="keep")
    parts = pieces(dataset, cuts)
    whole = Tokenizer.fit(dataset, split(dataset), config)
    piecewise = Tokenizer.fit_parts(lambda: parts, config)
    assert whole.digest() == piecewise.digest()
    with tempfile.TemporaryDirectory() as folder:
        written = Material.write(piecewise, lambda: parts, Path(folder) / "tokens")
        assert same(written, Material.of(whole, dataset, split(dataset)))


def test_a_killed_encoding_goes_on_behind_the_last_whole_part(tmp_path: Path) -> None:
    dataset = viewings(seed=1)
    parts = pieces(dataset, [4, 9])
    tokenizer = Tokenizer.fit_parts(lambda: parts, merging())
    with pytest.raises(ZeroDivisionError):
        Material.write(tokenizer, lambda: _dying(parts), tmp_path / "tokens", source="log")
    with (tmp_path / "tokens" / "tokens.ids.bin").open("ab") as file:
        file.write(b"torn")  # as if killed in the middle of the second part
    assert Columns(tmp_path / "tokens").parts == 1
    again = Material.write(tokenizer, lambda: parts, tmp_path / "tokens", source="log")
    assert same(again, Material.of(tokenizer, dataset, split(dataset)))
    other = Material.write(tokenizer, lambda: parts[:1], tmp_path / "tokens", source="another log")
    assert len(other.store.begin) < len(again.store.begin), "an encoding of another log is not gone on with"


def _dying(parts: list[tuple[Dataset, Split]]):  # type: ignore[no-untyped-def]
    yield parts[0]
    raise ZeroDivisionError


def test_nothing_to_learn_is_said() -> None:
    dataset = viewings(seed=1)
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, TokenizerConfig())
    nothing = Split(division.rule, np.full_like(division.part, 2), division.cuts)
    with pytest.raises(SplitError, match="no target"):
        Material.of(tokenizer, dataset, nothing)
