"""A user would lose reproducible rankings: the same scores must always give the same list."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.rank.topk import RunningTopK, top_k

SPECIAL = [-np.inf, np.inf, 0.0, -0.0, 1e-45, 3.4e38, -3.4e38]


def reference(scores, allowed, tie_break, k):
    """The definition, by a plain sort of each row."""
    rows = []
    for row, mask in zip(scores, allowed, strict=True):
        columns = np.flatnonzero(mask)
        order = np.lexsort((tie_break[columns], -row[columns]))
        rows.append(columns[order][:k])
    return rows


def check(scores, allowed, tie_break, k):
    found = top_k(torch.tensor(scores), torch.tensor(allowed), torch.tensor(tie_break), k)
    assert found.indices.shape == found.scores.shape == found.valid.shape == (len(scores), k)
    for row, expected in enumerate(reference(scores, allowed, tie_break, k)):
        n = len(expected)
        assert found.valid[row].tolist() == [True] * n + [False] * (k - n)
        assert found.indices[row, :n].tolist() == expected.tolist()
        assert found.scores[row, :n].tolist() == scores[row, expected].tolist()
        assert (found.indices[row, n:] == 0).all()
        assert (found.scores[row, n:] == -torch.inf).all()


@st.composite
def problems(draw):
    Q, V = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    values = draw(
        st.sampled_from(
            [
                st.sampled_from([0.0, 1.0]),
                st.sampled_from([*map(float, np.float32(SPECIAL))]),
                st.floats(width=32, allow_nan=False),
            ]
        )
    )
    scores = np.array(draw(st.lists(values, min_size=Q * V, max_size=Q * V)), dtype=np.float32).reshape(Q, V)
    allowed = np.array(draw(st.lists(st.booleans(), min_size=Q * V, max_size=Q * V))).reshape(Q, V)
    tie_break = np.array(draw(st.permutations(range(V))))
    return scores, allowed, tie_break, draw(st.integers(1, V + 5))


@given(problems())
@settings(max_examples=300, deadline=None)
def test_agrees_with_a_plain_sort(problem):
    check(*problem)


@pytest.mark.parametrize("k", [1, 10, 50, 199, 200, 300])
@pytest.mark.parametrize("levels", [1, 3, 1_000_000])
def test_agrees_on_larger_rows(k, levels):
    random = np.random.default_rng(levels + k)
    scores = random.integers(0, levels, (40, 200)).astype(np.float32)
    check(scores, random.random((40, 200)) < 0.7, random.permutation(200), k)


def test_a_row_is_ranked_alike_in_any_batch():
    random = np.random.default_rng(0)
    scores = torch.tensor(random.integers(0, 4, (64, 300)).astype(np.float32))
    allowed, ties = torch.tensor(random.random((64, 300)) < 0.5), torch.tensor(random.permutation(300))
    together = top_k(scores, allowed, ties, 20)
    for row in (0, 31, 63):
        alone = top_k(scores[row : row + 1], allowed[row : row + 1], ties, 20)
        assert (alone.indices[0] == together.indices[row]).all()


def test_the_columns_may_stand_in_any_order():
    random = np.random.default_rng(1)
    scores = torch.tensor(random.integers(0, 4, (8, 100)).astype(np.float32))
    allowed, ties = torch.ones(8, 100, dtype=torch.bool), torch.tensor(random.permutation(100))
    order = torch.tensor(random.permutation(100))
    straight = top_k(scores, allowed, ties, 15).indices
    shuffled = top_k(scores[:, order], allowed, ties[order], 15).indices
    assert (order[shuffled] == straight).all()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_nothing_to_rank(shape):
    found = top_k(torch.zeros(shape), torch.ones(shape, dtype=torch.bool), torch.arange(shape[1]), 4)
    assert found.indices.shape == (shape[0], 4)
    assert not found.valid.any()


def test_the_inputs_stay_as_they_were():
    scores, allowed = torch.zeros(2, 6), torch.tensor([[True, False] * 3] * 2)
    top_k(scores, allowed, torch.arange(6), 2)
    assert (scores == 0).all()
    assert allowed.sum() == 6


def test_nan_is_a_bug_of_the_scorer():
    scores = torch.zeros(2, 5)
    scores[1, 3] = torch.nan
    with pytest.raises(AssertionError, match="NaN"):
        top_k(scores, torch.ones(2, 5, dtype=torch.bool), torch.arange(5), 2)


def test_half_precision_scores_rank_as_their_values():
    scores = torch.tensor([[1.0, 3.0, 2.0, 3.0]], dtype=torch.bfloat16)
    found = top_k(scores, torch.ones(1, 4, dtype=torch.bool), torch.tensor([0, 3, 1, 2]), 3)
    assert found.indices.tolist() == [[3, 1, 2]]


@given(problems(), st.data())
@settings(max_examples=300, deadline=None)
def test_blocks_are_ranked_as_the_whole(problem, data):
    """Wherever the catalogue is cut, ties and minus infinity included."""
    scores, allowed, tie_break, k = (torch.tensor(each) if not isinstance(each, int) else each for each in problem)
    V = scores.shape[1]
    cuts = sorted(data.draw(st.sets(st.integers(1, V))) | {V})
    running = RunningTopK(len(scores), k)
    for first, last in zip([0, *cuts], cuts, strict=False):
        running.add(first, scores[:, first:last], allowed[:, first:last], tie_break[first:last])
    whole, found = top_k(scores, allowed, tie_break, k), running.result()
    assert found.valid.equal(whole.valid)
    assert found.indices.equal(whole.indices)
    assert found.scores.equal(whole.scores)


@pytest.mark.parametrize("block", [7, 64, 1000])
@pytest.mark.parametrize("levels", [3, 1_000_000])
@pytest.mark.parametrize("rising", [False, True])
def test_blocks_of_larger_rows(block, levels, rising):
    """Also where each block is better than the ones before."""
    random = np.random.default_rng(levels)
    scores = torch.tensor(random.integers(0, levels, (20, 1000)).astype(np.float32))
    scores = scores.sort(1).values if rising else scores
    allowed, ties = torch.tensor(random.random((20, 1000)) < 0.7), torch.tensor(random.permutation(1000))
    running = RunningTopK(20, 10)
    for first in range(0, 1000, block):
        part = slice(first, first + block)
        running.add(first, scores[:, part], allowed[:, part], ties[part])
    for one, two in zip(running.result(), top_k(scores, allowed, ties, 10), strict=True):
        assert one.equal(two)


def test_nan_in_a_later_block_is_a_bug_of_the_scorer():
    running = RunningTopK(1, 2)
    allowed, ties = torch.ones(1, 4, dtype=torch.bool), torch.arange(4)
    running.add(0, torch.zeros(1, 4), allowed, ties)
    with pytest.raises(AssertionError, match="NaN"):
        running.add(4, torch.tensor([[0.0, torch.nan, 0.0, 0.0]]), allowed, ties + 4)
