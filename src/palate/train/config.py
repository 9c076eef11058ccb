"""Settings of a training, complete: what ``config.yaml`` of a run holds."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from palate.config import Config
from palate.model import ModelConfig, ObjectiveConfig
from palate.model.config import Probability
from palate.tokens import PackConfig, TokenizerConfig, WindowConfig
from palate.tokens.rewards import RewardConfig
from palate.train.device import Precision

MOST_SEED: Final = 2**31 - 1
"""A step's random state is of 64 bits: those of the seed, the process and the step."""


class OptimizerConfig(Config):
    """AdamW with a linear warm-up and a cosine."""

    learning_rate: float = Field(default=3e-3, gt=0)
    """Highest learning rate."""
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Decay of the two moments, below 1."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled decay of matrices; vectors and bias tables are left alone."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps until the highest learning rate."""
    final_share: float = Field(default=0.02, ge=0, le=1)
    """Learning rate at the end, as a share of the highest."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Longest gradient."""


class ValidationConfig(Config):
    """How the weights that are kept are chosen."""

    every: int = Field(default=1, ge=1)
    """Epochs between validations; the last epoch is always validated."""
    k: int = Field(default=10, ge=1)
    """NDCG@k on the validation part decides."""
    patience: int = Field(default=3, ge=1)
    """Validations without improvement after which training stops."""
    targets: int = Field(default=20_000, ge=1)
    """At most so many validation targets, drawn by the seed."""


class PretrainConfig(Config):
    """Everything about a training but the data."""

    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    """Seed of weights, order and dropout."""
    epochs: int = Field(default=12, ge=1)
    """Passes over the windows; the learning rate falls over all of them."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """How events become tokens."""
    windows: WindowConfig = WindowConfig()
    """How histories are cut."""
    packing: PackConfig = PackConfig()
    """What makes a batch."""
    model: ModelConfig = ModelConfig()
    """The network."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What the losses count."""
    rewards: RewardConfig | None = None
    """What a target counts; none: all count the same."""
    precision: Precision = "auto"
    """Type of the encoder's products in training; auto: bfloat16 on a GPU, float32 on a processor."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How weights move."""
    validation: ValidationConfig = ValidationConfig()
    """How the weights that are kept are chosen."""
    checkpoint_seconds: float = Field(default=30, ge=0)
    """Seconds between checkpoints; also one after each epoch."""
