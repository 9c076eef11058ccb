"""If these fail, long histories are read twice, not at all, or from the future."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.small import batch_of
from torch import Tensor

from palate.model import TransformerConfig
from palate.model.bias import PositionBias, TimeBias
from palate.model.flex import flex_windowed_attention, what_is_seen
from palate.model.grid import Dense, Grid, Span, grid_view, lay, lift
from palate.model.summary import Summaries
from palate.model.transformer import Transformer
from palate.model.window import reference_windowed_attention, windowed_attention
from palate.tokens.batch import Rectangle

H, E, BUCKETS = 2, 3, 9
NOW = 1_700_000_000_000


class Case:
    """Random queries, keys, values and tables for sequences of one rectangle."""

    def __init__(
        self, span: Span, first: list[int], length: int, *, has_time: bool = True, seed: int = 0, width: int = E
    ) -> None:
        draw = torch.Generator().manual_seed(seed)
        b = len(first)
        self.span, self.first = span, torch.tensor(first)
        self.rows = [
            torch.randn(b, H, length, width, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(3)
        ]
        steps = torch.randint(0, 10**7, (b, length), generator=draw).cumsum(1)
        self.query_time, self.key_time = NOW + steps, NOW + steps - torch.randint(0, 10**6, (b, length), generator=draw)
        self.position = PositionBias(H, span.rows).double()
        self.time = TimeBias(H, BUCKETS).double() if has_time else None
        self.summaries = Summaries(span, heads=H, head_width=width).double()
        self.tables = [
            parameter
            for part in (self.position, self.time, self.summaries)
            if part is not None
            for parameter in part.parameters()
        ]
        for table in self.tables:
            torch.nn.init.normal_(table, generator=draw)

    def view(self) -> Grid | Dense:
        buckets = None if self.time is None else BUCKETS
        return grid_view(self.span, self.first, self.query_time, self.key_time, buckets)

    def to(self, device: str) -> Case:
        """In single precision, on a device."""
        self.first, self.query_time, self.key_time = (
            each.to(device) for each in (self.first, self.query_time, self.key_time)
        )
        self.rows = [each.detach().float().to(device).requires_grad_() for each in self.rows]
        self.tables = []
        for part in (self.position, self.time, self.summaries):
            if part is not None:
                self.tables += part.float().to(device).parameters()
        return self

    def fast(self, attend: Callable[..., Tensor] = windowed_attention) -> Tensor:
        view = self.view()
        assert isinstance(view, Grid)
        b, _, length, width = self.rows[0].shape
        laid = [lay(view, each.transpose(1, 2).reshape(b * length, -1)) for each in self.rows]
        query, key, value = (each.unflatten(2, (H, width)).transpose(1, 2).contiguous() for each in laid)
        out = attend(query, key, value, view, self.position, self.time, self.summaries)
        return lift(view, out.transpose(1, 2).flatten(2)).view(b, length, H, width).transpose(1, 2)

    def plain(self) -> Tensor:
        return torch.stack(
            [
                reference_windowed_attention(
                    *(each[number] for each in self.rows),
                    int(first),
                    self.query_time[number],
                    self.key_time[number],
                    self.span,
                    self.position,
                    self.time,
                    self.summaries,
                )
                for number, first in enumerate(self.first)
            ]
        )


spans = st.builds(Span, block=st.integers(1, 4), back=st.integers(1, 3), own=st.integers(1, 3), rank=st.integers(1, 3))
firsts = st.lists(st.integers(0, 20), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(span=spans, first=firsts, extra=st.integers(1, 25), seed=st.integers(0, 99))
def test_fast_and_plain_agree(span: Span, first: list[int], extra: int, seed: int) -> None:
    """In values and in all gradients, wherever the sequences begin."""
    case = Case(span, first, span.rows + extra, has_time=bool(seed % 3), seed=seed)
    weight = torch.randn(case.rows[0].shape, dtype=torch.float64)
    fast, plain = case.fast(), case.plain()
    torch.testing.assert_close(fast, plain)
    wanted = [*case.rows, *case.tables]
    ours = torch.autograd.grad((fast * weight).sum(), wanted, allow_unused=True)
    theirs = torch.autograd.grad((plain * weight).sum(), wanted, allow_unused=True)
    for one, two, of in zip(ours, theirs, wanted, strict=True):
        torch.testing.assert_close(*(torch.zeros_like(of) if each is None else each for each in (one, two)))


@settings(max_examples=60, deadline=None)
@given(span=spans, sequences=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), min_size=1, max_size=3))
def test_what_is_seen_is_counted(span: Span, sequences: list[tuple[int, int]]) -> None:
    pairs = pooled = joined = 0
    for first, length in sequences:
        ahead = first % span.block
        blocks = [place // span.block for place in range(ahead, ahead + length)]
        for row, block in enumerate(blocks):
            pairs += sum(block - other <= span.back for other in blocks[: row + 1]) + span.summaries(block) * span.rank
        if blocks:
            pooled += sum(block < span.exact(blocks[-1]) for block in blocks)
            joined += sum(range(span.summarised(blocks[-1]) + 1))
        assert span.computed(length) >= sum(
            sum(0 <= block - other <= span.back for other in blocks) for block in blocks
        )
    found = span.seen(*(torch.tensor(each) for each in zip(*sequences, strict=True)))
    assert found == (pairs, pooled, joined)


@settings(max_examples=60, deadline=None)
@given(span=spans, first=st.integers(0, 20), extra=st.integers(1, 40))
def test_every_earlier_row_is_seen_exactly_once(span: Span, first: int, extra: int) -> None:
    """Where all rows are alike, each gets the same attention, whether it is seen itself or stood for."""
    length = span.rows + extra
    case = Case(span, [first], length, has_time=False)
    for table in case.tables:
        torch.nn.init.zeros_(table)
    case.rows = [torch.zeros(1, H, length, length) for _ in range(2)] + [torch.eye(length).expand(1, H, length, length)]
    view = case.view()
    assert isinstance(view, Grid)
    query, key, value = (
        lay(view, each.transpose(1, 2).reshape(length, -1)).unflatten(2, (H, length)).transpose(1, 2).contiguous()
        for each in case.rows
    )
    case.position.float(), case.summaries.float()
    case.summaries.query = torch.nn.Parameter(torch.zeros(H, span.rank, length))
    out = windowed_attention(query, key, value, view, case.position, None, case.summaries)
    seen = lift(view, out.transpose(1, 2).flatten(2)).view(length, H, length)
    share = torch.ones(length, length).tril() / torch.arange(1, length + 1)[:, None]
    torch.testing.assert_close(seen, share[:, None].expand(-1, H, -1))


def test_no_row_sees_a_later_one() -> None:
    """Each row's key, value and time is changed in turn; nothing moves before it, and all behind it does."""
    span = Span(block=3, back=1, own=2, rank=2)
    case = Case(span, [4, 0], 31)
    before = case.fast()
    for row in range(31):
        for what in range(3):
            changed = Case(span, [4, 0], 31)
            with torch.no_grad():
                changed.rows[what][:, :, row] += 1
            if what == 2:
                changed.key_time[:, row] += 10**9
                changed.query_time[:, row] += 10**9
            after = changed.fast()
            torch.testing.assert_close(after[:, :, :row], before[:, :, :row], rtol=0, atol=0)
            if what == 2:
                moved = (after != before).any(-1).any(1)
                assert moved[:, row:].all(), f"row {row} is forgotten"


@settings(max_examples=20, deadline=None)
@given(span=spans, first=firsts, extra=st.integers(1, 25), seed=st.integers(0, 9))
def test_flex_attention_is_told_the_same(span: Span, first: list[int], extra: int, seed: int) -> None:
    """The masks and biases of the kernel, as dense attention on the processor."""
    case = Case(span, first, span.rows + extra, has_time=bool(seed % 3), seed=seed)
    torch.testing.assert_close(case.fast(by_its_words), case.fast())


def by_its_words(query: Tensor, key: Tensor, value: Tensor, grid: Grid, *parts: Any) -> Tensor:
    """What FlexAttention is told, done pair by pair."""
    seen = what_is_seen(key, value, grid, *parts)
    s, h, q, k = torch.meshgrid(*(torch.arange(size) for size in (*query.shape[:3], seen.key.shape[2])), indexing="ij")
    logits = seen.modify(query @ seen.key.transpose(-1, -2) / query.shape[-1] ** 0.5, s, h, q, k)
    return logits.masked_fill(~seen.mask(s, q, k), -torch.inf).softmax(-1) @ seen.value


def test_flex_attention_gets_one_type() -> None:
    """Its kernel takes no mixture: summaries are averaged in another type than that of lowered products."""
    case = Case(Span(block=4, back=1, own=2, rank=2), [0], 30).to("cpu")
    types = []

    def typed(query: Tensor, key: Tensor, value: Tensor, grid: Grid, *parts: Any) -> Tensor:
        seen = what_is_seen(key, value, grid, *parts)
        types.extend([query.dtype, seen.key.dtype, seen.value.dtype])
        return query

    case.rows = [each.bfloat16() for each in case.rows]
    with torch.autocast("cpu", torch.bfloat16):
        case.fast(typed)
    assert types == [torch.bfloat16] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention's kernel needs a GPU")
def test_flex_attention_learns_the_same() -> None:
    """Values and gradients of the compiled kernel, on a GPU."""
    results = []
    for attend, device in ((windowed_attention, "cpu"), (flex_windowed_attention, "cuda")):
        case = Case(Span(block=16, back=2, own=3, rank=2), [5, 0], 300, width=16).to(device)
        out = case.fast(attend)
        gradients = torch.autograd.grad(out.square().sum(), [*case.rows, *case.tables])
        results.append([each.cpu() for each in (out, *gradients)])
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=2e-2, atol=2e-2)


def test_a_short_view_is_dense() -> None:
    span = Span(block=4, back=2, own=2, rank=1)
    assert isinstance(Case(span, [0, 3], 9).view(), Dense)
    assert isinstance(Case(span, [0, 3], 10).view(), Grid)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_the_grid_is_the_members(offset: int) -> None:
    """Views that begin at other rows of a history see the same blocks: rows whose views hold the same are the same."""
    span = Span(block=3, back=1, own=50, rank=1)
    whole = Case(span, [0], 40)
    part = Case(span, [offset + 3], 40 - offset - 3)
    part.rows = [each[:, :, offset + 3 :] for each in whole.rows]
    part.query_time, part.key_time = whole.query_time[:, offset + 3 :], whole.key_time[:, offset + 3 :]
    part.position, part.time, part.summaries = whole.position, whole.time, whole.summaries
    view, short = whole.view(), part.view()
    assert isinstance(view, Grid)
    assert isinstance(short, Grid)
    skipped = (offset + 3) // 3
    torch.testing.assert_close(view.weight[:, skipped + 1 :], short.weight[:, 1:])
    assert view.gaps is not None
    assert short.gaps is not None
    exact = span.rows
    for block in range(4, short.blocks - 1):
        assert view.gaps[block + skipped][..., -exact:].equal(short.gaps[block][..., -exact:])


def encoder(**changes: object) -> Transformer:
    """One with random weights everywhere."""
    torch.manual_seed(0)
    made = Transformer(TransformerConfig.model_validate({"width": 8, **changes}), context=40, has_time=True)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def test_a_window_as_long_as_the_history_is_dense_attention() -> None:
    """To the bit, and the summaries get no gradient; one row more, and something is summarised."""
    batch = batch_of([2] * 60, lengths=[40, 20])._replace(rectangles=(Rectangle(1, 40), Rectangle(2, 10)))
    batch = batch._replace(first=torch.tensor([0, 3, 30]))
    x = torch.randn(60, 8)
    windowed = encoder(window=40, block=4)
    dense = encoder()
    dense.load_state_dict(windowed.state_dict(), strict=False)
    windowed(x, batch).sum().backward()
    torch.testing.assert_close(windowed(x, batch), dense(x, batch), rtol=0, atol=0)
    assert all(parameter.grad is None for name, parameter in windowed.named_parameters() if "summaries" in name)
    shorter = encoder(window=32, block=4)
    tables = windowed.state_dict()
    shorter.load_state_dict(
        {
            name: each[:, :36] if name.endswith("position.table") and "sum" not in name else each
            for name, each in tables.items()
        }
    )
    moved = ((shorter(x, batch) - dense(x, batch)).abs() > 1e-3).any(1)
    assert moved[36:40].all()
    assert not moved[:36].any()
    assert not moved[40:].any()


def test_no_state_depends_on_later_rows_with_a_short_window() -> None:
    """Every row is changed in turn, in both sequences at once, through several blocks of the network."""
    made = encoder(window=4, block=2, summaries=3, blocks=3)
    batch = batch_of([2] * 60)._replace(rectangles=(Rectangle(2, 30),), first=torch.tensor([0, 7]))
    x = torch.randn(60, 8)
    with torch.no_grad():
        before = made(x, batch).view(2, 30, 8)
        for row in range(30):
            changed = x.clone().view(2, 30, 8)
            changed[:, row] += 1
            after = made(changed.view(60, 8), batch).view(2, 30, 8)
            torch.testing.assert_close(after[:, :row], before[:, :row], rtol=0, atol=0)
            assert (after[:, row:] != before[:, row:]).any(-1).all(), f"row {row} is forgotten"


def test_every_parameter_has_a_gradient_in_every_step_of_training() -> None:
    """As several processes need it; of histories that fit into the window, that of the summaries is 0."""
    made = encoder(window=8, block=4).train()
    for length in (8, 30):
        made.zero_grad()
        made(torch.randn(length, 8), batch_of([2] * length)).square().sum().backward()
        for name, parameter in made.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()) == (length == 30 or "summaries" not in name), name


def test_a_window_is_a_multiple_of_a_block() -> None:
    with pytest.raises(ValueError, match="not a multiple of 64 rows"):
        TransformerConfig(window=100)
