"""If these fail, `palate recommend` answers from another past than `palate evaluate` measured."""

from typing import Literal

import polars as pl
import pytest
import torch
from tests.tokens.conftest import service
from tests.tokens.test_merges import viewings

from palate.data import Dataset, present_queries, split
from palate.model import ModelConfig, TransformerConfig
from palate.rank.model_scorer import ModelScorer
from palate.tokens import Tokenizer, TokenizerConfig
from palate.train import PretrainConfig, new_model


@pytest.mark.parametrize("context", [3, 100])
def test_the_present_is_scored_like_an_event(context: int) -> None:
    dataset = service(members=8, seed=5, has_time=False)
    config = PretrainConfig.parse({"windows": {"context": context}}, source="test")
    config = config.model_copy(update={"model": ModelConfig(encoder=TransformerConfig(width=16))})
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = new_model(config, tokenizer)
    torch.nn.init.normal_(model.tower.id, std=0.5)
    # One more event a member, of which nothing is known when it is asked for.
    ends = present_queries(dataset)
    unknown = ends.select("user_id", "position").with_columns(item_id=pl.lit("t00"), event_type=pl.lit("play"))
    events = pl.concat([dataset.events, unknown], how="diagonal").sort("user_id", "position")
    longer = Dataset(events, None, dataset.users, dataset.schema, dataset.report)
    last = events.with_row_index("query").filter(pl.col("user_id") != pl.col("user_id").shift(-1).fill_null(""))
    asked = last.select(pl.col("query").cast(pl.Int64), "user_id", "position")
    ours = ModelScorer(model, tokenizer, dataset, context=context).score(ends)
    theirs = ModelScorer(model, tokenizer, longer, context=context).score(asked)
    torch.testing.assert_close(ours, theirs)


def with_the_present(dataset: Dataset) -> tuple[pl.DataFrame, Dataset, pl.DataFrame]:
    """Questions of the present; the log with an event of an unknown item at each, and the same questions there."""
    ends = present_queries(dataset)
    unknown = ends.select("user_id", "timestamp").with_columns(item_id=pl.lit("new"), event_type=pl.lit("play"))
    events = pl.concat([dataset.events, unknown], how="diagonal").sort("user_id", "timestamp", maintain_order=True)
    longer = Dataset(events, None, None, dataset.schema, dataset.report)
    last = events.with_row_index("query").filter(pl.col("item_id") == "new")
    return ends, longer, last.select(pl.col("query").cast(pl.Int64), "user_id", "timestamp")


@pytest.mark.parametrize("runs", ["keep", "merge", "last"])
def test_a_history_with_more_events_than_tokens_is_read_as_far_back(runs: Literal["keep", "merge", "last"]) -> None:
    dataset = viewings(members=8, seed=3)
    config = PretrainConfig.parse({"windows": {"context": 5}}, source="test")
    config = config.model_copy(update={"model": ModelConfig(encoder=TransformerConfig(width=16))})
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig(runs=runs, least_merges=2))
    model = new_model(config, tokenizer)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ends, longer, asked = with_the_present(dataset)
    ours = ModelScorer(model, tokenizer, dataset, context=5).score(ends)
    theirs = ModelScorer(model, tokenizer, longer, context=5).score(asked)
    torch.testing.assert_close(ours, theirs)


WINDOWED = TransformerConfig(width=16, window=4, block=2, summaries=1)


@pytest.mark.parametrize("encoder", [TransformerConfig(width=16), WINDOWED], ids=["dense", "windowed"])
@pytest.mark.parametrize("runs", ["keep", "merge"])
@pytest.mark.parametrize(("context", "slide"), [(9, 1), (9, 4), (500, 3)])
def test_views_and_blocks_are_counted_from_the_members_first_row(
    encoder: TransformerConfig, runs: Literal["keep", "merge"], context: int, slide: int
) -> None:
    """The present is answered from the last rows alone, and as if all were there."""
    dataset = viewings(members=5, seed=4)
    config = PretrainConfig.parse({"windows": {"context": context, "slide": slide}}, source="test")
    config = config.model_copy(update={"model": ModelConfig(encoder=encoder)})
    tokenizer = Tokenizer.fit(dataset, split(dataset), TokenizerConfig(runs=runs, least_merges=2))
    model = new_model(config, tokenizer)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ends, longer, asked = with_the_present(dataset)
    ours = ModelScorer(model, tokenizer, dataset, context=context, slide=slide).score(ends)
    theirs = ModelScorer(model, tokenizer, longer, context=context, slide=slide).score(asked)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_queries_that_share_a_window_score_as_if_alone() -> None:
    dataset = service(members=8, seed=6)
    config = PretrainConfig.parse({"windows": {"context": 12}}, source="test")
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = new_model(config, tokenizer)
    torch.nn.init.normal_(model.tower.id, std=0.5)
    scorer = ModelScorer(model, tokenizer, dataset, context=12)
    asked = dataset.events.with_row_index("query").select(pl.col("query").cast(pl.Int64), "user_id", "timestamp")
    together = scorer.score(asked)
    for row in range(0, len(asked), 7):
        torch.testing.assert_close(together[row : row + 1], scorer.score(asked[row : row + 1]), rtol=1e-4, atol=1e-4)
