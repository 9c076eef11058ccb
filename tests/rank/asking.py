"""Runs with every part, without a training: random weights, large enough that everything matters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tests.tokens.worlds import everything

from palate.data import Dataset, SplitRule, split
from palate.model import SequenceModel
from palate.rank.model_scorer import ModelScorer
from palate.tokens import Tokenizer
from palate.train import new_model


@dataclass(frozen=True)
class Asking:
    """A run that can score any log of its schema."""

    model: SequenceModel
    tokenizer: Tokenizer
    context: int

    @classmethod
    def of(cls, dataset: Dataset, *, merge: bool = False, context: int = 12, **changes: object) -> Asking:
        """Fitted on all of ``dataset``, so that nothing later counts in ages; ``changes`` are those of the model."""
        config = everything(merge=merge, has_time=dataset.has_time, context=context, **changes)
        tokenizer = Tokenizer.fit(dataset, split(dataset, SplitRule(kind="none")), config.tokenizer)
        model = new_model(config, tokenizer)
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return cls(model, tokenizer, context)

    def __call__(self, dataset: Dataset) -> ModelScorer:
        """Its scores for a log."""
        return ModelScorer(self.model, self.tokenizer, dataset, context=self.context)
