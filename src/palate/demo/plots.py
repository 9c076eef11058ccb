"""Plots of a training and of its figures beside the baselines'."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from palate.errors import MissingExtraError
from palate.evaluate.evaluation import Evaluation
from palate.evaluate.intervals import Estimate
from palate.train.state import Validation

_INK, _QUIET, _ACCENT = "#222222", "#9aa5b1", "#d1495b"


def learning_curve(validations: Sequence[Validation], path: Path, *, references: Mapping[str, float]) -> None:
    """NDCG on validation by epoch, with the training loss; ``references`` are horizontal lines."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(7, 4), constrained_layout=True)
    epochs = [each.epoch for each in validations]
    axis.plot(epochs, [each.value for each in validations], color=_ACCENT, marker="o", label="validation NDCG@10")
    for name, value in references.items():
        axis.axhline(value, color=_QUIET, linestyle="--", linewidth=1)
        axis.annotate(name, (epochs[-1], value), ha="right", va="bottom", color=_INK, fontsize=8)
    axis.set(xlabel="epoch", ylabel="validation NDCG@10", ylim=(0, None), title="Learning curve")
    loss = axis.twinx()
    loss.plot(epochs, [each.loss for each in validations], color=_INK, linewidth=1, label="training loss")
    loss.set_ylabel("training loss (nats a target)")
    axis.legend(handles=[*axis.get_lines()[:1], *loss.get_lines()], loc="center right", frameon=False)
    axis.set_xticks(epochs)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def beside_baselines(
    evaluation: Evaluation, path: Path, *, name: str, names: Mapping[str, str], metric: str = "ndcg@10"
) -> None:
    """One bar a ranking, with its interval; ``names`` turns the names of baselines into words."""
    plt = _pyplot()
    figures = {names.get(key, key): each[metric] for key, each in evaluation.baselines.items() if metric in each}
    figures[name] = evaluation.metrics[metric]
    ordered = sorted(figures.items(), key=lambda entry: entry[1].value)
    figure, axis = plt.subplots(figsize=(7, 0.45 * len(ordered) + 1.4), constrained_layout=True)
    labels = [label for label, _ in ordered]
    values = [estimate.value for _, estimate in ordered]
    errors = [[_reach(estimate, low=True) for _, estimate in ordered], [_reach(e, low=False) for _, e in ordered]]
    colours = [_ACCENT if label == name else _QUIET for label in labels]
    axis.barh(labels, values, xerr=errors, color=colours, ecolor=_INK, capsize=3)
    for place, (_, estimate) in enumerate(ordered):
        axis.annotate(
            f"{estimate.value:.3f}",
            (estimate.value + _reach(estimate, low=False), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
        )
    axis.margins(x=0.12)
    axis.set(xlabel=f"{metric.upper()} on the test part, 95 % interval", title="Beside baselines and the oracle")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _reach(estimate: Estimate, *, low: bool) -> float:
    bound = estimate.low if low else estimate.high
    return 0.0 if bound is None else abs(estimate.value - bound)


def _pyplot() -> ModuleType:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots") from error
    mpl.use("Agg")
    return importlib.import_module("matplotlib.pyplot")
