"""Which parts of the model a run uses, in words: what the model card says beside the numbers."""

from __future__ import annotations

from palate.data import Role
from palate.model import IntentConfig, ModelConfig, ObjectiveConfig, SasRecConfig, SequenceModel
from palate.tokens import Tokenizer
from palate.tokens.ages import HOUR_MS
from palate.tokens.rewards import RewardConfig

_FORMS = {"category": "category", "bucket": "number in buckets", "text": "text", "vector": "vector"}
_GATES = {
    "training": "the share of the id goes by the training events that taught it",
    "moment": "the share of the id goes by the item's age at the moment of each row",
}


def parts(
    model: SequenceModel,
    config: ModelConfig,
    tokenizer: Tokenizer,
    objective: ObjectiveConfig,
    rewards: RewardConfig | None,
) -> dict[str, str]:
    """Each part by name, and what became of it: the settings that it runs with, or why it is not there."""
    found = {
        "ids": f"{tokenizer.trained:,} items with a training event",
        "metadata": _metadata(model, config, tokenizer),
    }
    left_out = {} if tokenizer.metadata is None else tokenizer.metadata.left_out
    if left_out:
        found["metadata left out"] = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    if model.tower.metadata is not None:
        found["gate"] = f"{_GATES[config.tower.gate]} ({config.tower.gate})"
        share = model.tower.id_dropout
        found["id dropout"] = f"{_percent(share)} of the items are treated as new in each step" if share else "none"
    return found | {
        "attention": _attention(config),
        "age of items": _ages(model, config, tokenizer),
        "intents": _intents(model, config.intents, objective),
        "next n": _next(model, config, objective),
        "rewards": _rewards(rewards),
        "presentation": _presentation(config),
    }


def _attention(config: ModelConfig) -> str:
    encoder = config.encoder
    if isinstance(encoder, SasRecConfig) or encoder.window is None:
        return "dense: every row of the view is seen"
    return (
        f"{encoder.window:,} rows one by one, {encoder.summaries} blocks of {encoder.block} before by summaries of "
        f"their own, older ones by one; {encoder.rank} vectors a summary"
    )


def _metadata(model: SequenceModel, config: ModelConfig, tokenizer: Tokenizer) -> str:
    if model.tower.metadata is not None and tokenizer.metadata is not None:
        return ", ".join(f"{field.name} ({_FORMS[field.form]})" for field in tokenizer.metadata.fields)
    if not config.tower.metadata:
        return "none: model.tower.metadata is off"
    if not tokenizer.schema.with_role("items", Role.ITEM_METADATA):
        return "none: the data have no columns that describe items"
    return "none: no column of the items table carries anything to other items"


def _ages(model: SequenceModel, config: ModelConfig, tokenizer: Tokenizer) -> str:
    if model.tower.age_bias is None:
        return "no bias: the data have no time" if config.tower.ages else "no bias: model.tower.ages is off"
    ages = tokenizer.ages
    assert ages is not None, "a fitted tokenizer"
    assert ages.step is not None, "data with time"
    asked = ages.config.step_hours
    coarser = ages.step > ages.config.step_ms
    return (
        "a bias for the time since launch, the events before, and the demand with a "
        f"half-life of {ages.config.half_life_days:g} days, counted every {ages.step / HOUR_MS:g} hours"
        + (" (when asked for, since a grid of them would be more than tokenizer.ages.cells)" if ages.counted else "")
        + (f" ({asked:g} would be more than tokenizer.ages.cells)" if coarser else "")
    )


def _intents(model: SequenceModel, config: IntentConfig | None, objective: ObjectiveConfig) -> str:
    if config is None:
        return "none: model.intents is null"
    if model.intents is None:
        return "none: the data offer nothing to predict"
    names = ", ".join(spec.name for spec in model.intents.specs)
    labels = "the target and the rest of its session" if config.horizon == "session" else "the target alone"
    fed = "fed to the items by attention" if model.intents.feeds else "beside the items, not fed to them"
    return f"heads {names}; labels of {labels}; {fed}; weight {objective.intents:g}"


def _next(model: SequenceModel, config: ModelConfig, objective: ObjectiveConfig) -> str:
    if model.ahead is None:
        return "the next target alone"
    share = _percent(config.next.share)
    return f"{config.next.n} targets, {share} of the rows learn a later one in each step; weight {objective.next:g}"


def _rewards(config: RewardConfig | None) -> str:
    if config is None:
        return "none: all targets count the same"
    by = [f"{name} {factor:g}" for name, factor in config.event_types.items()]
    if config.duration is not None:
        by.append(f"share of the runtime (strength {config.duration.strength:g})")
    if config.rating is not None:
        by.append(f"{config.rating.column} (strength {config.rating.strength:g})")
    if config.recency_half_life_days is not None:
        by.append(f"recency (half-life {config.recency_half_life_days:g} days)")
    if not by:
        return "none: no part is given, so all targets count the same"
    return f"targets count by {', '.join(by)}; raw weights from {config.least:g} to {config.most:g}"


def _presentation(config: ModelConfig) -> str:
    shown = config.presentation
    if shown is None:
        return "none: every choice counts as one among all items"
    return (
        f"where impressions are known, {_percent(shown.share)} of the loss is the choice among up to {shown.places} "
        f"places, with propensities of at least {shown.least_propensity:g}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
