"""If these fail, batches come in another order than planned, or a fault in making them is lost in a thread."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.train.loader import made_ahead


def loaders() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("palate-loader")]


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 5), number=st.integers(0, 12), ahead=st.integers(0, 4))
def test_each_once_and_in_order_from_wherever_it_begins(first: int, number: int, ahead: int) -> None:
    assert list(made_ahead(lambda n: n * n, range(first, first + number), ahead)) == [
        n * n for n in range(first, first + number)
    ]
    assert not loaders()


def test_what_goes_wrong_is_raised_where_the_batch_is_asked_for() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise ValueError("batch 3 is torn")
        return number

    batches = made_ahead(make, range(10))
    assert [next(batches) for _ in range(3)] == [0, 1, 2], "what came before it is not lost"
    with pytest.raises(ValueError, match="batch 3 is torn"):
        next(batches)
    assert not loaders()


def test_it_works_ahead_and_no_further() -> None:
    made = []
    batches = made_ahead(lambda n: made.append(n) or n, range(100), 2)
    assert next(batches) == 0
    for _ in range(200):
        if len(made) == 3:
            break
        time.sleep(0.01)
    assert made == [0, 1, 2]
    batches.close()
    assert not loaders(), "the thread ends with the iterator"
