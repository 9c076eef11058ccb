"""From a configuration and a tokenizer to a network."""

from __future__ import annotations

from palate.model import ModelConfig, SequenceModel, Shape, build_model
from palate.tokens import Tokenizer, heads


def network(config: ModelConfig, tokenizer: Tokenizer, *, context: int) -> SequenceModel:
    """A network for what the tokenizer makes; its weights come from torch's random state.

    Raises `ConfigError` for heads that the data can't have.
    """
    intents = config.intents
    shape = Shape(
        fields=tokenizer.specs,
        metadata=() if tokenizer.metadata is None else tokenizer.metadata.specs,
        heads=() if intents is None else heads(tokenizer, intents.heads, most_values=intents.most_values),
        has_time=tokenizer.has_time,
    )
    return build_model(config, shape, context=context)
