"""The result of an evaluation, typed: the protocol, and every figure with its interval; one JSON object."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from palate.config import Config
from palate.data.rule import SplitRule
from palate.evaluate.compare import Difference
from palate.evaluate.intervals import Estimate

PartName = Literal["train", "validation", "test"]

Metrics = dict[str, Estimate]
"""Figures named ``metric@k``, for example ``ndcg@10``."""


class EvaluationConfig(Config):
    """What is measured, and how its uncertainty is."""

    cutoffs: tuple[int, ...] = (1, 5, 10, 25, 50, 200)
    """List lengths k; those beyond the length of the table are left out."""
    slice_cutoff: int = Field(default=10, ge=1)
    """The k of the figures in slices; the longest smaller one where the table is shorter."""
    history_edges: tuple[int, ...] = (0, 1, 5, 20, 50, 100, 200)
    """First length of each bucket of history lengths (events before the query)."""
    head_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the training events that the head, the most popular items, holds."""
    tail_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the training events that the tail, the least popular items, holds."""
    next_targets: int = Field(default=10, ge=1)
    """Targets ahead that ``next_recall`` looks for, the query's own included."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples of members."""
    flips: int = Field(default=10_000, ge=100)
    """Sign flips of a paired comparison."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Confidence of intervals."""
    seed: int = Field(default=0, ge=0)
    """Seed of resamples and flips."""

    @model_validator(mode="after")
    def _consistent(self) -> EvaluationConfig:
        for name in ("cutoffs", "history_edges"):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)):
                raise ValueError(f"{name} is {list(values)}: give ascending numbers, each once")
        if self.cutoffs[0] < 1:
            raise ValueError(f"cutoffs is {list(self.cutoffs)}: a list has at least one item")
        if self.history_edges[0] != 0:
            raise ValueError(f"history_edges is {list(self.history_edges)}: begin with 0")
        if self.head_share + self.tail_share > 1:
            raise ValueError("head_share and tail_share hold more than all training events together")
        return self


class EvaluationProtocol(Config):
    """Everything that must be equal for two figures to be comparable."""

    split: SplitRule
    """How events were divided; shares are of the events by time."""
    part: PartName
    """The part whose target events are the queries."""
    targets: int
    """Number of queries, one target each."""
    members: int
    """Number of members who ask them."""
    catalogue_size: int
    """Items that were ranked, before masks."""
    candidates: str = "the whole catalogue, no sampled negatives"
    """Among which items a target is ranked."""
    availability: str
    """When an item is a candidate."""
    seen_items: dict[str, Literal["exclude", "allow"]]
    """Whether items the member has seen are candidates, by type of target event; ``*`` is any."""
    ties: str = "equal scores in the order of a fixed hash of item_id"
    """How equal scores are ranked."""
    query_time_known: bool
    """Whether the ranking may use the moment of the query."""
    cutoffs: tuple[int, ...]
    """List lengths that were measured."""
    next_targets: int
    """Targets ahead that ``next_recall`` looks for; 1 where no member has several in the part."""
    horizon: int = 1
    """Next targets that the lists were made for together; those of baselines and compared runs are for the next one."""
    list_length: int
    """Longest list in the table of recommendations; a target beyond it is a miss."""
    diversity_column: str | None
    """Column of the items table that diversity compares; null where there is none, and then no diversity."""
    averaging: str = "mean over targets; intervals by resampling members"
    """What a figure is the mean of."""
    confidence: float
    """Confidence of intervals."""
    resamples: int
    """Bootstrap resamples of members."""
    flips: int
    """Sign flips of a paired comparison."""
    seed: int
    """Seed of resamples and flips."""


class SliceResult(Config):
    """One group of queries looked at apart."""

    targets: int
    """Number of its queries."""
    members: int
    """Number of members who ask them."""
    metrics: Metrics
    """Their figures; empty where there are no queries."""


class HeadResult(Config):
    """How right a head of the model is."""

    targets: int
    """Targets that have a value in it."""
    classes: int
    """Its classes."""
    majority: str
    """The class that most training targets have."""
    accuracy: Estimate
    """Share of the targets of whose own values the most probable class is one."""
    majority_accuracy: Estimate
    """The same for who always says the majority class."""
    log_loss: Estimate
    """Nats: mean over the target's values of -ln of the probability that they were given."""
    prior_log_loss: Estimate
    """The same for who always gives the shares of the training targets."""


class Evaluation(Config):
    """What was measured, by which protocol."""

    protocol: EvaluationProtocol
    """What the figures mean."""
    metrics: Metrics
    """Figures of all targets."""
    slices: dict[str, dict[str, SliceResult]]
    """Figures of groups of targets: slice → group."""
    baselines: dict[str, Metrics]
    """Figures of other rankings of the same queries: name → metrics."""
    comparison: dict[str, dict[str, Difference]]
    """Paired differences to other rankings: name → metric; positive where this one is better."""
    heads: dict[str, HeadResult] = Field(default={})
    """What the model predicts beside the item, by head; empty where it has no heads, or was not asked."""

    def to_json(self) -> str:
        """One JSON object, indented, with a line break at its end."""
        return self.model_dump_json(indent=2) + "\n"
