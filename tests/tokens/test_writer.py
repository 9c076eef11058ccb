"""If these fail, a log in parts is encoded otherwise than the whole, or a killed encoding loses or repeats tokens."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data import Dataset, Split, split
from palate.tokens import Tokenizer, TokenizerConfig
from palate.tokens.sample import Sample
from palate.tokens.writer import StoreWriter
from tests.tokens.test_merges import merging, viewings


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


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=6), st.integers(0, 3), st.booleans())
def test_parts_give_the_same_tokens_as_the_whole(cuts: list[int], seed: int, merge: bool) -> None:
    dataset = viewings(seed=seed)
    division = split(dataset)
    config = merging() if merge else TokenizerConfig()
    parts = pieces(dataset, cuts)
    whole, piecewise = Tokenizer.fit(dataset, division, config), Tokenizer.fit_parts(lambda: parts, config)
    assert whole.specs == piecewise.specs
    assert whole.merges == piecewise.merges
    assert whole.items.digest() == piecewise.items.digest()
    with tempfile.TemporaryDirectory() as folder:
        writer = StoreWriter(Path(folder) / "parts")
        for part, part_split in parts:
            writer.append(piecewise.encode(part, part_split), part.events.height)
        store = writer.finish(Path(folder) / "tokens.arrow")
        assert store.digest() == whole.encode(dataset, division).digest()


def test_a_killed_writer_goes_on_behind_the_last_whole_part(tmp_path: Path) -> None:
    dataset = viewings(seed=1)
    parts = pieces(dataset, [4, 9])
    tokenizer = Tokenizer.fit_parts(lambda: parts, merging())
    stores = [(tokenizer.encode(*each), each[0].events.height) for each in parts]
    whole = StoreWriter(tmp_path / "whole")
    for store, events in stores:
        whole.append(store, events)
    first = StoreWriter(tmp_path / "parts")
    first.append(*stores[0])
    with (tmp_path / "parts" / "ids.bin").open("ab") as file:
        file.write(b"torn")  # as if killed in the middle of the second part
    again = StoreWriter(tmp_path / "parts")
    assert again.parts == 1
    for store, events in stores[again.parts :]:
        again.append(store, events)
    one, two = whole.finish(tmp_path / "whole.arrow"), again.finish(tmp_path / "again.arrow")
    assert one.digest() == two.digest()
    assert not (tmp_path / "parts").exists()


@given(st.lists(st.integers(0, 2**63), min_size=1, max_size=300, unique=True), st.integers(1, 50))
def test_a_sample_does_not_depend_on_the_order(hashes: list[int], most: int) -> None:
    own = np.array(hashes, np.uint64)
    values = np.arange(len(own), dtype=float)
    whole, turned = Sample(most), Sample(most)
    whole.add(own, values)
    for row in np.argsort(values)[::-1]:
        turned.add(own[row : row + 1], values[row : row + 1])
    assert sorted(whole.values()) == sorted(turned.values())
    assert len(whole.values()) == min(most, len(own))


def test_numbers_that_are_none_are_not_sampled() -> None:
    sample = Sample(10)
    sample.add(np.arange(4, dtype=np.uint64), np.array([1.0, np.nan, np.inf, 2.0]))
    assert sorted(sample.values()) == [1.0, 2.0]
