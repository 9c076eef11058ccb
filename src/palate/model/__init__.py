"""The model: tower, encoder, heads; losses."""

from palate.model.config import (
    EncoderConfig,
    IntentConfig,
    ModelConfig,
    NextConfig,
    ObjectiveConfig,
    PresentationConfig,
    SamplingConfig,
    SasRecConfig,
    TowerConfig,
    TransformerConfig,
)
from palate.model.model import Losses, SequenceModel, Shape, build_model
from palate.model.negatives import NegativeSampler
from palate.model.tower import ItemTables

__all__ = [
    "EncoderConfig",
    "IntentConfig",
    "ItemTables",
    "Losses",
    "ModelConfig",
    "NegativeSampler",
    "NextConfig",
    "ObjectiveConfig",
    "PresentationConfig",
    "SamplingConfig",
    "SasRecConfig",
    "SequenceModel",
    "Shape",
    "TowerConfig",
    "TransformerConfig",
    "build_model",
]
