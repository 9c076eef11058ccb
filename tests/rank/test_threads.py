"""If these fail, a service becomes slower with every answer, or answers to the wrong questions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from palate.rank.threads import side_by_side


@pytest.fixture
def four() -> Iterator[None]:
    """Four threads, of which two can share a batch."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def in_a_new_thread(work: object) -> object:
    assert callable(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.usefixtures("four")
def test_answers_come_in_order_and_share_the_threads() -> None:
    assert list(side_by_side(lambda piece: (piece, torch.get_num_threads()), range(2))) == [(0, 2), (1, 2)]
    assert list(side_by_side(lambda piece: piece, range(50))) == list(range(50))


@pytest.mark.usefixtures("four")
def test_later_threads_are_as_fast_as_before() -> None:
    """A web server answers each request in a thread of its own, some of which begin after the first answer."""
    list(side_by_side(str, range(8)))
    assert torch.get_num_threads() == 4
    assert in_a_new_thread(torch.get_num_threads) == 4
    assert in_a_new_thread(lambda: list(side_by_side(lambda _: torch.get_num_threads(), range(2)))) == [2, 2]
    answers = side_by_side(str, range(8))
    next(answers)
    answers.close()  # whoever asks goes away
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda piece: 1 // piece, range(8)))
    assert in_a_new_thread(torch.get_num_threads) == 4
