"""If these fail, members are recommended what another moment of their history asks for."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.model import SasRecConfig
from palate.model.sasrec import SasRec
from palate.tokens.batch import Batch, Rectangle

SHAPES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 7)), min_size=1, max_size=4)


def batch(rectangles: tuple[Rectangle, ...]) -> Batch:
    T = sum(b * length for b, length in rectangles)
    whole, nothing = torch.zeros(T, dtype=torch.int64), torch.zeros(T, dtype=torch.int32)
    return Batch(
        ids=torch.zeros(T, 1, dtype=torch.int32),
        values=torch.zeros(T, 0),
        query_time=whole,
        key_time=whole,
        target=whole,
        available=nothing,
        outcome=torch.zeros(T, 1, dtype=torch.int32),
        familiar=nothing,
        session=nothing,
        weight=torch.zeros(T),
        shown=torch.zeros(T, 0, dtype=torch.int32),
        first=torch.zeros(sum(b for b, _ in rectangles), dtype=torch.int64),
        rectangles=rectangles,
    )


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.data())
def test_the_last_block_at_some_rows_is_the_last_block(shapes: list[tuple[int, int]], data: st.DataObject) -> None:
    torch.manual_seed(0)
    encoder = SasRec(SasRecConfig(width=8, blocks=2, heads=2), context=8).eval()
    packed = batch(tuple(Rectangle(*shape) for shape in shapes))
    T = len(packed.target)
    rows = sorted(data.draw(st.sets(st.integers(0, T - 1), min_size=1, max_size=T)))
    x = torch.randn(T, 8)
    wanted = torch.tensor(rows)
    torch.testing.assert_close(encoder(x, packed, wanted), encoder(x, packed)[wanted], rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_whole_block() -> None:
    torch.manual_seed(0)
    encoder = SasRec(SasRecConfig(width=8, blocks=2, heads=2), context=8).eval()
    packed = batch((Rectangle(3, 5), Rectangle(2, 2)))
    wanted = torch.tensor([4, 8, 14, 16])
    x = torch.randn(19, 8, requires_grad=True)
    one = torch.autograd.grad(encoder(x, packed, wanted).square().sum(), [x, *encoder.parameters()])
    two = torch.autograd.grad(encoder(x, packed)[wanted].square().sum(), [x, *encoder.parameters()])
    for ours, theirs in zip(one, two, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
