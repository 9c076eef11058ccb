"""SASRec as a recipe: settings of our own trainer, nothing else.

Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018, with the full softmax in place of sampled
negatives; item ids as the only input.
"""

from __future__ import annotations

from palate.model import ModelConfig, SasRecConfig, TowerConfig
from palate.tokens import PackConfig, TokenizerConfig, WindowConfig
from palate.train import OptimizerConfig, PretrainConfig


def sasrec_recipe(
    *, width: int = 64, blocks: int = 2, heads: int = 2, context: int = 200, sequences: int = 128, expansion: float = 1
) -> PretrainConfig:
    """Settings for `palate.train.pretrain`: width D, ``sequences`` histories a batch, one window of each an epoch."""
    return PretrainConfig(
        tokenizer=TokenizerConfig(member_attributes=False, time_features=False),
        windows=WindowConfig(context=context, windows_per_member=1),
        packing=PackConfig(batch_tokens=sequences * context, batch_sequences=sequences),
        model=ModelConfig(
            encoder=SasRecConfig(width=width, blocks=blocks, heads=heads, expansion=expansion),
            tower=TowerConfig(metadata=False, ages=False),
            intents=None,
            popularity_bias=False,
        ),
        optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0, final_share=1.0),
    )
