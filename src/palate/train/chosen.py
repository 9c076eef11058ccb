"""What a training chose for itself, as its run's ``config.yaml`` has it; and whether a run is of given settings."""

from __future__ import annotations

from typing import Any

from palate.errors import RunExistsError
from palate.model import SequenceModel
from palate.runs import Run
from palate.train.config import PretrainConfig
from palate.train.softmax import SoftmaxChoice


def as_chosen(config: PretrainConfig, model: SequenceModel, softmax: SoftmaxChoice) -> PretrainConfig:
    """The configuration with what was chosen for it: the softmax, the share of items without their id, and the names of
    the heads, so that the run does not depend on how they are chosen."""
    id_dropout = None if model.tower.metadata is None else model.tower.id_dropout
    heads = None if model.intents is None else tuple(spec.name for spec in model.intents.specs)
    return _with(config, softmax=softmax.kind, id_dropout=id_dropout, heads=heads)


def check_settings(run: Run, config: PretrainConfig) -> None:
    """Raise `RunExistsError` where a run was trained with other settings than these, what it chose itself aside."""
    kept = PretrainConfig.from_yaml(run.folder / "config.yaml")
    softmax, tower, intents = kept.objective.softmax, kept.model.tower, kept.model.intents
    own = _with(
        config,
        softmax=softmax if config.objective.softmax == "auto" else None,
        id_dropout=tower.id_dropout if config.model.tower.id_dropout is None else None,
        heads=None if intents is None or config.model.intents is None or config.model.intents.heads else intents.heads,
    )
    differences = _differences(kept.model_dump(), own.model_dump())
    if differences:
        raise RunExistsError(
            f"{run.folder} is finished, and was trained with other settings: {'; '.join(differences)}",
            hint="choose another folder with --out, or resume with the settings that it was trained with",
        )


def _with(
    config: PretrainConfig, *, softmax: str | None, id_dropout: float | None, heads: tuple[str, ...] | None
) -> PretrainConfig:
    """With these choices, where there are any."""
    objective, model = config.objective, config.model
    if softmax is not None:
        objective = objective.model_copy(update={"softmax": softmax})
    if id_dropout is not None:
        model = model.model_copy(update={"tower": model.tower.model_copy(update={"id_dropout": id_dropout})})
    if heads is not None and model.intents is not None:
        model = model.model_copy(update={"intents": model.intents.model_copy(update={"heads": heads})})
    return config.model_copy(update={"objective": objective, "model": model})


def _differences(there: dict[str, Any], here: dict[str, Any], path: str = "") -> list[str]:
    """Each setting that differs, as ``path is this, not that``."""
    found: list[str] = []
    for name in there | here:
        one, other = there.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differences(one, other, f"{path}{name}.")
        elif one != other:
            found.append(f"{path}{name} is {one}, not {other}")
    return found
