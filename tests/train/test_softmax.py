"""If these fail, a large catalogue fills the memory, or a small one learns from less than it could."""

from pathlib import Path

import pytest
import torch
from tests.model.small import catalogue, only_trained
from tests.tokens.conftest import service
from tests.tokens.worlds import everything, world

from palate.data import split
from palate.errors import ConfigError
from palate.model import ObjectiveConfig, SequenceModel, TowerConfig
from palate.tokens import Catalogue, Tokenizer, TokenizerConfig
from palate.train import PretrainConfig, new_model, pretrain
from palate.train.parallel import check_sampled
from palate.train.processes import Processes
from palate.train.softmax import choose_softmax, exact_bytes, step_products

SMALL = {"epochs": 1, "model": {"encoder": {"kind": "transformer", "width": 8}}}


def ready() -> tuple[SequenceModel, Catalogue]:
    dataset = service()
    model = new_model(PretrainConfig(), Tokenizer.fit(dataset, split(dataset), TokenizerConfig()))
    return model, only_trained(catalogue())


def of_size(known: Catalogue, V: int) -> Catalogue:
    return known._replace(counts=torch.ones(V, dtype=torch.int64))


@pytest.mark.parametrize(("V", "kind"), [(1_000, "exact"), (20_000, "exact"), (100_000, "sampled"), (10**6, "sampled")])
def test_large_catalogues_are_sampled(V: int, kind: str) -> None:
    model, known = ready()
    found = choose_softmax(PretrainConfig(), model, of_size(known, V))
    assert found.kind == kind
    assert (found.sampler is not None) == (kind == "sampled")
    assert f"{V:,} items" in found.reason


def test_what_does_not_fit_is_sampled() -> None:
    model, known = ready()
    config = PretrainConfig(objective=ObjectiveConfig(exact_bytes=1_000_000))
    found = choose_softmax(config, model, of_size(known, 3000))
    assert found.kind == "sampled"
    assert "the limit is 1 MiB" in found.reason


@pytest.mark.parametrize("kind", ["exact", "sampled"])
def test_what_is_asked_for_is_done(kind: str) -> None:
    model, known = ready()
    config = PretrainConfig(objective=ObjectiveConfig.model_validate({"softmax": kind}))
    for V in (100, 10**6):
        found = choose_softmax(config, model, of_size(known, V))
        assert found.kind == kind
        assert found.reason.startswith("objective.softmax says so")


def test_estimates_grow_with_the_catalogue() -> None:
    """In proportion for the exact softmax, and not at all for a sampled one."""
    model, _ = ready()
    small, large = (step_products(model, rows=4096, items=V, draws=8192) for V in (10**5, 10**6))
    assert large[0] == pytest.approx(10 * small[0], rel=0.02)
    assert large[1] == small[1]
    assert exact_bytes(model, rows=10, items=10**6, moments=5) == 10 * exact_bytes(
        model, rows=10, items=10**5, moments=5
    )
    assert exact_bytes(model, rows=10, items=100, moments=5) == exact_bytes(model, rows=5, items=100, moments=9)


@pytest.mark.parametrize("kind", ["auto", "sampled"])
def test_a_run_says_which_softmax_it_was_trained_with(kind: str, tmp_path: Path) -> None:
    """In its configuration, its figures and its card; an auto is resolved, so that it does not depend on a rule."""
    objective = {"softmax": kind, "sampling": {"negatives": 8}}
    config = PretrainConfig.parse({**SMALL, "objective": objective}, source="test")
    run = pretrain(service(members=20), tmp_path / "run", config)
    chosen = "exact" if kind == "auto" else kind
    assert f"softmax: {chosen}\n" in (run.folder / "config.yaml").read_text()
    assert f'"softmax": "{chosen}: ' in (run.folder / "metrics.json").read_text()
    card = (run.folder / "README.md").read_text()
    assert f"| softmax | {chosen}: " in card
    assert ("sampled in each step" in " ".join(card.split())) == (chosen == "sampled")


@pytest.mark.parametrize(("kind", "share"), [("exact", 0.0), ("sampled", 0.05)])
def test_steps_drop_ids_where_nothing_is_inferred_behind_them(kind: str, share: float, tmp_path: Path) -> None:
    """Else a sampled training would know no item without its id."""
    objective = ObjectiveConfig.model_validate({"softmax": kind, "sampling": {"negatives": 8}})
    config = everything().model_copy(update={"objective": objective})
    run = pretrain(world(), tmp_path / "run", config)
    assert run.model.tower.config.id_dropout == share
    inferred = run.model.tower.inferred
    assert inferred is not None
    assert bool(inferred.fitted) == (kind == "exact")
    says = "none" if kind == "exact" else "5 % of the items are treated as new in each step"
    assert f"| id dropout | {says} |" in (run.folder / "README.md").read_text()


def test_a_gate_of_the_moment_infers_nothing(tmp_path: Path) -> None:
    """An item has no one share of its id there."""
    config = everything(tower=TowerConfig(gate="moment"))
    run = pretrain(world(), tmp_path / "run", config)
    assert run.model.tower.inferred is None
    assert run.model.tower.config.id_dropout == 0.05


def test_several_processes_refuse_a_sampled_softmax() -> None:
    """They add gradients up, and those of rows are not of the same rows."""
    with pytest.raises(ConfigError, match="one process"):
        check_sampled(Processes(rank=1, world=2), sampled=True)
    check_sampled(Processes(rank=1, world=2), sampled=False)
    check_sampled(Processes(), sampled=True)
