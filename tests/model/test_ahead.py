"""If these fail, a look further ahead learns another member's targets, or sees the rows between."""

import pytest
import torch
from tests.model.small import WIDTH
from torch.nn import functional as F

from palate.model import NextConfig
from palate.model.ahead import Ahead


def ahead(n: int = 4, share: float = 1.0) -> Ahead:
    torch.manual_seed(0)
    return Ahead(NextConfig(n=n, share=share), width=WIDTH)


def test_the_state_is_that_of_the_plain_formula() -> None:
    made, state = ahead(), torch.randn(6, WIDTH)
    offset = torch.tensor([1, 3, 2, 1, 3, 2])
    found = made(state, offset)
    for row in range(6):
        hidden = F.silu(made.down(state[row])) * made.offset[int(offset[row]) - 1]
        torch.testing.assert_close(found[row], state[row] + hidden @ made.up.weight.T)


def test_a_state_is_made_of_its_own_row() -> None:
    """And of its offset: each look is another one."""
    made, state = ahead(), torch.randn(5, WIDTH)
    offset = torch.tensor([1, 2, 3, 1, 2])
    before = made(state, offset)
    state[1] += 1
    after = made(state, offset)
    assert (before != after).any(1).tolist() == [False, True, False, False, False]
    looks = [made(state[:1], torch.tensor([n])) for n in (1, 2, 3)]
    assert (looks[0] != looks[1]).any()
    assert (looks[1] != looks[2]).any()


@pytest.mark.parametrize("n", [2, 3, 6])
def test_draws_stay_within_their_sequence(n: int) -> None:
    made = ahead(n)
    sequence = torch.tensor([0, 0, 0, 0, 0, 2, 3, 3, 7, 7, 7])
    possible = {
        (row, offset)
        for row in range(11)
        for offset in range(1, n)
        if row + offset < 11 and sequence[row + offset] == sequence[row]
    }
    found: set[tuple[int, int]] = set()
    for _ in range(300):
        later = made.draw(sequence)
        assert (later.target == later.row + later.offset).all()
        assert (sequence[later.target] == sequence[later.row]).all()
        assert len(set(later.row.tolist())) == len(later.row), "one look a row"
        found |= set(zip(later.row.tolist(), later.offset.tolist(), strict=True))
    assert found == possible


def test_a_share_of_the_rows_looks_ahead() -> None:
    made = ahead(n=2, share=0.25)
    later = made.draw(torch.zeros(20_000, dtype=torch.int64))
    assert len(later.row) == pytest.approx(5000, rel=0.06)


def test_where_there_is_nothing_ahead_nothing_is_drawn() -> None:
    for sequence in (torch.arange(9), torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)):
        assert len(ahead().draw(sequence).row) == 0
