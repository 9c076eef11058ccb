"""If these fail, targets are learned twice or not at all, or one member's history leaks into another's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from palate.data import Dataset, split
from palate.tokens import (
    PackConfig,
    Tokenizer,
    TokenizerConfig,
    WindowConfig,
    assemble,
    pack,
    query_windows,
    rectangles,
    training_windows,
)

lengths_of = st.lists(st.integers(0, 70), min_size=1, max_size=40)


def histories(lengths: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    end = np.cumsum(np.array(lengths, dtype=np.int64))
    return end - np.array(lengths, dtype=np.int64), end


@given(lengths_of, st.integers(1, 30), st.data())
def test_every_target_counts_once_an_epoch(lengths: list[int], context: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, context - 1))
    begin, end = histories(lengths)
    config = WindowConfig(context=context, overlap=overlap)
    windows = training_windows(begin, end, config, np.random.default_rng(data.draw(st.integers(0, 99))))
    counts = np.zeros(sum(lengths), dtype=int)
    for start, first, stop in zip(windows.start, windows.first_target, windows.stop, strict=True):
        assert start <= first < stop
        assert stop - start <= context
        member = np.searchsorted(end, start, side="right")
        assert begin[member] <= start
        assert stop <= end[member]
        assert first - start == 0 or first - start == min(overlap, first - begin[member])
        counts[first:stop] += 1
    assert (counts == 1).all()


@given(lengths_of, st.integers(1, 30))
def test_truncating_leaves_the_last_window_of_each_member(lengths: list[int], context: int) -> None:
    begin, end = histories(lengths)
    windows = training_windows(begin, end, WindowConfig(context=context, last_only=True), np.random.default_rng(0))
    there = np.array(lengths) > 0
    assert windows.stop.tolist() == end[there].tolist()
    assert windows.start.tolist() == np.maximum(begin, end - context)[there].tolist()


@given(lengths_of, st.integers(1, 30), st.integers(1, 3))
def test_no_member_has_more_windows_than_allowed(lengths: list[int], context: int, most: int) -> None:
    begin, end = histories(lengths)
    config = WindowConfig(context=context, windows_per_member=most)
    windows = training_windows(begin, end, config, np.random.default_rng(0))
    member = np.searchsorted(end, windows.start, side="right")
    counts = np.bincount(member, minlength=len(lengths))
    assert (counts[np.array(lengths) > 0] >= 1).all()
    assert (counts <= most).all()


def test_windows_lie_elsewhere_each_epoch() -> None:
    begin, end = histories([500])
    config = WindowConfig(context=50)
    first = training_windows(begin, end, config, np.random.default_rng([0, 0]))
    second = training_windows(begin, end, config, np.random.default_rng([0, 1]))
    assert first.start.tolist() != second.start.tolist()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 200), st.integers(0, 9))
def test_packing_takes_each_window_once_with_little_padding(lengths: list[int], tokens: int, seed: int) -> None:
    size = np.array(lengths, dtype=np.int64)
    config = PackConfig(batch_tokens=tokens, batch_sequences=7, pool_batches=3)
    seen: list[int] = []
    for each in pack(size, config, np.random.default_rng(seed)):
        seen += each.windows.tolist()
        own = size[each.windows]
        assert len(own) <= 7
        assert own.sum() <= tokens or len(own) == 1
        slots = sum(b * length for b, length in each.rectangles)
        assert sum(b for b, _ in each.rectangles) == len(own)
        assert 1 - own.sum() / slots < 0.05
    assert sorted(seen) == list(range(len(lengths)))


def test_like_lengths_share_a_rectangle() -> None:
    assert rectangles(np.array([100, 99, 98, 50, 50])) == ((3, 100), (2, 50))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 12), st.data())
def test_queries_see_the_last_rows(lengths: list[int], context: int, data: st.DataObject) -> None:
    """As many as the context has; with a slide, from a multiple of it on, so that queries share windows."""
    begin, end = histories(lengths)
    slide = data.draw(st.integers(1, context))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, int(end[-1]) - 1), min_size=1))), dtype=np.int64)
    member = np.searchsorted(end, rows, side="right")
    windows, of_query = query_windows(rows, begin[member], context, slide)
    for row, own, window in zip(rows, begin[member], of_query, strict=True):
        low = next(start for start in range(own, row + 1, slide) if row - start < context)
        assert windows.start[window] == low
        assert windows.first_target[window] <= row < windows.stop[window]
        assert windows.stop[window] - windows.start[window] <= context


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 25))
def test_rows_carry_the_event_before(seed: int, context: int) -> None:
    from tests.tokens.conftest import service

    dataset: Dataset = service(seed=seed % 7, has_time=bool(seed % 2))
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig())
    store = tokenizer.encode(dataset)
    rng = np.random.default_rng(seed)
    starts = dataset.member_starts
    ends = np.append(starts[1:], len(store.begin))
    windows = training_windows(starts, ends, WindowConfig(context=context, overlap=context // 3), rng)
    post, values = tokenizer.post_columns, tokenizer.post_values
    for each in pack(windows.lengths, PackConfig(batch_tokens=100), rng):
        lows = windows.start[each.windows]
        batch, rows = assemble(store, windows, each, post_columns=post, post_values=values)
        np.testing.assert_array_equal(batch.first, lows - store.begin[lows])
        ids, numbers = batch.ids.numpy(), batch.values.numpy()
        for slot in np.flatnonzero(rows >= 0):
            row = rows[slot]
            np.testing.assert_array_equal(ids[slot, post:], store.ids[row, post:])
            if row > store.begin[row]:
                np.testing.assert_array_equal(ids[slot, :post], store.ids[row - 1, :post])
                np.testing.assert_array_equal(numbers[slot, :values], store.values[row - 1, :values])
                assert batch.key_time[slot] == store.time[row - 1]
            else:
                assert (ids[slot, :post] == 0).all()
            assert batch.query_time[slot] == store.time[row]
            assert batch.target[slot] in (0, store.target[row])
        padding = rows < 0
        assert (ids[padding] == 0).all()
        assert (batch.target.numpy()[padding] == 0).all()
        start = 0
        for b, length in batch.rectangles:
            for sequence in rows[start : start + b * length].reshape(b, length):
                real = sequence[sequence >= 0]
                np.testing.assert_array_equal(np.diff(real), 1)
                assert len(set(store.begin[real])) == 1, "a sequence of two members"
            start += b * length
