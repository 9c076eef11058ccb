"""If these fail, members are recommended what another moment of their history asks for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from palate.model import SasRecConfig, TransformerConfig
from palate.model.sasrec import SasRec
from palate.model.transformer import Transformer
from palate.tokens.batch import Batch, Rectangle

SHAPES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 7)), min_size=1, max_size=4)


def batch(rectangles: tuple[Rectangle, ...]) -> Batch:
    T = sum(b * length for b, length in rectangles)
    nothing = torch.zeros(T, dtype=torch.int32)
    time = torch.randint(0, 10**9, (T,)).sort().values
    return Batch(
        ids=torch.zeros(T, 1, dtype=torch.int32),
        values=torch.zeros(T, 0),
        query_time=time,
        key_time=time - torch.randint(0, 10**6, (T,)),
        target=torch.zeros(T, dtype=torch.int64),
        available=nothing,
        outcome=torch.zeros(T, 1, dtype=torch.int32),
        familiar=nothing,
        session=nothing,
        weight=torch.zeros(T),
        shown=torch.zeros(T, 0, dtype=torch.int32),
        first=torch.zeros(sum(b for b, _ in rectangles), dtype=torch.int64),
        rectangles=rectangles,
    )


def encoder(kind: str) -> SasRec | Transformer:
    """With biases that are not all alike."""
    torch.manual_seed(0)
    made: SasRec | Transformer
    if kind == "sasrec":
        made = SasRec(SasRecConfig(width=8, blocks=2, heads=2), context=8)
    else:
        window = {"window": 4, "block": 2} if kind == "windowed" else {}
        config = TransformerConfig(width=8, blocks=2, heads=2, **window)
        made = Transformer(config, context=8, has_time=kind != "timeless")
    for name, parameter in made.named_parameters():
        if "table" in name:
            torch.nn.init.normal_(parameter)
    return made.eval()


KINDS = ("sasrec", "dense", "timeless", "windowed")


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(SHAPES, st.data())
def test_the_last_block_at_some_rows_is_the_last_block(
    kind: str, shapes: list[tuple[int, int]], data: st.DataObject
) -> None:
    encode = encoder(kind)
    packed = batch(tuple(Rectangle(*shape) for shape in shapes))
    T = len(packed.target)
    rows = sorted(data.draw(st.sets(st.integers(0, T - 1), min_size=1, max_size=T)))
    x = torch.randn(T, 8)
    wanted = torch.tensor(rows)
    torch.testing.assert_close(encode(x, packed, wanted), encode(x, packed)[wanted], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_whole_block(kind: str) -> None:
    encode = encoder(kind)
    packed = batch((Rectangle(3, 5), Rectangle(2, 2)))
    wanted = torch.tensor([4, 8, 14, 16])
    x = torch.randn(19, 8, requires_grad=True)
    trained = [x, *encode.parameters()]
    one = torch.autograd.grad(encode(x, packed, wanted).square().sum(), trained, allow_unused=True)
    two = torch.autograd.grad(encode(x, packed)[wanted].square().sum(), trained, allow_unused=True)
    for ours, theirs in zip(one, two, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["sasrec", "dense"])
def test_many_rows_of_a_sequence_hold_its_keys_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of whom an evaluation asks hundreds of targets: copied for each, their keys would take gigabytes."""

    def copied(*_: object) -> Tensor:
        raise AssertionError("keys of each row")

    monkeypatch.setattr("palate.model.transformer.attention_at", copied)
    monkeypatch.setattr("palate.model.sasrec.attention_at", copied)
    encode, packed = encoder(kind), batch((Rectangle(2, 6), Rectangle(1, 3)))
    wanted = torch.tensor([1, 3, 5, 11, 14])
    x = torch.randn(15, 8)
    torch.testing.assert_close(encode(x, packed, wanted), encode(x, packed)[wanted], rtol=1e-4, atol=1e-5)
