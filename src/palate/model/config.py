"""Settings of the model: tower, encoder, heads, and what they are trained for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from palate.config import Config

Probability = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


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
    time_buckets: int = Field(default=64, ge=2, le=1 << 15)
    """Buckets of the logarithm of the gap between two moments."""
    time_bias: bool = True
    """Whether attention knows how long ago things were."""
    window: int | None = Field(default=None, ge=1)
    """Rows before its own block that a row sees one by one, a multiple of ``block``; older ones it sees through
    summaries of their blocks. None: it sees all of its view one by one."""
    block: int = Field(default=64, ge=1)
    """Rows of a block, counted from the member's first."""
    rank: int = Field(default=2, ge=1)
    """Summary vectors a block, for each head."""
    summaries: int = Field(default=64, ge=1)
    """Blocks before the window with a summary of their own; all older ones share one."""

    @model_validator(mode="after")
    def _window_in_blocks(self) -> TransformerConfig:
        if self.window is not None and self.window % self.block:
            raise ValueError(f"a window of {self.window} is not a multiple of {self.block} rows, the block")
        return self


class SasRecConfig(EncoderConfig):
    """SASRec (Kang and McAuley 2018): LayerNorm, learned positions, item ids as the only input."""

    kind: Literal["sasrec"] = "sasrec"
    expansion: float = Field(default=4, gt=0)
    """Width of the feed-forward layer, as a multiple of D."""


class TowerConfig(Config):
    """How items are known."""

    metadata: bool = True
    """By what they are, beside their id; where items have metadata."""
    metadata_width: int = Field(default=16, ge=1)
    """Width of the embedding of each column of metadata."""
    metadata_dropout: Probability = 0.2
    """Share of an item's columns that each step of training takes for unknown, so that none is leant on alone."""
    id_dropout: Probability | None = None
    """Share of the items that each step of training treats as new: known by their metadata, with no event yet. None: 0
    where items without an id are inferred behind the training, 0.05 where they are not: with a sampled softmax or the
    gate of the moment. The run's configuration has what was chosen."""
    gate: Literal["training", "moment"] = "training"
    """What the share of the id goes by: the events that taught it, or the item's age at the moment of each row, which
    costs a second product with the catalogue."""
    ages: bool = True
    """A bias of an item's age: time since launch, events before, and recent events; where events have time."""


class IntentConfig(Config):
    """Heads that predict what is wanted, before which item it is."""

    heads: tuple[str, ...] | None = None
    """Names of columns to predict: of items, or post-action ones of events; ``familiar`` and ``release`` are derived.
    None: what the data offer."""
    most_values: int = Field(default=100, ge=2)
    """A column with more values is no head of its own accord."""
    feed: Literal["attention", "none"] = "attention"
    """How predictions reach the item: through an attention that makes one intent of them; or not at all."""
    width: int = Field(default=32, ge=1)
    """Width of the embedding of an intent."""
    horizon: Literal["session", "target"] = "session"
    """What a label is made of: the target and the rest of its session, or the target alone."""


class NextConfig(Config):
    """Predicting further than the next target."""

    n: int = Field(default=0, ge=0)
    """Targets that are predicted, the next one included; 0 or 1: only the next."""
    share: float = Field(default=0.25, gt=0, le=1)
    """Share of the rows that also learn one of their later targets, another one each step."""


class PresentationConfig(Config):
    """Correction for what was shown where."""

    share: float = Field(default=1.0, gt=0, le=1)
    """What of the loss of a target that was chosen among shown items is its choice among them; the rest is its choice
    among all."""
    places: int = Field(default=20, ge=2)
    """Places that have a propensity; items further behind are left out."""
    least_propensity: float = Field(default=0.1, gt=0, le=1)
    """The propensity of a place counts at least so much, against that of the first."""


class ModelConfig(Config):
    """The whole network."""

    encoder: Annotated[TransformerConfig | SasRecConfig, Field(discriminator="kind")] = TransformerConfig()
    """Between the embedder and the output."""
    tower: TowerConfig = TowerConfig()
    """How items are known."""
    intents: IntentConfig | None = IntentConfig()
    """What is predicted before the item; none: nothing."""
    next: NextConfig = NextConfig()
    """How far is looked."""
    presentation: PresentationConfig | None = None
    """Correction for what was shown where, for targets with impressions; none: every choice is one among all."""
    field_width: int = Field(default=16, ge=1)
    """Width of the embedding of each field but the item."""
    hidden_rows: Probability = 0.1
    """Share of rows whose post-action fields are replaced by unknown in training; likewise their request-time ones."""
    popularity_bias: bool = True
    """Start with biases for popularity, over all training events and lately."""
    logit_bytes: int = Field(default=16 * 2**20, ge=1)
    """Memory for logits at any moment of training, in bytes."""


class SamplingConfig(Config):
    """What negatives a sampled softmax draws in each step; they are the same for all its rows."""

    negatives: int = Field(default=8192, ge=1)
    """Draws of a step."""
    uniform: Share = 0.2
    """Share of them from all items alike."""
    popularity: Share = 0.8
    """Share of them by training events."""
    in_batch: Share = 0.0
    """Share of them from the targets of the batch; at most all of these are taken."""
    power: float = Field(default=1.0, ge=0)
    """What training events are raised to, for the share by popularity."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> SamplingConfig:
        total = self.uniform + self.popularity + self.in_batch
        if abs(total - 1) > 1e-6:
            raise ValueError(f"uniform, popularity and in_batch add up to {total:g}, not to 1")
        return self


class ObjectiveConfig(Config):
    """What the losses count, and among what."""

    softmax: Literal["auto", "exact", "sampled"] = "auto"
    """Whether a target is chosen among all items, or among a sample of them in each step; auto: by the size of the
    catalogue. The run's configuration has what was chosen."""
    sampling: SamplingConfig = SamplingConfig()
    """What a sampled softmax draws."""
    sampling_pays: float = Field(default=4.0, ge=1)
    """Auto takes the sampled softmax where an exact step has so many times its operations."""
    exact_bytes: int = Field(default=4 * 2**30, ge=1)
    """Auto takes the sampled softmax where the exact one needs more memory than this, in bytes."""

    intents: float = Field(default=1.0, ge=0)
    """Weight of the mean loss of the heads against that of the item."""
    next: float = Field(default=0.5, ge=0)
    """Weight of a later target against a next one."""
