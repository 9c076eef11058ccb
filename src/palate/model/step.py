"""One more row of several members at once, from what their committed rows left behind.

The row of each member sees what `palate.model.transformer.Transformer` would let it see in a batch; the layers are the
same. `gather` puts the caches side by side, padded to the longest.

Legend: ``B`` members, ``N`` layers, ``H`` heads of width ``E``, ``K`` rows and ``S`` summaries of the longest, ``r``
vectors a summary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from palate.model.bias import PositionBias, TimeBias, gap_buckets
from palate.model.cache import MemberCache
from palate.model.summary import Summaries


class Past(NamedTuple):
    """What the next rows of ``B`` members see."""

    rows: Float[Tensor, "2 N B H K E"]
    there: Bool[Tensor, "B K"] | None
    """False where a shorter cache is padded; none where none is."""
    distance: Int64[Tensor, "B K"]
    """Rows back, from 1."""
    gaps: Int64[Tensor, "B K1"] | None
    """Buckets of the time to each, the row itself last; none without time."""
    old: OldPast | None
    """Summaries; none with dense attention, and where nothing is old enough."""


class OldPast(NamedTuple):
    """Summaries of old blocks."""

    vectors: Float[Tensor, "2 N B H S r E"]
    weight: Float[Tensor, "B S"]
    """Logarithm of what a vector stands for; minus infinity where a shorter cache is padded."""
    distance: Int64[Tensor, "B S"]
    """Blocks back, as `palate.model.bias.BlockBias` counts them."""
    gaps: Int64[Tensor, "B S"] | None


def gather(
    caches: Sequence[MemberCache],
    query_time: Int64[Tensor, "B"],
    key_time: Int64[Tensor, "B"],
    *,
    time_buckets: int | None,
) -> Past:
    """The past of the next row of each member, who asks at ``query_time`` and carries what was done at ``key_time``."""
    lengths = torch.tensor([cache.rows.length for cache in caches])
    longest = int(lengths.max())
    place = torch.arange(longest)
    if len(caches) == 1:
        rows, time = caches[0].rows.read()[:, :, None], caches[0].rows.time[None]
    else:
        several = [cache.rows.read() for cache in caches]
        two, layers, heads, _, width = several[0].shape
        rows = torch.zeros(two, layers, len(caches), heads, longest, width)
        time = torch.zeros(len(caches), longest, dtype=torch.int64)
        for number, (cache, own) in enumerate(zip(caches, several, strict=True)):
            rows[:, :, number, :, : cache.rows.length] = own
            time[number, : cache.rows.length] = cache.rows.time
    gaps = None
    if time_buckets is not None:
        gaps = _buckets(query_time, torch.cat([time, key_time[:, None]], dim=1), time_buckets)
    return Past(
        rows=rows,
        there=None if bool((lengths == longest).all()) else place < lengths[:, None],
        distance=(lengths[:, None] - place).clamp(min=0),
        gaps=gaps,
        old=_gather_old(caches, query_time, time_buckets),
    )


def _gather_old(caches: Sequence[MemberCache], query_time: Tensor, time_buckets: int | None) -> OldPast | None:
    counts = [0 if cache.old is None else len(cache.old.rows) for cache in caches]
    most = max(counts)
    if not most:
        return None
    some = next(cache.old for cache in caches if cache.old is not None)
    two, layers, heads, _, rank, width = some.vectors.shape
    vectors = torch.zeros(two, layers, len(caches), heads, most, rank, width)
    weight = torch.full((len(caches), most), -torch.inf)
    mean = torch.zeros(len(caches), most, dtype=torch.int64)
    distance = torch.zeros(len(caches), most, dtype=torch.int64)
    for number, (cache, count) in enumerate(zip(caches, counts, strict=True)):
        if cache.old is None:
            continue
        vectors[:, :, number, :, :count] = cache.old.vectors
        weight[number, :count] = torch.log(cache.old.rows / rank)
        mean[number, :count] = cache.old.time // cache.old.rows
        # The shared one is there once all that have their own are, and so its distance is `Span.own`.
        distance[number, :count] = torch.arange(count - 1, -1, -1)
    gaps = None if time_buckets is None else _buckets(query_time, mean, time_buckets)
    return OldPast(vectors, weight, distance, gaps)


def _buckets(query_time: Tensor, key_time: Tensor, time_buckets: int) -> Int64[Tensor, "B k"]:
    return gap_buckets(query_time[:, None], key_time, time_buckets)[:, 0]


def attend_to_past(
    query: Float[Tensor, "B H E"],
    key: Float[Tensor, "B H E"],
    value: Float[Tensor, "B H E"],
    past: Past,
    layer: int,
    position: PositionBias,
    time: TimeBias | None,
    summaries: Summaries | None,
) -> Float[Tensor, "B H E"]:
    """What a row takes from the past and from itself; biases as in `palate.model.window`."""
    scale = 1 / math.sqrt(query.shape[-1])
    own = query.unsqueeze(-2)  # a row times many columns: the other way round takes several times as long
    keys, values = past.rows[0, layer], past.rows[1, layer]
    products = [(own @ keys.transpose(-1, -2))[..., 0, :], (query * key).sum(-1, keepdim=True)]
    itself = torch.zeros(len(query), 1, dtype=torch.int64)
    bias = position.at(torch.cat([past.distance, itself], dim=1))
    if time is not None and past.gaps is not None:
        bias = bias + time.table[:, past.gaps].transpose(0, 1)
    logits = torch.cat(products, dim=-1) * scale + bias
    K = keys.shape[2]
    if past.there is not None:
        logits[..., :K].masked_fill_(~past.there[:, None], -torch.inf)
    if past.old is None:
        weights = logits.softmax(-1)
    else:
        assert summaries is not None
        B, H, E = query.shape
        of_old = own @ past.old.vectors[0, layer].view(B, H, -1, E).transpose(-1, -2) * scale
        of_old = of_old.view(B, H, past.old.weight.shape[1], -1)
        added = summaries.position.table[:, past.old.distance].transpose(0, 1) + past.old.weight[:, None]
        if time is not None and past.old.gaps is not None:
            added = added + time.table[:, past.old.gaps].transpose(0, 1)
        weights = torch.cat([logits, (of_old + added[..., None]).flatten(2)], dim=-1).softmax(-1)
    found = (weights[..., None, :K] @ values)[..., 0, :] + weights[..., K : K + 1] * value
    if past.old is not None:
        found = found + (weights[..., None, K + 1 :] @ past.old.vectors[1, layer].flatten(2, 3))[..., 0, :]
    return found
