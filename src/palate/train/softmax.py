"""Which softmax a training descends: the exact one for as long as it can be paid, else a sampled one.

Per step of R rows, with V items, N draws, width D, M weights of matrices that a row passes and P that an item's
metadata pass, the products of the two are

    exact    R (M + V D) + V P
    sampled  R (M + N D) + (N + R) P

and the exact one holds, beside the weights, three tables of gradients and two of moments, activations of the metadata
of all items, and the age of each item at each moment of the batch. Sampled is taken where the first is `sampling_pays`
times the second, or the memory is more than `exact_bytes`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from torch import nn

from palate.model import NegativeSampler, SequenceModel
from palate.tokens import Catalogue
from palate.train.config import PretrainConfig

_TABLES: Final = 5
"""Tables beside the weights: gradients in the making, scaled and kept; two moments."""
_AGE_BYTES: Final = 24
"""Of an item's age at a moment, at most: code, wide codes, bias, their gradients."""


class SoftmaxChoice(NamedTuple):
    """What was chosen, and why."""

    kind: Literal["exact", "sampled"]
    reason: str
    sampler: NegativeSampler | None
    """Draws the negatives of a sampled one."""

    @property
    def told(self) -> str:
        """Both in a line."""
        return f"{self.kind}: {self.reason}"


def choose_softmax(config: PretrainConfig, model: SequenceModel, catalogue: Catalogue) -> SoftmaxChoice:
    """By the objective's setting; where it is ``auto``, by the rule above."""
    objective = config.objective
    sampler = NegativeSampler(objective.sampling, catalogue.counts)
    V, rows = len(catalogue.counts), config.packing.batch_tokens
    products = step_products(model, rows=rows, items=V, draws=sampler.draws)
    needed = exact_bytes(model, rows=rows, items=V, moments=len(catalogue.moments))
    times = products[0] / products[1]
    facts = (
        f"{V:,} items; an exact step has {times:.2g} times the operations of one with {sampler.draws:,} negatives and "
        f"needs {_size(needed)}"
    )
    if objective.softmax != "auto":
        kind, reason = objective.softmax, f"objective.softmax says so ({facts})"
    elif times >= objective.sampling_pays:
        kind, reason = "sampled", f"{facts}; sampling pays from {objective.sampling_pays:g} times on"
    elif needed > objective.exact_bytes:
        kind, reason = "sampled", f"{facts}; the limit is {_size(objective.exact_bytes)}"
    else:
        limit = f"{objective.sampling_pays:g} times or {_size(objective.exact_bytes)}"
        kind, reason = "exact", f"{facts}; sampled from {limit} on"
    return SoftmaxChoice(kind, reason, sampler if kind == "sampled" else None)


def step_products(model: SequenceModel, *, rows: int, items: int, draws: int) -> tuple[float, float]:
    """Multiplications forward of an exact and of a sampled step."""
    width = model.tower.id.shape[1]
    row = sum(_matrices(part) for part in (model.encode, model.embed) if part is not None)
    row += 0 if model.intents is None else _matrices(model.intents)
    item = 0 if model.tower.metadata is None else _matrices(model.tower.metadata)
    exact = rows * (row + items * width) + items * item
    sampled = rows * (row + min(draws, items) * width) + min(draws + rows, items) * item
    return float(exact), float(sampled)


def exact_bytes(model: SequenceModel, *, rows: int, items: int, moments: int) -> int:
    """Memory of an exact step that grows with the catalogue, weights apart."""
    width = model.tower.id.shape[1]
    needed = _TABLES * 4 * items * (width + 1)
    metadata = model.tower.metadata
    if metadata is not None:
        needed += 2 * 4 * items * (metadata.trunk.in_features + 4 * width)
    if model.tower.reads_ages:
        needed += _AGE_BYTES * items * min(moments, rows)
    return needed


def _matrices(part: nn.Module) -> int:
    """Weights of its linear layers."""
    return sum(layer.weight.numel() for layer in part.modules() if isinstance(layer, nn.Linear))


def _size(count: float) -> str:
    return f"{count / 2**30:.2g} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
