"""If these fail, training is fast and wrong: each fast path against its plain reference, gradients included."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from palate.model import attention, lookup
from palate.model.attention import biased_attention, reference_attention
from palate.model.bias import PositionBias, TimeBias, gap_buckets
from palate.model.dropout import Dropout, draw
from palate.model.fused import RMSNorm, gated, reference_gated, reference_swiglu, swiglu
from palate.model.fused_intents import Fed, feed, log_softmax_within, reference_feed
from palate.model.fused_metadata import Instead, described, reference_described, reference_rows, rows
from palate.model.product import linear, product, product_of_rows


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 64, 130])
@pytest.mark.parametrize("block", [4, 64])
@pytest.mark.parametrize("shared", [True, False])
def test_attention(shared: bool, block: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK", block)
    torch.manual_seed(0)
    shape = (3, 2, rows, 4)
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias = torch.randn(1 if shared else 3, 2, rows, rows, dtype=torch.float64, requires_grad=True)
    hidden = torch.ones(rows, rows).triu(1).bool()
    results = []
    for attend in (biased_attention, reference_attention):
        out = attend(*inputs, bias.masked_fill(hidden, -torch.inf))
        gradients = torch.autograd.grad(out.square().sum(), [*inputs, bias])
        results.append((out, *gradients))
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain)


def test_time_bias_gradient() -> None:
    torch.manual_seed(0)
    bias = TimeBias(2, 6)
    buckets = torch.randint(0, 6, (3, 4, 4))
    weight = torch.randn(3, 2, 4, 4)
    (fast,) = torch.autograd.grad((bias(buckets) * weight).sum(), [bias.table])
    (plain,) = torch.autograd.grad((bias.table[:, buckets].transpose(0, 1) * weight).sum(), [bias.table])
    torch.testing.assert_close(fast, plain)


def test_later_rows_are_hidden_and_distances_shared() -> None:
    bias = PositionBias(2, 9)
    torch.nn.init.normal_(bias.table)
    found = bias(5)[0]
    for i in range(5):
        for j in range(5):
            expected = bias.table[:, i - j] if j <= i else torch.full((2,), -torch.inf)
            torch.testing.assert_close(found[:, i, j], expected)


def test_gaps_keep_seconds_far_from_1970() -> None:
    now = 1_900_000_000_000
    buckets = gap_buckets(torch.tensor([[now, now + 1000]]), torch.tensor([[now, now]]), 64)
    assert buckets[0, 0, 0] == 0
    assert buckets[0, 1, 0] > 0, "a second is lost in rounding"


def agree(fast: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: list[Tensor], *more: object) -> None:
    """The same values and gradients."""
    results = []
    for compute in (fast, plain):
        leaves = [each.detach().clone().requires_grad_() for each in inputs]
        out = compute(*leaves, *more)
        weight = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)
        results.append((out, *torch.autograd.grad((out * weight).sum(), leaves)))
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if inputs[0].dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype)


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
"""float32 goes through oneDNN where that is there, float64 never."""


@DTYPES
@pytest.mark.parametrize("dropped", [True, False])
def test_gated_residual(dropped: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = [normal(7, 5, dtype=dtype), normal(7, 5, dtype=dtype), normal(5, 5, dtype=dtype), normal(5, dtype=dtype)]
    agree(gated, reference_gated, inputs, draw(inputs[1], 0.3) if dropped else None)


@DTYPES
def test_swiglu(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    agree(swiglu, reference_swiglu, [normal(9, 4, dtype=dtype), normal(12, 4, dtype=dtype), normal(4, 6, dtype=dtype)])


@DTYPES
def test_rms_norm(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = normal(9, 6, dtype=dtype)
    x[3] = 0.0
    norm = RMSNorm(6).to(dtype)
    torch.nn.init.normal_(norm.weight)

    def plain(x: Tensor) -> Tensor:
        return F.rms_norm(x, (6,), norm.weight)

    agree(norm, plain, [x])
    ours, theirs = (torch.autograd.grad(f(x).square().sum(), [norm.weight]) for f in (norm, plain))
    torch.testing.assert_close(ours, theirs)


@DTYPES
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("rows", "inner", "outer"), [(1, 1, 1), (11, 3, 5), (11, 5, 3), (0, 3, 5), (64, 130, 7)])
def test_linear(rows: int, inner: int, outer: int, biased: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = [normal(rows, inner, dtype=dtype), normal(outer, inner, dtype=dtype)]
    if biased:
        inputs.append(normal(outer, dtype=dtype))
    agree(linear, F.linear, inputs)


def test_linear_of_more_axes_and_of_what_lies_crosswise() -> None:
    torch.manual_seed(0)
    agree(linear, F.linear, [normal(2, 3, 4, dtype=torch.float32), normal(5, 4, dtype=torch.float32)])
    crosswise = normal(4, 6, dtype=torch.float32).T
    torch.testing.assert_close(linear(crosswise, crosswise), crosswise @ crosswise.T)


@DTYPES
@pytest.mark.parametrize("plus", [None, (5,), (7, 5)])
def test_product(plus: tuple[int, ...] | None, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a, b = normal(7, 3, dtype=dtype), normal(3, 5, dtype=dtype)
    more = None if plus is None else normal(*plus, dtype=dtype)
    expected = a @ b if more is None else a @ b + more
    for left in (a, a.T.contiguous().T):
        for right in (b, b.T.contiguous().T):
            torch.testing.assert_close(product(left, right, more), expected)


@DTYPES
@pytest.mark.parametrize(("rows", "one", "two"), [(0, 64, 70), (5, 64, 70), (16, 64, 64), (37, 70, 64), (37, 3, 70)])
def test_product_of_rows(rows: int, one: int, two: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a, b = normal(rows, one, dtype=dtype), normal(rows, two, dtype=dtype)
    torch.testing.assert_close(product_of_rows(a, b), a.T @ b, rtol=1e-4, atol=1e-4)
    apart = normal(rows, 2 * two, dtype=dtype)[:, two:]  # with gaps between its rows
    torch.testing.assert_close(product_of_rows(a, apart), a.T @ apart, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(product(a.T, apart), a.T @ apart, rtol=1e-4, atol=1e-4)


def test_product_with_numbers_that_lie_apart() -> None:
    """oneDNN would read what lies next to them."""
    a, b, plus = torch.randn(32, 8), torch.randn(8, 16), torch.randn(32, 16, 3)
    for more in (plus[0, :, 1], plus[:, :, 1]):
        torch.testing.assert_close(product(a, b, more), a @ b + more, rtol=1e-4, atol=1e-4)


def some_sums(entries: int) -> lookup.Sums:
    """Of 40 items, some without an entry, from a table of 7 rows."""
    item = torch.randint(0, 39, (entries,)).sort().values
    start = torch.searchsorted(item, torch.arange(40))
    return lookup.Sums(torch.randint(0, 7, (entries,)), torch.rand(entries, dtype=torch.float64), item, start)


@pytest.mark.parametrize("entries", [0, 100])
def test_sums_of_rows(entries: int) -> None:
    """In blocks, too: the gradient is spread over rows block by block."""
    table, sums = normal(7, 5).requires_grad_(), some_sums(entries)
    plain = torch.zeros(40, 5, dtype=torch.float64).index_add(0, sums.sum, table[sums.row] * sums.share[:, None])
    torch.testing.assert_close(lookup.sum_rows(table, sums), plain)
    (expected,) = torch.autograd.grad(plain.square().sum(), [table])
    for block in (1, 2**6, 2**21):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lookup, "_BLOCK", block)
            torch.testing.assert_close(lookup.spread_rows(2 * plain.detach(), sums, 7), expected)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("entries", [0, 100])
@pytest.mark.parametrize("plus", [(5,), (40, 5)])
def test_described(plus: tuple[int, ...], entries: int, hidden: bool) -> None:
    sums, instead = some_sums(entries), None
    if hidden:
        instead = Instead(torch.tensor([1, 4]), (torch.rand(40, 2) < 0.5).double())
    agree(
        lambda values, plus, weight, bias: described(values, sums, instead, plus, weight, bias),
        lambda values, plus, weight, bias: reference_described(values, sums, instead, plus, weight, bias),
        [normal(7, 5), normal(*plus), normal(11, 5), normal(11)],
    )


def test_rows_of_tables() -> None:
    """Of some columns in any order; those without a table get no gradient."""
    agree(
        lambda weight, *tables: rows(weight, [3, 0], *tables),
        lambda weight, *tables: reference_rows(weight, [3, 0], *tables),
        [normal(5, 8), normal(4, 2), normal(2, 6).T],
    )


def test_feed() -> None:
    sizes = [3, 1, 4]
    heads = torch.eye(3, dtype=torch.float64).repeat_interleave(torch.tensor(sizes), dim=1)
    inputs = [normal(9, 5), normal(8, 5), normal(8), normal(8, 2), normal(2, 5), normal(5, 2), normal(3)]

    def together(found: Fed) -> Tensor:
        log_shares, attention, state = found
        return torch.cat([log_shares.T, attention.T, state], dim=1)

    agree(
        lambda *given: together(feed(*given, heads, sizes)),
        lambda *given: together(reference_feed(*given, sizes)),
        inputs,
    )


def test_log_softmax_within() -> None:
    sizes = [3, 1, 4]
    scores = torch.randn(8, 6) * 30
    agree(
        lambda x: log_softmax_within(x, sizes),
        lambda x: torch.cat([part.log_softmax(0) for part in x.split(sizes)]),
        [scores],
    )


def test_products_repeat_bit_by_bit() -> None:
    """Else a resumed training would end with other weights."""
    torch.manual_seed(0)
    a, b = normal(333, 128, dtype=torch.float32), normal(128, 700, dtype=torch.float32)
    first = product(a, b)
    assert all(product(a, b).equal(first) for _ in range(20))


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.001, 0.95), n=st.integers(1, 40), seed=st.integers(0, 1000))
def test_dropout_keeps_the_mean(share: float, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    drop = Dropout(share)
    kept = drop.draw(torch.zeros(n, 1000))
    assert kept is not None
    assert set(kept.mask.unique().tolist()) <= {0.0, 1.0}
    deviation = (share * (1 - share) / (1000 * n)) ** 0.5
    assert abs(float(kept.mask.mean()) - (1 - share)) < 5 * deviation + 1e-4
    assert kept.scale == pytest.approx(1 / (1 - share), rel=1e-3)
    torch.manual_seed(seed)
    assert drop(torch.ones(n, 1000)).equal(kept.mask * kept.scale), "the same seed drops the same"


def test_dropped_numbers_are_independent() -> None:
    torch.manual_seed(0)
    mask = draw(torch.zeros(200_000), 0.5).mask.sub_(0.5)
    for distance in (1, 2, 3, 4, 5, 8):
        assert abs(float((mask[distance:] * mask[:-distance]).mean())) < 0.25 * 5 / 200_000**0.5


def test_of_nearly_everything_something_is_kept() -> None:
    mask, scale = draw(torch.ones(1 << 18), 0.9999999)
    assert scale == 1 << 16
    assert 0 < mask.mean() < 1e-4


def test_dropout_drops_in_training_alone() -> None:
    x = torch.ones(3, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
