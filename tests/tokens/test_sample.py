"""If these fail, quantiles depend on the order of the log or on how it was cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palate.tokens.sample import Sample


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
