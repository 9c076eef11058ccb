"""Train the variants: the same data, batches, budget and first weights, except for what a variant is about."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import polars as pl
from encoders import Recurrent, TransActLike, matched
from numpy.typing import NDArray
from torch import nn

from palate.data import Dataset, Split, split
from palate.model import IntentConfig, ModelConfig, SequenceModel, TransformerConfig
from palate.model.transformer import Transformer
from palate.rank.model_scorer import ModelScorer, evaluating
from palate.simulate import Simulation
from palate.tokens import PackConfig, Tokenizer, training_catalogue
from palate.train import PretrainConfig
from palate.train.config import OptimizerConfig, ValidationConfig
from palate.train.loop import Trainer
from palate.train.material import Material
from palate.train.new_items import choose_trust, fit_new_items
from palate.train.plan import BatchPlanner
from palate.train.pretrain import new_model
from palate.train.validate import Validator

Floats = NDArray[np.float64]
Feed = Literal["attention", "none"]


@dataclass(frozen=True)
class Variant:
    """A network."""

    feed: Feed | None = "attention"
    """How intents reach the item; none: no heads."""
    encoder: str = "transformer"


FED, BESIDE, NO_HEADS = "fed by intents", "heads beside", "no heads"
VARIANTS = {
    FED: Variant(),
    BESIDE: Variant(feed="none"),
    NO_HEADS: Variant(feed=None),
    "GRU": Variant(encoder="gru"),
    "LSTM": Variant(encoder="lstm"),
    "TransAct-like": Variant(encoder="transact"),
}
PEERS = tuple(name for name, variant in VARIANTS.items() if variant.encoder != "transformer")


class Bench:
    """A simulated log, encoded once."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.dataset = Dataset.from_frames(
            simulation.events, simulation.items, simulation.users, schema=simulation.schema
        )
        self.division: Split = split(self.dataset)
        self.tokenizer = Tokenizer.fit(self.dataset, self.division, PretrainConfig().tokenizer)
        self.material = Material.of(self.tokenizer, self.dataset, self.division)


@dataclass(frozen=True)
class Trained:
    """A trained model and what it took."""

    model: SequenceModel
    scorer: ModelScorer
    parameters: int
    encoder_parameters: int
    seconds: float
    epochs: int
    validation: float


def settings(variant: Variant, *, seed: int, epochs: int) -> PretrainConfig:
    """The settings of a training, whichever encoder it has."""
    return PretrainConfig(
        seed=seed,
        epochs=epochs,
        packing=PackConfig(batch_tokens=512),
        model=ModelConfig(intents=None if variant.feed is None else IntentConfig(feed=variant.feed)),
        optimizer=OptimizerConfig(learning_rate=5e-3),
        validation=ValidationConfig(patience=4),
    )


def network(variant: Variant, config: PretrainConfig, tokenizer: Tokenizer) -> SequenceModel:
    """The network of a variant: Palate's, or the same around another encoder of about as many parameters."""
    model, encoder = new_model(config, tokenizer), config.model.encoder
    if variant.encoder == "transformer":
        return model
    assert isinstance(encoder, TransformerConfig)
    width, dropout = encoder.width, encoder.dropout
    builders: dict[str, Callable[..., nn.Module]] = {
        "gru": partial(Recurrent, nn.GRU, width=width, dropout=dropout),
        "lstm": partial(Recurrent, nn.LSTM, width=width, dropout=dropout),
        "transact": partial(TransActLike, width=width, heads=encoder.heads, dropout=dropout),
    }
    build = builders[variant.encoder]
    other = matched(lambda inner: build(inner=inner), _parameters(model.encode))
    return SequenceModel(
        model.tower,
        model.hide,
        model.embed,
        cast("Transformer", other),  # of the same interface
        intents=model.intents,
        ahead=model.ahead,
        presentation=model.presentation,
        logit_bytes=model.logit_bytes,
    )


def train(bench: Bench, variant: Variant, *, seed: int, epochs: int) -> Trained:
    """Train as `palate.train.pretrain` does, without sealing a run."""
    config = settings(variant, seed=seed, epochs=epochs)
    tokenizer, dataset, material = bench.tokenizer, bench.dataset, bench.material
    model = network(variant, config, tokenizer)
    scorer = ModelScorer(model, tokenizer, dataset, context=config.windows.context, store=material.store)
    planner, catalogue = BatchPlanner(material, tokenizer, config), training_catalogue(tokenizer)
    validator = Validator(scorer, dataset, bench.division, config.validation, seed=seed, infers=True)
    with tempfile.TemporaryDirectory(prefix="palate-intents-") as work:
        trainer = Trainer(config, model, planner, catalogue, validator, checkpoints=Path(work), data="")
        state = trainer.run()
    fit_new_items(model, catalogue, planner, seed=seed)
    choose_trust(model, validator.late_ndcg())
    validated = validator.ndcg()
    return Trained(model, scorer, _parameters(model), _parameters(model.encode), state.seconds, state.epoch, validated)


def head_shares(trained: Trained, asked: pl.DataFrame) -> Floats:
    """Logarithm of each class's probability in each head at these queries, ``[Q, C]``."""
    model, scorer = trained.model, trained.scorer
    assert model.intents is not None
    found = np.empty((len(asked), sum(model.intents.sizes)))
    with evaluating(model):
        for places, state, _ in scorer.answered(asked, model.tower(scorer.described)):
            intents = model.predict_intents(state)
            assert intents is not None
            found[places.numpy()] = intents.log_shares.double().numpy()
    return found


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
