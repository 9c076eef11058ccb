"""From tables of recommendations to an `Evaluation`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from palate.data.dataset import Dataset
from palate.data.schema import Kind, Role
from palate.data.split import Part, Split
from palate.errors import EmptyTableError
from palate.evaluate.beyond import coverage, diversity, metadata_values, novelty
from palate.evaluate.compare import compare
from palate.evaluate.evaluation import (
    Evaluation,
    EvaluationConfig,
    EvaluationProtocol,
    Metrics,
    PartName,
    SliceResult,
)
from palate.evaluate.intervals import Estimate, estimates
from palate.evaluate.metrics import ACCURACY, accuracy
from palate.evaluate.next_items import next_recall
from palate.evaluate.ranks import ranks
from palate.evaluate.slices import slice_masks, training_popularity
from palate.words import AVAILABLE_UNTIL, ITEM_ID, QUERY, RANK, USER_ID

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_PART_NAMES: dict[Part, PartName] = {Part.TRAIN: "train", Part.VALIDATION: "validation", Part.TEST: "test"}


def evaluate(
    recommendations: pl.DataFrame,
    targets: pl.DataFrame,
    dataset: Dataset,
    split: Split,
    part: Part,
    *,
    config: EvaluationConfig | None = None,
    baselines: Mapping[str, pl.DataFrame] | None = None,
    compare_with: Mapping[str, pl.DataFrame] | None = None,
    catalogue_size: int | None = None,
    list_length: int | None = None,
    popularity: pl.DataFrame | None = None,
    horizon: int = 1,
) -> Evaluation:
    """Measure ``recommendations`` on ``targets``, the table that ``queries(dataset, split, part)`` gave.

    ``baselines`` and ``compare_with`` are tables of recommendations for the same queries, by name: the metrics of
    baselines are listed beside, and both are compared with ``recommendations`` query by query. ``list_length`` is
    the k that all the tables were made with; by default the longest list of each. A cut-off beyond it is left
    out. ``catalogue_size`` is the number of items that were ranked; by default all that the dataset knows.
    ``popularity`` is what `palate.evaluate.slices.training_popularity` says of the whole log, where ``dataset`` holds
    some of its members. ``horizon`` is stated in the protocol: the next targets that the recommendations are for.

    Raises `EmptyTableError` without targets, and what `palate.evaluate.ranks.ranks` raises.
    """
    config = config or EvaluationConfig()
    if len(targets) == 0:
        raise EmptyTableError("no targets to evaluate", hint="choose another part or another split")
    popularity = training_popularity(dataset, split) if popularity is None else popularity
    measured = _Measured(targets, dataset, popularity, config, catalogue_size, list_length)
    baselines = baselines or {}
    values = measured.accuracy(recommendations)
    others = {name: measured.accuracy(table) for name, table in {**baselines, **(compare_with or {})}.items()}
    length = measured.list_length(recommendations)
    return Evaluation(
        protocol=_protocol(measured, dataset, split, part, length, horizon),
        metrics=measured.metrics(recommendations, values),
        slices=measured.slices(values, length),
        baselines={name: measured.metrics(table, others[name]) for name, table in baselines.items()},
        comparison={
            name: compare(
                values,
                other,
                measured.members,
                resamples=config.resamples,
                flips=config.flips,
                confidence=config.confidence,
                seed=config.seed,
            )
            for name, other in others.items()
        },
    )


class _Measured:
    """What all tables of one evaluation share: the targets, the members, popularity and metadata."""

    def __init__(
        self,
        targets: pl.DataFrame,
        dataset: Dataset,
        popularity: pl.DataFrame,
        config: EvaluationConfig,
        catalogue_size: int | None,
        list_length: int | None,
    ) -> None:
        self.targets = targets
        self._stated_length = list_length
        self.config = config
        self.members: Integers = targets[USER_ID].rank("dense").to_numpy().astype(np.int64)
        # With a target a member it would be the hit rate.
        self.next_targets = config.next_targets if targets[USER_ID].is_duplicated().any() else 1
        self.popularity = popularity
        self.catalogue_size = catalogue_size or _known_items(dataset)
        self.diversity_column, self._values = _metadata(dataset)

    def accuracy(self, table: pl.DataFrame) -> dict[str, Floats]:
        """Accuracy of each query, at the cut-offs that the table is long enough for."""
        cutoffs = self._cutoffs(table)
        values = accuracy(ranks(table, self.targets), cutoffs)
        if self.next_targets > 1:
            values |= next_recall(table, self.targets, cutoffs, n=self.next_targets)
        return values

    def metrics(self, table: pl.DataFrame, values: dict[str, Floats]) -> Metrics:
        """All figures of one table."""
        queries = self.targets[QUERY]
        cutoffs = self._cutoffs(table)
        covered = {f"coverage@{k}": coverage(table, k, self.catalogue_size) for k in cutoffs}
        bits = {f"novelty@{k}": novelty(table, queries, k, self.popularity, self.catalogue_size) for k in cutoffs}
        apart = {
            f"diversity@{k}": diversity(table, queries, k, self._values)
            for k in cutoffs
            if self._values is not None and k > 1
        }
        return (
            self._estimates(values)
            | {name: Estimate(value=share, low=None, high=None) for name, share in covered.items()}
            | self._estimates(bits)
            | self._estimates(apart)
        )

    def slices(self, values: dict[str, Floats], length: int) -> dict[str, dict[str, SliceResult]]:
        """Accuracy at one cut-off, group by group."""
        config = self.config
        fitting = [k for k in config.cutoffs if k <= min(config.slice_cutoff, length)]
        chosen = [f"{name}@{fitting[-1]}" for name in ACCURACY] if fitting else []
        masks = slice_masks(
            self.targets,
            self.popularity,
            history_edges=config.history_edges,
            head=config.head_share,
            tail=config.tail_share,
        )
        return {
            name: {
                group: SliceResult(
                    targets=int(mask.sum()),
                    members=len(np.unique(self.members[mask])),
                    metrics=self._estimates({key: values[key] for key in chosen}, mask),
                )
                for group, mask in groups.items()
            }
            for name, groups in masks.items()
        }

    def list_length(self, table: pl.DataFrame) -> int:
        """What was stated, else the longest list in the table."""
        if self._stated_length is not None:
            return self._stated_length
        longest = table[RANK].max() if RANK in table.columns else None
        return longest if isinstance(longest, int) else 0

    def _cutoffs(self, table: pl.DataFrame) -> tuple[int, ...]:
        length = self.list_length(table)
        return tuple(k for k in self.config.cutoffs if k <= length)

    def _estimates(self, values: dict[str, Floats], mask: npt.NDArray[np.bool_] | None = None) -> Metrics:
        """Means and intervals over the queries of ``mask``, and of these the ones that have a figure (not NaN)."""
        config = self.config
        alike: dict[bytes, dict[str, Floats]] = {}
        for name, array in values.items():
            keep = ~np.isnan(array) if mask is None else mask & ~np.isnan(array)
            alike.setdefault(keep.tobytes(), {})[name] = array
        figures: Metrics = {}
        for kept, arrays in alike.items():
            keep = np.frombuffer(kept, dtype=np.bool_)
            figures |= estimates(
                {name: array[keep] for name, array in arrays.items()},
                self.members[keep],
                resamples=config.resamples,
                confidence=config.confidence,
                seed=config.seed,
            )
        return {name: figures[name] for name in values if name in figures}


def _known_items(dataset: Dataset) -> int:
    ids = [dataset.events[ITEM_ID]]
    if dataset.items is not None:
        ids.append(dataset.items[ITEM_ID])
    return int(pl.concat(ids).n_unique())


def _metadata(dataset: Dataset) -> tuple[str | None, pl.DataFrame | None]:
    """The column for diversity: of the multi-categorical ones, else of the categorical, that with fewest values."""
    if dataset.items is None:
        return None, None
    for kind in (Kind.MULTI_CATEGORICAL, Kind.CATEGORICAL):
        tables = {
            name: metadata_values(
                dataset.items, name, separator=column.separator if kind is Kind.MULTI_CATEGORICAL else None
            )
            for name, column in dataset.schema.items.items()
            if column.role is Role.ITEM_METADATA and column.kind is kind and name in dataset.items.columns
        }
        counts = {name: table["value"].n_unique() for name, table in tables.items()}
        usable = [name for name, count in counts.items() if count > 1]
        if usable:
            chosen = min(usable, key=lambda name: counts[name])
            return chosen, tables[chosen]
    return None, None


def _protocol(
    measured: _Measured, dataset: Dataset, split: Split, part: Part, length: int, horizon: int
) -> EvaluationProtocol:
    config = measured.config
    availability = "everything in the catalogue, since there is no time"
    if dataset.has_time:
        availability = "from launch_time, else after the item's first event"
        if dataset.items is not None and AVAILABLE_UNTIL in dataset.items.columns:
            availability += f", until {AVAILABLE_UNTIL}"
    return EvaluationProtocol(
        split=split.rule,
        part=_PART_NAMES[part],
        targets=len(measured.targets),
        members=len(np.unique(measured.members)),
        catalogue_size=measured.catalogue_size,
        availability=availability,
        seen_items=dict(dataset.schema.seen_items),
        query_time_known=dataset.has_time,
        cutoffs=tuple(k for k in config.cutoffs if k <= length),
        next_targets=measured.next_targets,
        horizon=horizon,
        list_length=length,
        diversity_column=measured.diversity_column,
        confidence=config.confidence,
        resamples=config.resamples,
        flips=config.flips,
        seed=config.seed,
    )
