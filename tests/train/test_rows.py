"""If these fail, item tables drift from what AdamW by rows would make of them, or a resumed training from another."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from palate.model.rows import take_rows
from palate.train.config import OptimizerConfig
from palate.train.optimizer import (
    Together,
    build_optimizer,
    clip_gradients,
    load_optimizer_tensors,
    optimizer_tensors,
)
from palate.train.rows import RowAdamW, row_adamw_step

V, D = 9, 3
RATES = [0.1, 0.05, 0.2, 0.01, 0.1, 0.3, 0.02]


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.id = nn.Parameter(torch.randn(V, D))
        self.id_bias = nn.Parameter(torch.randn(V))


class Model(nn.Module):
    """The parameters that `build_optimizer` tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Tower()
        self.linear = nn.Linear(D, D)

    def touch(self, rows: list[int], seed: int) -> None:
        """Gradients of these rows and of the rest."""
        draw = torch.Generator().manual_seed(seed)
        of = torch.tensor(rows)
        embedded = self.linear(take_rows(self.tower.id, of)) * torch.randn(len(rows), D, generator=draw)
        bias = take_rows(self.tower.id_bias, of) * torch.randn(len(rows), generator=draw)
        (embedded.sum() + bias.sum()).backward()  # type: ignore[no-untyped-call]


steps = st.lists(st.sets(st.integers(0, V - 1), min_size=1), min_size=1, max_size=len(RATES))


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([0.0, 0.5]), st.sampled_from([(V, D), (V,), (V, 2, 2)]))
def test_touched_rows_move_as_if_all_rows_were_gone_through(
    touched: list[set[int]], decay: float, shape: tuple[int, ...]
) -> None:
    """By the plain formula on whole tables, in which other rows have a gradient of 0."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(shape, dtype=torch.float64).float())
    values, second = parameter.detach().double(), torch.zeros(V, dtype=torch.float64)
    optimizer = RowAdamW([{"params": [parameter]}], lr=0.1, beta=0.9, weight_decay=decay)
    for number, (rows, rate) in enumerate(zip(touched, RATES, strict=False)):
        of = torch.tensor(sorted(rows))
        gradient = torch.randn(len(of), *shape[1:])
        whole = torch.zeros(shape, dtype=torch.float64)
        whole[of] = gradient.double()
        parameter.grad = torch.sparse_coo_tensor(of[None], gradient, shape, is_coalesced=True, check_invariants=False)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        values, second = row_adamw_step(
            values, whole, second, step=number + 1, lr=rate, beta=0.9, eps=1e-8, decay=decay
        )
        torch.testing.assert_close(parameter[of].double(), values[of], rtol=1e-4, atol=1e-5)
    optimizer.settle()
    torch.testing.assert_close(parameter.double(), values, rtol=1e-4, atol=1e-5)


def test_a_dense_gradient_is_one_of_all_rows() -> None:
    torch.manual_seed(0)
    one, two = (nn.Parameter(torch.randn(V, D, generator=torch.Generator().manual_seed(1))) for _ in range(2))
    gradient = torch.randn(V, D)
    one.grad, two.grad = gradient.clone(), gradient.clone().to_sparse(1).coalesce()
    for each in (one, two):
        RowAdamW([{"params": [each]}], lr=0.1, beta=0.9, weight_decay=0.1).step()
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_a_table_keeps_three_numbers_a_row() -> None:
    """Not two moments of its size."""
    model = Model()
    optimizer = build_optimizer(model, OptimizerConfig(), by_rows=True)
    model.touch([1, 4], 0)
    optimizer.step()
    kept = {name: value for name, value in optimizer_tensors(model, optimizer).items() if name.startswith("tower.id/")}
    assert sum(value.numel() for value in kept.values()) == 3 * V + 2


def run(model: Model, optimizer: "torch.optim.AdamW | Together", first: int, last: int) -> None:
    for number in range(first, last):
        model.touch([number % V, (number * 5 + 3) % V] if number % V != (number * 5 + 3) % V else [0], number)
        clip_gradients(model, 0.5)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (number + 1)
        optimizer.step()
        optimizer.zero_grad()


def test_a_resumed_training_has_the_same_bits() -> None:
    torch.manual_seed(0)
    whole = Model()
    begun, resumed = Model(), Model()
    begun.load_state_dict(whole.state_dict())
    run(whole, build_optimizer(whole, OptimizerConfig(), by_rows=True), 0, 20)
    optimizer = build_optimizer(begun, OptimizerConfig(), by_rows=True)
    run(begun, optimizer, 0, 11)
    resumed.load_state_dict(begun.state_dict())
    tensors = {name: value.clone() for name, value in optimizer_tensors(begun, optimizer).items()}
    again = build_optimizer(resumed, OptimizerConfig(), by_rows=True)
    load_optimizer_tensors(resumed, again, tensors)
    run(resumed, again, 11, 20)
    for name, value in resumed.state_dict().items():
        assert value.equal(whole.state_dict()[name]), name


@pytest.mark.parametrize("longest", [0.1, 1e6])
def test_the_length_of_a_gradient_counts_rows_of_tables(longest: float) -> None:
    torch.manual_seed(0)
    model = Model()
    model.touch([2, 3, 7], 0)
    dense = Model()
    for one, two in zip(model.parameters(), dense.parameters(), strict=True):
        assert one.grad is not None
        two.grad = one.grad.to_dense().clone()
    expected = torch.nn.utils.clip_grad_norm_(dense.parameters(), longest)
    torch.testing.assert_close(clip_gradients(model, longest), expected)
    for one, two in zip(model.parameters(), dense.parameters(), strict=True):
        assert one.grad is not None
        assert two.grad is not None
        torch.testing.assert_close(one.grad.to_dense(), two.grad)


def test_a_dense_gradient_is_clipped_as_before() -> None:
    """To the bit: weights of earlier configurations stay what they were."""
    torch.manual_seed(0)
    found: list[list[Tensor]] = []
    for clip in (clip_gradients, lambda model, longest: torch.nn.utils.clip_grad_norm_(model.parameters(), longest)):
        layer = nn.Linear(50, 30)
        draw = torch.Generator().manual_seed(3)
        for parameter in layer.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        clip(layer, 1.0)
        found.append([each.grad for each in layer.parameters() if each.grad is not None])
    for one, two in zip(*found, strict=True):
        assert one.equal(two)
