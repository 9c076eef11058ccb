"""If these fail, new titles are judged by what nobody checked on left-out titles, or training's weights move."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.tokens.worlds import everything, world

from palate.data import Dataset, Part, has_target_type, split
from palate.model import SequenceModel, TowerConfig
from palate.model import tower as tower_module
from palate.model.loss import Choices
from palate.model.tower import AgeTable
from palate.rank.model_scorer import ModelScorer
from palate.tokens import Catalogue, Tokenizer, training_catalogue
from palate.tokens.batch import AGE_SHAPE, Familiar
from palate.train import PretrainConfig, new_items, new_model
from palate.train.config import ValidationConfig
from palate.train.material import Material
from palate.train.new_items import _Asked as Asked
from palate.train.new_items import fit_new_items
from palate.train.plan import BatchPlanner
from palate.train.validate import Validator


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_items, "STEPS", 5)


def made(config: PretrainConfig, *, seed: int = 0) -> tuple[SequenceModel, Catalogue, BatchPlanner, Dataset]:
    dataset = world(seed=seed)
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = new_model(config, tokenizer)
    with torch.no_grad():
        for parameter in model.tower.parameters():
            parameter.normal_(std=0.3)
    planner = BatchPlanner(Material.of(tokenizer, dataset, split(dataset)), tokenizer, config)
    return model, training_catalogue(tokenizer), planner, dataset


def config() -> PretrainConfig:
    given = everything()
    return given.model_copy(update={"model": given.model.model_copy(update={"presentation": None})})


def test_only_what_new_items_read_is_changed() -> None:
    """And to the same numbers each time."""
    ends = []
    for _ in range(2):
        model, catalogue, planner, _ = made(config())
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        found = fit_new_items(model, catalogue, planner, seed=3)
        assert found is not None
        after = model.state_dict()
        moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
        assert {name.rsplit(".", 1)[0] for name in moved} == {"tower.inferred", "tower.new_age_bias"}
        assert all(tensor.isfinite().all() for tensor in after.values())
        assert all(parameter.grad is None for parameter in model.parameters())
        ends.append(after)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_known_items_are_scored_as_before() -> None:
    model, catalogue, planner, _ = made(config())
    model.eval()
    state, moment = torch.randn(4, model.tower.id.shape[1]), catalogue.moments[-1:].repeat(4)
    with torch.no_grad():
        before = model.scores(state, catalogue, model.tower(catalogue), moment)
    fit_new_items(model, catalogue, planner, seed=0)
    with torch.no_grad():
        after = model.scores(state, catalogue, model.tower(catalogue), moment)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_what_metadata_decide_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that are a linear function of metadata: a copy of a trained item without its id gets nearly its vector."""
    monkeypatch.setattr(new_items, "STEPS", 0)  # not how loud it should be
    model, catalogue, planner, _ = made(config())
    tower = model.tower
    assert tower.metadata is not None
    assert tower.inferred is not None
    assert tower.gate is not None
    torch.manual_seed(1)
    tower.inferred.weigh(catalogue)
    for number in range(len(tower.inferred.specs)):
        tower.inferred.values(number).normal_()
    with torch.no_grad():
        truth = tower.inferred(catalogue).output.clone()
        tower.id[2:] = truth
        for parameter in (*tower.metadata.output.parameters(), *tower.metadata.input.parameters()):
            parameter.zero_()
        tower.gate.views.fill_(30.0)
    found = fit_new_items(model, catalogue, planner, seed=0)
    assert found is not None
    predicted = tower.inferred(catalogue).output
    error = (predicted - truth).square().sum() / (truth - truth.mean(0)).square().sum()
    assert error < 0.1
    assert found.explained["output"] > 0.2


def of_targets(familiar: list[Familiar]) -> Asked:
    rows = torch.arange(len(familiar))
    discovered = torch.tensor([each == Familiar.DISCOVER for each in familiar])
    return Asked(rows[:, None].float(), rows, discovered, Choices(rows, rows, rows.float()))


def test_discoveries_are_the_targets_that_nobody_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_items, "DISCOVERIES", 2)  # for each of one number of a state
    asked = of_targets([Familiar.DISCOVER, Familiar.AGAIN, Familiar.CONTINUE, Familiar.DISCOVER])
    found = asked.discoveries()
    assert found.state[:, 0].tolist() == found.time.tolist() == found.choices.target.tolist() == [0, 3]
    assert found.discovered.all()


def test_all_targets_stand_for_discoveries_where_those_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_items, "DISCOVERIES", 2)
    few = of_targets([Familiar.DISCOVER, Familiar.AGAIN, Familiar.CONTINUE])
    assert few.discoveries() is few
    # And where there is nothing else nothing is copied.
    alone = of_targets([Familiar.DISCOVER] * 3)
    assert alone.discoveries() is alone


def discovered(dataset: Dataset) -> dict[tuple[int, str], bool]:
    """By moment and item: whether the member had neither the item nor its group before."""
    assert dataset.items is not None
    group = dict(dataset.items.select("item_id", "group_id").iter_rows())
    found, had = {}, set()
    typed = has_target_type(dataset.events, dataset.schema)
    rows = dataset.events.select("user_id", "item_id", "timestamp").iter_rows()
    for (member, item, moment), counts in zip(rows, typed, strict=True):
        things = {(member, item), (member, "group", group.get(item))} - {(member, "group", None)}
        found[moment, item] = not things & had
        had |= things if counts else set()
    return found


def test_ages_of_new_items_are_fitted_where_something_is_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """And vectors wherever something is chosen: what anybody continues says how far items differ, not how high a new
    one stands."""
    monkeypatch.setattr(new_items, "DISCOVERIES", 0)
    descend, states, seen = new_items._descend, new_items._states, []
    vary = []

    def recorded(
        model: SequenceModel,
        catalogue: Catalogue,
        asked: Asked,
        factors: list[torch.Tensor],
        ages: AgeTable,
        taken_for: Any,
    ) -> None:
        before = [each.detach().clone() for each in (*factors, ages.slope)]
        descend(model, catalogue, asked, factors, ages, taken_for)
        moved = [not torch.equal(now, was) for now, was in zip((*factors, ages.slope), before, strict=True)]
        seen.append((asked, moved, ages is model.tower.new_age_bias))

    def of_states(asked: Asked) -> Any:
        vary.append(asked)
        return states(asked)

    monkeypatch.setattr(new_items, "_descend", recorded)
    monkeypatch.setattr(new_items, "_states", of_states)
    model, catalogue, planner, dataset = made(config())
    fit_new_items(model, catalogue, planner, seed=0)
    (every, *first), (some, *second), (last, *third) = seen
    assert first == [[True, True, True], True]  # vectors, level, ages
    assert second == [[True, True], True]  # level, ages
    assert third == [[True, True], False]  # loudness, demand where no id is trusted
    assert last is every
    names = Tokenizer.fit(dataset, split(dataset), config().tokenizer).items.values.to_list()
    truth = discovered(dataset)

    def of(asked: Asked) -> list[tuple[int, str]]:
        places = asked.choices.target.tolist()
        return [(moment, names[item]) for moment, item in zip(asked.time.tolist(), places, strict=True)]

    assert [truth[each] for each in of(every)] == every.discovered.tolist()
    assert 0 < len(some.state) < len(every.state)
    assert of(some) == of(vary[0]) == [each for each in of(every) if truth[each]]


@pytest.mark.parametrize("changes", [{"metadata": False}, {"ages": False}])
def test_without_metadata_there_is_nothing_to_fit_and_without_ages_no_age(changes: dict[str, bool]) -> None:
    given = config()
    tower = TowerConfig.model_validate(given.model.tower.model_dump() | changes)
    model, catalogue, planner, _ = made(
        given.model_copy(update={"model": given.model.model_copy(update={"tower": tower})})
    )
    found = fit_new_items(model, catalogue, planner, seed=0)
    assert (found is None) == ("metadata" in changes)


def test_more_items_than_anchors_are_regressed_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_items, "ANCHORS", 6)
    monkeypatch.setattr(new_items, "CHOOSING", 5)
    model, catalogue, planner, _ = made(config())
    found = fit_new_items(model, catalogue, planner, seed=0)
    assert found is not None
    assert found.anchors == 6


@pytest.mark.parametrize(
    ("figures", "trust"),
    [([5.0, 4, 3, 2, 1], 1.0), ([5.0, 6, 5, 5, 5], 0.75), ([5.0, 1, 1, 2, 6], 0.0), ([1.0, 2, 3, 3, 2], 0.5)],
)
def test_ids_are_trusted_as_far_as_validation_likes_best(figures: list[float], trust: float) -> None:
    model, catalogue, planner, _ = made(config())
    fit_new_items(model, catalogue, planner, seed=0)
    left = iter(figures)
    assert new_items.choose_trust(model, lambda: next(left)) == trust
    assert next(left, None) is None
    assert model.tower.inferred is not None
    assert model.tower.inferred.trust == trust


@pytest.mark.parametrize("trust", [0.75, 0.25, 0.0])
def test_scores_are_a_mean_of_what_the_id_says_and_what_is_inferred(
    trust: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, catalogue, planner, _ = made(config())
    model.eval()
    fit_new_items(model, catalogue, planner, seed=0)
    tower = model.tower
    assert tower.inferred is not None
    state, moment = torch.randn(4, tower.id.shape[1]), catalogue.moments[-1:].repeat(4)

    def scores(known: Catalogue) -> torch.Tensor:
        with torch.no_grad():
            return model.scores(state, known, tower(known), moment)[:, : catalogue.trained]

    whole = scores(catalogue)
    # The same items as if none had an id, and as much in demand.
    assert tower.new_age_bias is not None
    given = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    demand = tower.inferred.demand.repeat(AGE_SHAPE[0] * AGE_SHAPE[1])
    usual = tower_module.age_values
    monkeypatch.setattr(tower_module, "age_values", lambda tables: torch.cat([usual(tables)[:1], demand[None]]))
    for buffer in tower.inferred.buffers():
        if buffer.dim() and buffer.shape[-1] == tower.inferred.mean.shape[-1]:
            buffer.mul_(tower.inferred.loudness)
    none = scores(catalogue._replace(trained=0))
    monkeypatch.undo()
    tower.load_state_dict(given)
    tower.inferred.trust.fill_(trust)
    torch.testing.assert_close(scores(catalogue), trust * whole + (1 - trust) * none)


def test_validation_ranks_new_items_once_they_are_inferred() -> None:
    """What descent made of them, which is not what will be said of them, chooses no epoch."""
    model, _, _, dataset = made(config())
    tokenizer = Tokenizer.fit(dataset, split(dataset), config().tokenizer)
    tower = model.tower
    assert tower.gate is not None
    assert tower.gate.views is not None
    assert tower.metadata is not None
    assert tower.inferred is not None
    scorer = ModelScorer(model, tokenizer, dataset, context=config().windows.context)
    assert scorer.described.trained < len(scorer.catalogue)
    asked = ValidationConfig()
    awaiting, not_awaiting = (
        Validator(scorer, dataset, split(dataset), asked, seed=0, infers=infers) for infers in (True, False)
    )
    with torch.no_grad():
        tower.gate.views.fill_(30.0)  # trained items are their ids
        tower.metadata.bias.bias.fill_(-50.0)
        alone = awaiting.ndcg()
        assert not_awaiting.ndcg() == alone
        tower.metadata.bias.bias.fill_(50.0)
    assert alone > 0
    assert awaiting.ndcg() == alone
    assert not_awaiting.ndcg() < alone
    tower.inferred.fitted.fill_(True)
    tower.inferred.mean[-1] = 50.0
    assert awaiting.ndcg() == not_awaiting.ndcg() < alone


def test_validation_ranks_everything_where_every_target_is_new() -> None:
    """Else all epochs would be alike, and the first one the best."""
    model, _, _, dataset = made(config())
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config().tokenizer)
    scorer = ModelScorer(model, tokenizer, dataset, context=config().windows.context)
    new = dataset.events["item_id"].is_in(scorer.catalogue[scorer.described.trained :].implode()).to_numpy()
    later = replace(division, part=np.where((division.part == Part.VALIDATION) & ~new, Part.TEST, division.part))
    one, other = (
        Validator(scorer, dataset, later, ValidationConfig(), seed=0, infers=infers) for infers in (True, False)
    )
    assert model.tower.gate is not None
    assert model.tower.gate.views is not None
    assert model.tower.metadata is not None
    with torch.no_grad():
        model.tower.gate.views.fill_(30.0)
        model.tower.metadata.bias.bias.fill_(50.0)
    assert one.ndcg() == other.ndcg() > 0
