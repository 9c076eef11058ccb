"""The model: embed, attend, score; losses."""

from palate.model.config import EncoderConfig, ModelConfig, SasRecConfig, TransformerConfig
from palate.model.model import SequenceModel, build_model

__all__ = ["EncoderConfig", "ModelConfig", "SasRecConfig", "SequenceModel", "TransformerConfig", "build_model"]
