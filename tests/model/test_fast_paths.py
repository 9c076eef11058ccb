"""If these fail, training is fast and wrong: each fast path against its plain reference, gradients included."""

import pytest
import torch

from palate.model.attention import biased_attention, reference_attention
from palate.model.bias import PositionBias, TimeBias, gap_buckets


@pytest.mark.parametrize("shared", [True, False])
def test_attention(shared: bool) -> None:
    torch.manual_seed(0)
    shape = (3, 2, 7, 4)
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias = torch.randn(1 if shared else 3, 2, 7, 7, dtype=torch.float64, requires_grad=True)
    hidden = torch.ones(7, 7).triu(1).bool()
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
