"""An evaluation as tables that a person can read."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palate.evaluate.compare import Difference
from palate.evaluate.evaluation import Evaluation, EvaluationProtocol, HeadResult, Metrics
from palate.evaluate.intervals import Estimate
from palate.evaluate.metrics import ACCURACY
from palate.evaluate.next_items import NEXT_RECALL

_NO_FIGURE = "–"


def evaluation_tables(evaluation: Evaluation, *, name: str = "this run") -> RenderableType:
    """Protocol, figures at all cut-offs, slices, and the comparison with other rankings; ``name`` heads the figures."""
    k = _main_cutoff(evaluation.protocol)
    return Group(
        _protocol(evaluation.protocol),
        _figures(evaluation.metrics, name),
        *_rankings(evaluation, name, k),
        *_comparison(evaluation, k),
        *_heads(evaluation.heads),
        _slices(evaluation),
    )


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _protocol(protocol: EvaluationProtocol) -> Text:
    split = protocol.split.kind.replace("_", "-")
    if protocol.split.kind == "temporal":
        split += f" {protocol.split.train_share:.0%}/{protocol.split.validation_share:.0%}/rest"
    seen = ", ".join(f"{rule}" if kind == "*" else f"{rule} for {kind}" for kind, rule in protocol.seen_items.items())
    several = protocol.next_targets > 1
    next_line = [f"next_recall: of the member's next {protocol.next_targets} targets in the part"] if several else []
    if protocol.horizon > 1:
        next_line.append(f"ranked for the next {protocol.horizon} targets together; what it is compared with, for one")
    known = "known" if protocol.query_time_known else "not known"
    lines = (
        f"{protocol.targets:,} targets of {protocol.members:,} members; {protocol.part} part, {split} split",
        f"{protocol.catalogue_size:,} items: {protocol.candidates}; available {protocol.availability}",
        f"seen items: {seen or 'exclude'}; query time {known}; ties: {protocol.ties}",
        *next_line,
        f"{protocol.averaging} ({protocol.confidence:.0%}, {protocol.resamples:,} resamples, seed {protocol.seed})",
    )
    return Text("\n".join(lines) + "\n", style="dim")


def _figures(metrics: Metrics, name: str) -> Table:
    """Metrics down, cut-offs across, without intervals."""
    cutoffs = sorted({int(key.rpartition("@")[2]) for key in metrics})
    table = _table(name, "metric", [f"@{k}" for k in cutoffs])
    for metric in dict.fromkeys(key.rpartition("@")[0] for key in metrics):
        table.add_row(metric, *(_value(metrics.get(f"{metric}@{k}")) for k in cutoffs))
    return table


def _rankings(evaluation: Evaluation, name: str, k: int) -> list[Table]:
    """This ranking and the baselines down: accuracy with half the interval's width, then the rest without."""
    metrics = list(dict.fromkeys(key.rpartition("@")[0] for key in evaluation.metrics))
    accurate = [metric for metric in (*ACCURACY, NEXT_RECALL) if metric in metrics]
    others = [metric for metric in metrics if metric not in accurate]
    accuracy = _table(f"accuracy at {k}", "ranking", accurate)
    beyond = _table(f"beyond accuracy at {k}", "ranking", others)
    for ranking, figures in ((name, evaluation.metrics), *evaluation.baselines.items()):
        accuracy.add_row(ranking, *(_estimate(figures.get(f"{metric}@{k}")) for metric in accurate))
        beyond.add_row(ranking, *(_value(figures.get(f"{metric}@{k}")) for metric in others))
    return [accuracy, beyond]


def _comparison(evaluation: Evaluation, k: int) -> list[Table]:
    """Rankings down, differences and p-values across; nothing where nothing was compared."""
    if not evaluation.comparison:
        return []
    ahead = evaluation.protocol.horizon > 1 and evaluation.protocol.next_targets > 1
    keys = [f"{metric}@{k}" for metric in ("ndcg", NEXT_RECALL if ahead else "hr")]
    columns = [column for key in keys for column in (key, "p")]
    table = _table("difference on the same queries (p by sign flips over members)", "minus", columns)
    for other, differences in evaluation.comparison.items():
        cells = [cell for key in keys for cell in _difference(differences.get(key))]
        table.add_row(other, *cells)
    return [table]


def _heads(heads: dict[str, HeadResult]) -> list[Table]:
    """Heads down; beside each figure that of who only knows the training shares. Nothing where there are no heads."""
    if not heads:
        return []
    columns = ("targets", "classes", "accuracy", "majority", "log loss", "prior's")
    table = _table("heads (most probable class; log loss in nats)", "head", columns)
    for name, head in heads.items():
        table.add_row(
            Text(name),
            f"{head.targets:,}",
            f"{head.classes:,}",
            _estimate(head.accuracy),
            f"{head.majority_accuracy.value:.4f}",
            f"{head.log_loss.value:.4f}",
            f"{head.prior_log_loss.value:.4f}",
        )
    return [table]


def _slices(evaluation: Evaluation) -> Table:
    keys = list(
        dict.fromkeys(
            key for groups in evaluation.slices.values() for result in groups.values() for key in result.metrics
        )
    )
    table = _table("slices", "slice", ["targets", "members", *keys])
    for slice_name, groups in evaluation.slices.items():
        for group, result in groups.items():
            table.add_row(
                f"{slice_name.replace('_', ' ')}: {group}",
                f"{result.targets:,}",
                f"{result.members:,}",
                *(_estimate(result.metrics.get(key)) for key in keys),
            )
        table.add_section()
    return table


def _main_cutoff(protocol: EvaluationProtocol) -> int:
    fitting = [k for k in protocol.cutoffs if k <= 10]
    return fitting[-1] if fitting else min(protocol.cutoffs, default=0)


def _value(figure: Estimate | None) -> str:
    return _NO_FIGURE if figure is None else f"{figure.value:.4f}" if figure.value < 1 else f"{figure.value:.2f}"


def _estimate(figure: Estimate | None) -> str:
    if figure is None:
        return _NO_FIGURE
    if figure.low is None or figure.high is None:
        return f"{figure.value:.4f}"
    return f"{figure.value:.4f} ±{(figure.high - figure.low) / 2:.4f}"


def _difference(figure: Difference | None) -> tuple[str, str]:
    if figure is None:
        return _NO_FIGURE, _NO_FIGURE
    if figure.low is None or figure.high is None:
        return f"{figure.value:+.4f}", f"{figure.p_value:.4f}"
    return f"{figure.value:+.4f} ±{(figure.high - figure.low) / 2:.4f}", f"{figure.p_value:.4f}"
