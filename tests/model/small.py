"""A catalogue of nine items, of which six were in training, and batches by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.model import TowerConfig
from palate.model.tower import ItemTower
from palate.tokens.batch import AGE_SHAPE, Batch, Catalogue, MetadataKind, MetadataSpec, Rectangle

DAY = 86_400_000
TRAINED, ITEMS, WIDTH = 6, 9, 8
SIZE = TRAINED + 2
SPECS = (
    MetadataSpec(name="genres", kind=MetadataKind.CATEGORY, size=6, start=0, width=2),
    MetadataSpec(name="origin", kind=MetadataKind.CATEGORY, size=5, start=2, width=1),
    MetadataSpec(name="plot", kind=MetadataKind.VECTOR, size=0, start=0, width=3),
)


def age_code(launch: int, views: int, demand: int) -> int:
    """The code of buckets."""
    return (launch * AGE_SHAPE[1] + views) * AGE_SHAPE[2] + demand


def catalogue(seed: int = 0) -> Catalogue:
    """Three moments; the last three items are new, one of them (the last) without anything known."""
    draw = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=draw)

    metadata = torch.cat([integers(2, 6, ITEMS, 2), integers(2, 5, ITEMS, 1)], dim=1).int()
    metadata[1, 1] = 0  # one genre only
    metadata[-1] = torch.tensor([1, 0, 1])
    vectors = torch.randn(ITEMS, 3, generator=draw)
    vectors[-1] = 0
    ages = age_code(0, 0, 0) + integers(0, 11, 3, ITEMS) * AGE_SHAPE[1] * AGE_SHAPE[2]
    ages = ages + integers(1, 18, 3, ITEMS) * AGE_SHAPE[2] + integers(1, 128, 3, ITEMS)
    launch = integers(0, 400, ITEMS) * DAY
    launch[-1] = torch.iinfo(torch.int64).min
    return Catalogue(
        trained=TRAINED,
        metadata=metadata,
        vectors=vectors,
        counts=torch.tensor([1, 2, 3, 9, 40, 700, 0, 0, 0]),
        launch=launch,
        moments=torch.tensor([0, DAY, 2 * DAY]),
        ages=ages.to(torch.int16),
    )


def tower(*, specs: tuple[MetadataSpec, ...] = SPECS, has_time: bool = True, **changes: object) -> ItemTower:
    """A tower of no small numbers, in evaluation mode."""
    torch.manual_seed(0)
    made = ItemTower(TowerConfig.model_validate(changes), specs, size=SIZE, width=WIDTH, has_time=has_time)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return made.eval()


def only_trained(known: Catalogue) -> Catalogue:
    """The catalogue without the new items."""
    return known._replace(
        metadata=known.metadata[:TRAINED],
        vectors=known.vectors[:TRAINED],
        counts=known.counts[:TRAINED],
        launch=known.launch[:TRAINED],
        ages=known.ages[:, :TRAINED],
    )


def batch_of(
    targets: list[int], *, lengths: list[int] | None = None, columns: int = 4, places: int = 0, available: int = 99
) -> Batch:
    """Sequences of ``lengths`` end to end, with these targets; every other label is empty."""
    T = len(targets)
    target = torch.tensor(targets)
    return Batch(
        ids=torch.ones(T, columns, dtype=torch.int32),
        values=torch.zeros(T, 0),
        query_time=torch.arange(T) * 60_000,
        key_time=torch.arange(T) * 60_000,
        target=target,
        available=torch.full((T,), available, dtype=torch.int32),
        outcome=torch.zeros(T, columns, dtype=torch.int32),
        familiar=torch.zeros(T, dtype=torch.int32),
        session=torch.zeros(T, dtype=torch.int32),
        weight=(target > 0).float(),
        shown=torch.zeros(T, places, dtype=torch.int32),
        first=torch.zeros(len(lengths or [T]), dtype=torch.int64),
        rectangles=tuple(Rectangle(1, length) for length in lengths or [T]),
    )
