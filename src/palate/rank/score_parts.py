"""What an item's score is made of: id, metadata, popularity and age; and what each column of metadata adds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.model import ItemTables
from palate.model.tower import point
from palate.rank.explanation import Age, Part
from palate.rank.model_scorer import ModelScorer
from palate.tokens import Catalogue
from palate.tokens.ages import DAY_MS, view_bucket
from palate.tokens.batch import AGE_SHAPE, DEMAND_STEPS, LEAST_DEMAND, MetadataKind

_COUNTED = 1 << 17
"""Counts that are sorted into buckets, to see what those hold; beyond, every count is in the last one."""


def parts(
    scorer: ModelScorer,
    tables: ItemTables,
    state: Float[Tensor, "1 D"],
    moment: Int64[Tensor, "1"],
    column: int,
    competing: Bool[Tensor, "V"],
) -> tuple[Part, ...]:
    """The summands of the score of the item in ``column``; their means are over the ``competing`` items.

    With the gate g they are g ⟨h, id⟩, (1 - g) ⟨h, meta⟩, g b + (1 - g) m, and the bias of the age.
    """
    table = scorer.model.tower.output(tables, scorer.described, point(scorer.described, moment))
    h = state[0]
    by_id, bias = table.id @ h, table.id_bias
    found = {"id": by_id}
    if table.meta is not None and table.meta_bias is not None and table.gate is not None:
        gate = table.gate[0]
        found = {"id": gate * by_id, "metadata": (1 - gate) * (table.meta @ h)}
        bias = torch.lerp(table.meta_bias, bias, gate)
    found["popularity"] = bias
    if table.bias is not None:
        found["age"] = table.bias[0]
    return tuple(
        Part(name=name, value=float(value[column]), above_mean=float(value[column] - value[competing].mean()))
        for name, value in found.items()
    )


def age(scorer: ModelScorer, tables: ItemTables, moment: Int64[Tensor, "1"], column: int) -> Age | None:
    """How new the item is at the moment; none where the model sees none of it."""
    described, tower = scorer.described, scorer.model.tower
    if tables.share is None and tables.gate is None and tables.age_bias is None:
        return None
    at = point(described, moment)
    gate = tower.output(tables, described, at).gate
    code = int(described.ages[at, column])
    _, views, demand = AGE_SHAPE
    by_moment = tables.gate is not None
    seen = by_moment or tables.age_bias is not None
    has_time = scorer.tokenizer.has_time
    launch = int(described.launch[column])
    known = has_time and launch != torch.iinfo(torch.int64).min
    return Age(
        id_share=None if gate is None else float(gate[0, column]),
        training_events=None if gate is None or by_moment else int(described.counts[column]),
        days_since_launch=(int(moment[0]) - launch) / DAY_MS if known and seen else None,
        events=_range(view_bucket, code // demand % views) if seen else None,
        demand=_demand(code % demand) if tables.age_bias is not None else None,
        counted_to=int(described.moments[at]) if has_time and seen else None,
    )


def without_columns(scorer: ModelScorer, column: int) -> dict[str, Catalogue]:
    """For each column of metadata, the catalogue in which it is unknown of the item in ``column``."""
    metadata = scorer.tokenizer.metadata
    assert metadata is not None, "a run with metadata"
    found = {}
    for field, spec in zip(metadata.fields, metadata.specs, strict=True):
        unknown = torch.from_numpy(field.encode(pl.Series(field.name, [None])))
        name = "metadata" if spec.kind == MetadataKind.CATEGORY else "vectors"
        table = getattr(scorer.described, name).clone()
        table[column, spec.start : spec.start + spec.width] = unknown[0]
        found[spec.name] = scorer.described._replace(**{name: table})
    return found


def _demand(bucket: int) -> float:
    """The middle of what a bucket holds."""
    return 2 ** ((bucket - 0.5) / DEMAND_STEPS + LEAST_DEMAND) if bucket else 0.0


def _range(bucket: Callable[[NDArray[np.int64]], NDArray[np.int64]], number: int) -> str:
    """The counts that a bucket holds: ``3``, ``5 to 8``, ``32,769 or more``."""
    held = np.flatnonzero(bucket(np.arange(_COUNTED + 1)) == number)
    low, high = (int(held[0]), int(held[-1])) if len(held) else (_COUNTED, _COUNTED)
    if high == _COUNTED:
        return f"{low:,} or more"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
