"""Settings of the model: one of two encoders between one embedder and one output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from palate.config import Config

Probability = Annotated[float, Field(ge=0, lt=1)]


class EncoderConfig(Config):
    """What both encoders share."""

    width: int = Field(default=64, ge=1)
    """Width D of the state."""
    blocks: int = Field(default=2, ge=1)
    """Number of blocks."""
    heads: int = Field(default=2, ge=1)
    """Attention heads H of a block."""
    dropout: Probability = 0.2
    """Share of each block's update that is dropped in training."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> EncoderConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self


class TransformerConfig(EncoderConfig):
    """Palate's encoder: RMSNorm, SwiGLU, gated residuals, relative bias of position and of time."""

    kind: Literal["transformer"] = "transformer"
    expansion: float = Field(default=8 / 3, gt=0)
    """Width of the feed-forward layer, as a multiple of D (rounded up to a multiple of 16)."""
    time_buckets: int = Field(default=64, ge=2)
    """Buckets of the logarithm of the gap between two moments."""


class SasRecConfig(EncoderConfig):
    """SASRec (Kang and McAuley 2018): LayerNorm, learned positions, item ids as the only input."""

    kind: Literal["sasrec"] = "sasrec"
    expansion: float = Field(default=4, gt=0)
    """Width of the feed-forward layer, as a multiple of D."""


class ModelConfig(Config):
    """The whole network."""

    encoder: Annotated[TransformerConfig | SasRecConfig, Field(discriminator="kind")] = TransformerConfig()
    """Between the embedder and the output."""
    field_width: int = Field(default=16, ge=1)
    """Width of the embedding of each field but the item."""
    hidden_rows: Probability = 0.1
    """Share of rows whose post-action fields are replaced by unknown in training; likewise their request-time ones."""
    popularity_bias: bool = True
    """Start the bias of each item at the logarithm of its share of the training events."""
    logit_bytes: int = Field(default=16 * 2**20, ge=1)
    """Memory for logits at any moment of training, in bytes."""
