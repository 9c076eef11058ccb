"""Training: plan, loop, validation, sealing."""

from palate.train.config import OptimizerConfig, PretrainConfig, ValidationConfig
from palate.train.measure import measure
from palate.train.pretrain import estimate_training, new_model, pretrain

__all__ = [
    "OptimizerConfig",
    "PretrainConfig",
    "ValidationConfig",
    "estimate_training",
    "measure",
    "new_model",
    "pretrain",
]
