"""If these fail, a training of millions of items learns something else than one of a few."""

import pytest
import torch
from tests.model.test_model import OBJECTIVE, TOWERS, ready
from tests.tokens.worlds import everything, world
from torch import Tensor

from palate.model import NegativeSampler, SamplingConfig, TowerConfig
from palate.model.model import scores_of
from palate.model.rows import take_rows
from palate.model.sampled import SampledStep
from palate.model.tower import point
from palate.train.plan import without_targets
from palate.words import FIRST_KNOWN, UNKNOWN

ALL = SamplingConfig(negatives=10**4, uniform=1.0, popularity=0.0)


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS.keys())
@pytest.mark.parametrize("has_time", [True, False])
def test_a_sample_of_everything_is_the_exact_loss(tower: TowerConfig, has_time: bool) -> None:
    """With all parts on: values, and the gradient of every weight."""
    model, batch, known, _ = ready(world(1, has_time=has_time), everything(has_time=has_time, tower=tower))
    sampler = NegativeSampler(ALL, known.counts)
    names = [name for name, _ in model.named_parameters()]
    found: list[list[Tensor]] = []
    for each in (None, sampler):
        torch.manual_seed(7)
        losses = model.loss(batch, known, OBJECTIVE, each)
        gradients = torch.autograd.grad(losses.total, list(model.parameters()))
        found.append([losses.total, losses.item, *(one.to_dense() for one in gradients)])
    for name, exact, sampled in zip(["total", "item", *names], *found, strict=True):
        torch.testing.assert_close(sampled, exact, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS.keys())
@pytest.mark.parametrize("has_time", [True, False])
@pytest.mark.parametrize("carries", [True, False])
def test_who_asks_nothing_costs_nothing(tower: TowerConfig, has_time: bool, carries: bool) -> None:
    """A batch of context alone, or of members who have done nothing yet, is gone through like any other: gradients of
    all weights, all 0."""
    model, batch, known, _ = ready(world(1, has_time=has_time), everything(has_time=has_time, tower=tower))
    batch = without_targets(batch)
    if not carries:
        ids = batch.ids.clone()
        ids[:, 0] = UNKNOWN
        batch = batch._replace(ids=ids)
    in_batch = SamplingConfig(negatives=3, uniform=0.0, popularity=0.0, in_batch=1.0)
    for sampler in (None, NegativeSampler(ALL, known.counts), NegativeSampler(in_batch, known.counts)):
        losses = model.loss(batch, known, OBJECTIVE, sampler)
        assert losses.total == 0
        for gradient in torch.autograd.grad(losses.total, list(model.parameters())):
            assert not gradient.to_dense().any()
    states = model.states(batch, known)
    torch.testing.assert_close(states, model(batch, known, model.tower(known)), rtol=1e-4, atol=1e-4)


def test_a_step_touches_the_rows_of_its_items_alone() -> None:
    """Else each step costs as much as the catalogue is long."""
    model, batch, known, _ = ready(world(1), everything())
    half = batch._replace(
        target=torch.where(batch.target % 2 == 0, batch.target, 0), shown=torch.zeros_like(batch.shown)
    )
    half.ids[:, 0] = torch.where(half.ids[:, 0] % 2 == 0, half.ids[:, 0], 0)
    sampler = NegativeSampler(SamplingConfig(negatives=3, uniform=1.0, popularity=0.0), known.counts)
    torch.manual_seed(0)
    step = SampledStep.draw(sampler, half, known, ages=True)
    torch.manual_seed(0)
    losses = model.loss(half, known, OBJECTIVE, sampler)
    ids, bias = torch.autograd.grad(losses.total, [model.tower.id, model.tower.id_bias])
    assert ids.is_sparse
    assert bias.is_sparse
    assert ids.indices()[0].tolist() == [0, 1, *(step.items + FIRST_KNOWN).tolist()]
    assert bias.indices()[0].tolist() == step.items.tolist()
    assert len(step.items) < len(known.counts)
    assert len(step.catalogue.counts) == len(step.items) == step.catalogue.trained


@pytest.mark.parametrize("gate", ["training", "moment"])
def test_a_part_of_the_catalogue_scores_as_the_whole(gate: str) -> None:
    """Every row, at its moment: what is looked up for a few items is what they have among all."""
    model, batch, known, _ = ready(world(2), everything(tower=TowerConfig.model_validate({"gate": gate})))
    sampler = NegativeSampler(SamplingConfig(negatives=6), known.counts)
    step = SampledStep.draw(sampler, batch, known, ages=True)
    rows = (batch.target > 0).nonzero()[:, 0]
    state = torch.randn(len(rows), 16)
    found = []
    for catalogue, items, target in (
        (known, None, batch.target),
        (step.catalogue, step.items, step.batch.target),
    ):
        points, moment = torch.unique(point(catalogue, batch.query_time[rows]), return_inverse=True)
        tables = model.tower(catalogue, items)
        table = model.tower.output(tables, catalogue, points)
        own = scores_of(state, table, moment, target[rows, None] - FIRST_KNOWN)
        inputs = model.tower.inputs(
            tables, catalogue, (batch if items is None else step.batch).ids[:, 0], batch.key_time
        )
        found.append((own, inputs[(batch.ids[:, 0] >= FIRST_KNOWN)]))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)


def test_a_row_meets_neither_its_target_nor_what_did_not_exist() -> None:
    _, batch, known, _ = ready(world(3), everything(intents=None, next={}, presentation=None))
    sampler = NegativeSampler(ALL, known.counts)
    step = SampledStep.draw(sampler, batch, known, ages=True)
    rows = (batch.target > 0).nonzero()[:, 0]
    for row in rows.tolist():
        exists = step.items[: int(step.batch.available[row]) - FIRST_KNOWN]
        whole = torch.arange(min(int(batch.available[row]) - FIRST_KNOWN, len(known.counts)))
        assert exists.tolist() == whole.tolist()
        assert step.items[step.batch.target[row] - FIRST_KNOWN] == batch.target[row] - FIRST_KNOWN


def test_sampled_steps_train_with_dropped_ids_and_cells() -> None:
    """In training mode, where the tower hides things: a finite loss, a gradient for every part."""
    model, batch, known, _ = ready(world(1), everything())
    losses = model.train().loss(batch, known, OBJECTIVE, NegativeSampler(SamplingConfig(negatives=8), known.counts))
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert losses.total.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.to_dense().isfinite().all(), name


def test_rows_are_taken_with_their_gradient() -> None:
    for shape in ((7, 3), (7,)):
        table = torch.randn(shape, requires_grad=True)
        rows = torch.tensor([1, 4, 6])
        weight = torch.randn(3, *shape[1:])
        (fast,) = torch.autograd.grad((take_rows(table, rows) * weight).sum(), [table])
        (plain,) = torch.autograd.grad((table[rows] * weight).sum(), [table])
        assert fast.is_sparse
        torch.testing.assert_close(fast.to_dense(), plain)
