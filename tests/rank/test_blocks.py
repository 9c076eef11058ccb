"""If these fail, a large catalogue is ranked otherwise than a small one."""

import pytest
import torch
from polars.testing import assert_frame_equal
from tests.tokens.worlds import everything, world
from torch import Tensor

from palate.data import Dataset, Part, queries, split
from palate.model import SequenceModel
from palate.rank import blocks
from palate.rank.blocks import BlockScorer, best_of_blocks
from palate.rank.candidates import Candidates
from palate.rank.catalogue import tie_break
from palate.rank.model_scorer import ModelScorer, States
from palate.rank.predictions import predict
from palate.rank.recommend import recommend
from palate.rank.topk import top_k
from palate.tokens import Tokenizer
from palate.tokens.ages import AgeConfig
from palate.train import PretrainConfig, new_model


def ready(*, has_time: bool = True, cells: int = 10**8, **changes: object) -> tuple[ModelScorer, Dataset]:
    dataset = world(1, has_time=has_time)
    config: PretrainConfig = everything(has_time=has_time, **changes)
    ages = AgeConfig(step_hours=5, half_life_days=2, cells=cells)
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer.model_copy(update={"ages": ages}))
    model: SequenceModel = new_model(config, tokenizer)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return ModelScorer(model, tokenizer, dataset, context=12), dataset


@pytest.mark.parametrize("has_time", [True, False])
@pytest.mark.parametrize("gate", ["training", "moment"])
@pytest.mark.parametrize("cells", [10**8, 10])
def test_blocks_rank_as_the_whole(has_time: bool, gate: str, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items without an id, ages and masks included."""
    scorer, dataset = ready(has_time=has_time, cells=cells, tower={"gate": gate})
    assert isinstance(scorer, BlockScorer)
    asked = queries(dataset, split(dataset), Part.TEST)
    candidates, ties = Candidates(dataset, scorer.catalogue), tie_break(scorer.catalogue)
    scores = scorer.score(asked)
    whole = top_k(scores, candidates.mask(asked), ties, 7)
    states = scorer.states(asked, None)
    for block in (1, 5, 16, 100):
        columns = slice(3, min(3 + block, len(ties)))
        torch.testing.assert_close(scorer.block(states, columns), scores[:, columns], rtol=1e-4, atol=1e-4)
        monkeypatch.setattr(blocks, "BLOCK", block)
        found = best_of_blocks(scorer, asked, candidates, ties, 7)
        assert found.valid.equal(whole.valid)
        torch.testing.assert_close(found.scores, whole.scores, rtol=1e-4, atol=1e-4)
        assert (found.indices == whole.indices).float().mean() > 0.97, "but for scores equal up to rounding"


def test_many_queries_take_no_more_memory_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever recommends for everybody asks for thousands at a time."""
    scorer, dataset = ready()
    asked = queries(dataset, split(dataset), Part.TEST)
    candidates, ties = Candidates(dataset, scorer.catalogue), tie_break(scorer.catalogue)
    whole = best_of_blocks(scorer, asked, candidates, ties, 7)
    score, sizes = ModelScorer.block, []

    def block(self: ModelScorer, states: States, columns: slice) -> Tensor:
        sizes.append(len(states.state) * (columns.stop - columns.start))
        return score(self, states, columns)

    monkeypatch.setattr(ModelScorer, "block", block)
    monkeypatch.setattr(blocks, "SCORES", 4 * len(asked))
    monkeypatch.setattr(blocks, "LEAST", 2)
    found = best_of_blocks(scorer, asked, candidates, ties, 7)
    assert max(sizes) == 4 * len(asked)
    torch.testing.assert_close(found.scores, whole.scores, rtol=1e-4, atol=1e-4)


def test_a_recommendation_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, dataset = ready()
    asked = queries(dataset, split(dataset), Part.TEST)
    whole = recommend(scorer, dataset, asked, k=5)
    for module in ("blocks", "recommend"):
        monkeypatch.setattr(f"palate.rank.{module}.BLOCK", 6)

    def whole_rows(*_: object) -> None:
        raise AssertionError("a row of scores for the whole catalogue")

    monkeypatch.setattr(ModelScorer, "scored", whole_rows)
    blocked = recommend(scorer, dataset, asked, k=5)
    assert blocked.drop("score").equals(whole.drop("score"))


def test_heads_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, dataset = ready()
    asked = queries(dataset, split(dataset), Part.TEST)
    whole = predict(scorer, asked)
    monkeypatch.setattr("palate.rank.predictions.BLOCK", 6)
    blocked = predict(scorer, asked)
    assert_frame_equal(blocked, whole, rel_tol=1e-3)
