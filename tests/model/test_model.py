"""If these fail, what is trained is not what ranks: the loss and the scores are of two models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tokens.worlds import everything, world

from palate.data import Dataset, split
from palate.model import (
    IntentConfig,
    ObjectiveConfig,
    PresentationConfig,
    SasRecConfig,
    SequenceModel,
    TowerConfig,
    product,
)
from palate.model.ahead import Later
from palate.model.loss import Choices, reference_softmax_loss
from palate.runs import network
from palate.tokens import Batch, Catalogue, Tokenizer, training_catalogue
from palate.tokens.ages import DEMAND_BUCKETS, demand_bucket
from palate.tokens.rewards import Rewards
from palate.train import PretrainConfig
from palate.train.material import Material, Teaching
from palate.train.plan import BatchPlanner
from palate.words import FIRST_KNOWN

OBJECTIVE = ObjectiveConfig(intents=0.3, next=0.7)
PLAIN: dict[str, object] = {"intents": None, "next": {}, "presentation": None}


def ready(
    dataset: Dataset, config: PretrainConfig, *, places: int = 4
) -> tuple[SequenceModel, Batch, Catalogue, Tokenizer]:
    """A model of random weights in evaluation mode, and a batch with weights and impressions."""
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    assert config.rewards is not None
    rewards = Rewards.fit(lambda: [(dataset, division)], config.rewards)
    teaching = Teaching(rewards=rewards, places=places)
    planner = BatchPlanner(Material.of(tokenizer, dataset, division, teaching), tokenizer, config)
    batch = planner.batch(planner.epoch(0), 0)
    torch.manual_seed(2)
    model = network(config.model, tokenizer, context=config.windows.context)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval(), batch, training_catalogue(tokenizer), tokenizer


def scored(model: SequenceModel, batch: Batch, known: Catalogue) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows with a target, the states that score them, and the scores of all items."""
    tables = model.tower(known)
    rows = batch.target.nonzero()[:, 0]
    state = model(batch, known, tables)[rows]
    intents = model.predict_intents(state)
    joined = state if intents is None else intents.state
    return rows, joined, model.scores(joined, known, tables, batch.query_time[rows])


def choices(batch: Batch, rows: torch.Tensor) -> Choices:
    available = batch.available[rows].long() - FIRST_KNOWN
    return Choices(batch.target[rows] - FIRST_KNOWN, available, batch.weight[rows])


TOWERS = {
    "taught": TowerConfig(),
    "moment": TowerConfig(gate="moment"),
    "without ages": TowerConfig(ages=False),
    "without metadata": TowerConfig(metadata=False),
    "ids alone": TowerConfig(metadata=False, ages=False),
}


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS.keys())
@pytest.mark.parametrize("has_time", [True, False])
def test_the_loss_is_that_of_the_scores(tower: TowerConfig, has_time: bool) -> None:
    """Of the next items: over what is available, with the weights of the targets."""
    dataset = world(1, has_time=has_time)
    config = everything(has_time=has_time, tower=tower, presentation=None)
    model, batch, known, _ = ready(dataset, config)
    rows, _, scores = scored(model, batch, known)
    losses = model.loss(batch, known, OBJECTIVE)
    torch.testing.assert_close(losses.item, reference_softmax_loss(scores, choices(batch, rows)), rtol=1e-4, atol=1e-3)
    assert len(torch.unique(batch.weight[rows])) > 2
    assert scores.shape == (len(rows), len(known.metadata))


def test_the_gradients_are_those_of_the_scores() -> None:
    """Through tower, gate, ages, intents and encoder."""
    for tower in (TOWERS["taught"], TOWERS["moment"]):
        model, batch, known, _ = ready(world(1), everything(tower=tower, next={}, presentation=None))
        parameters = dict(model.named_parameters())
        losses = model.loss(batch, known, ObjectiveConfig(intents=0))
        fast = torch.autograd.grad(losses.total, list(parameters.values()), allow_unused=True)
        rows, _, scores = scored(model, batch, known)
        loss = reference_softmax_loss(scores, choices(batch, rows))
        plain = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, one, two in zip(parameters, fast, plain, strict=True):
            expected = torch.zeros_like(parameters[name]) if two is None else two
            torch.testing.assert_close(one, expected, rtol=1e-3, atol=1e-3, msg=name)


def test_labels_of_heads_change_no_score() -> None:
    """They are what is learned; the item is scored from what is predicted."""
    model, batch, known, _ = ready(world(2), everything(next={}, presentation=None))
    other = batch._replace(
        outcome=torch.where(batch.outcome > 0, 3, 0).int(),
        familiar=torch.where(batch.familiar > 0, 2, 0).int(),
        session=torch.zeros_like(batch.session),
    )
    one, two = (model.loss(each, known, OBJECTIVE) for each in (batch, other))
    torch.testing.assert_close(one.item, two.item, rtol=0, atol=0)
    assert one.total != two.total
    launches = known._replace(launch=known.launch + 10**10)
    three = model.loss(batch, launches, OBJECTIVE)
    torch.testing.assert_close(one.item, three.item, rtol=0, atol=0)
    assert one.total != three.total


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    model, batch, known, _ = ready(world(2), everything(next={}, presentation=None))
    losses = [model.loss(batch, known, ObjectiveConfig(intents=share)) for share in (0.0, 0.1, 0.5)]
    assert losses[0].total == losses[0].item == losses[1].item
    extra = [float((each.total - each.item).detach()) for each in losses]
    assert extra[2] == pytest.approx(5 * extra[1], rel=1e-3)
    assert not losses[0].item.requires_grad


def test_a_choice_among_shown_items_takes_the_place_of_one_among_all() -> None:
    """For the share that is set, with its weight; the other targets are chosen among all."""
    for share in (1.0, 0.4):
        config = everything(intents=None, next={}, presentation=PresentationConfig(share=share, places=4))
        model, batch, known, _ = ready(world(3), config)
        rows, _, scores = scored(model, batch, known)
        plain = choices(batch, rows)
        shown = batch.shown[rows].long()
        chosen = (shown > 0).sum(1) > 1
        assert 5 < int(chosen.sum()) < len(rows)
        among_all = reference_softmax_loss(
            scores, plain._replace(weight=torch.where(chosen, (1 - share) * plain.weight, plain.weight))
        )
        assert model.presentation is not None
        log_propensity = model.presentation.log_propensities()
        among_shown = torch.zeros(())
        for row in chosen.nonzero()[:, 0].tolist():
            places = (shown[row] > 0).nonzero()[:, 0]
            logits = scores[row, shown[row, places] - FIRST_KNOWN] + log_propensity[places]
            own = (shown[row, places] - FIRST_KNOWN == plain.target[row]).nonzero()[0, 0]
            among_shown = among_shown - plain.weight[row] * logits.log_softmax(0)[own]
        losses = model.loss(batch, known, OBJECTIVE)
        torch.testing.assert_close(losses.item, among_all + share * among_shown, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(losses.total, losses.item)


def test_a_later_target_is_looked_for_from_the_row_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its ages and what exists there: an item that comes later is none to look for."""
    model, batch, known, _ = ready(world(4), everything(intents=None, presentation=None))
    assert model.ahead is not None
    rows, state, _ = scored(model, batch, known)
    target, available, weight = choices(batch, rows)
    R = len(rows)
    later = Later(torch.arange(R - 2), torch.full((R - 2,), 2), torch.arange(2, R))
    monkeypatch.setattr(model.ahead, "draw", lambda _: later)
    exists = target[later.target] < available[later.row]
    assert not exists.all(), "some items come in later"
    losses = model.loss(batch, known, OBJECTIVE)
    states = model.ahead(state[later.row[exists]], later.offset[exists])
    scores = model.scores(states, known, model.tower(known), batch.query_time[rows][later.row[exists]])
    then = later.target[exists]
    expected = reference_softmax_loss(scores, Choices(target[then], available[later.row[exists]], weight[then]))
    torch.testing.assert_close(losses.total - losses.item, OBJECTIVE.next * expected, rtol=1e-3, atol=1e-2)


def test_no_state_depends_on_later_rows() -> None:
    """Not even on the request-time fields and moments of those that are looked ahead to."""
    for encoder in (everything().model.encoder, SasRecConfig(width=16)):
        model, batch, known, _ = ready(world(5), everything(encoder=encoder))
        b, length = batch.rectangles[0]
        assert length > 6
        changed = batch._replace(
            ids=batch.ids.clone(), values=batch.values.clone(), query_time=batch.query_time.clone()
        )
        behind = torch.arange(b * length) % length > 4
        rows = behind.nonzero()[:, 0]
        changed.ids[rows] = 1
        changed.values[rows] += 1
        changed.query_time[rows] += 10**8
        changed.key_time[rows] += 10**8
        with torch.no_grad():
            tables = model.tower(known)
            one, two = (model(each, known, tables)[: b * length] for each in (batch, changed))
            torch.testing.assert_close(one[~behind], two[~behind], rtol=0, atol=0)
            assert (one[behind] != two[behind]).any()


def test_new_items_are_scored_beside_the_trained_ones() -> None:
    """A catalogue that knows more leaves the scores of the trained items as they are."""
    from palate.tokens import present_catalogue

    dataset = world(6)
    model, batch, known, tokenizer = ready(dataset, everything())
    more = present_catalogue(tokenizer.with_items(dataset), dataset, rolling=False)
    _, _, before = scored(model, batch, known)
    _, _, after = scored(model, batch, more)
    assert after.shape[1] > before.shape[1] == known.trained
    torch.testing.assert_close(after[:, : known.trained], before, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(after).all()


def test_a_model_without_parts_has_none() -> None:
    model, batch, known, _ = ready(world(7), everything(**PLAIN))
    assert model.intents is model.ahead is model.presentation is None
    losses = model.loss(batch, known, OBJECTIVE)
    assert losses.total == losses.item
    heads = everything(**PLAIN | {"intents": IntentConfig(heads=("origin", "familiar"))})
    with_two, *_ = ready(world(7), heads)
    assert with_two.intents is not None
    assert [spec.name for spec in with_two.intents.specs] == ["origin", "familiar"]


def test_popularity_is_where_training_starts() -> None:
    """Without ages that of all training events, by the id; with them half of it and of demand, all for new items."""
    for has_time in (True, False):
        model, _, known, _ = ready(world(8, has_time=has_time), everything(has_time=has_time))
        model.start_at_popularity(known.counts)
        bias = model.tower.id_bias.detach()
        share = (known.counts.double() + 1).log()
        if has_time:
            torch.testing.assert_close(bias, ((share - share.mean()) / 2).float())
            tower = model.tower
            for table, part in ((tower.age_bias, 0.5), (tower.new_age_bias, 1.0)):
                assert table is not None
                start = table().detach()[:DEMAND_BUCKETS]
                assert (start[1:].diff() > 0).all()
                assert start[0] == pytest.approx(part * np.log(0.5))
                for log in (-3.0, 0.0, 5.0, 20.0):  # the lower edge of a bucket, whose middle counts
                    found = start[int(demand_bucket(np.array([log]))[0])]
                    assert found == pytest.approx(part * np.log(2 ** (log + 0.125) + 0.25), abs=1e-5)
            continue
        torch.testing.assert_close(bias.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(bias, (share - share.mean()).float())


@pytest.mark.parametrize("encoder", [None, SasRecConfig(width=16)])
def test_both_kinds_of_products_make_the_same_step(
    encoder: SasRecConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a model would depend on the processor beyond rounding."""
    config = everything()
    if encoder is not None:
        config = config.model_copy(update={"model": config.model.model_copy(update={"encoder": encoder})})
    model, batch, known, _ = ready(world(1), config)
    found = []
    for has in (True, False):
        monkeypatch.setattr(product, "HAS_ONEDNN", has and product.HAS_ONEDNN)
        torch.manual_seed(0)  # which later targets are learned is drawn
        loss = model.loss(batch, known, OBJECTIVE).total
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        found.append([loss, *(each for each in gradients if each is not None)])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-3, atol=1e-3 * float(two.detach().abs().max()))
