"""What a model can predict before the item: fields of the target that the data offer, and the names of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl

from palate.data import Kind
from palate.errors import ConfigError
from palate.tokens.batch import RELEASE_EDGES, Familiar, HeadSource, HeadSpec, MetadataKind, Side
from palate.tokens.fields import CategoricalField
from palate.tokens.metadata_fields import BucketField, CategoryField, MetadataField
from palate.tokens.tokenizer import Tokenizer
from palate.words import EVENT_TYPE, FIRST_KNOWN, GROUP_ID, ITEM_ID

FAMILIAR, RELEASE = "familiar", "release"
RELEASE_NAMES = ("a day", "a week", "a month", "three months", "a year", "longer")
"""Time since launch, at most; one name a class."""


def heads(tokenizer: Tokenizer, names: Sequence[str] | None, *, most_values: int) -> tuple[HeadSpec, ...]:
    """The heads of these names; without names those that have something to tell.

    These are actions where targets have several, categories of items of 2 to ``most_values`` values but not their group
    (which is nearly the item), whether the member knew the target where that differs, and time since launch where that
    is known. A column of items whose name is that of another head has ``item:`` before it. Raises `ConfigError` for a
    name that is nothing to predict.
    """
    possible = {spec.name: spec for spec in _possible(tokenizer)}
    if names is None:
        return tuple(spec for spec in possible.values() if _tells(spec, tokenizer, most_values))
    for name in names:
        if name not in possible:
            raise ConfigError(f"intents: there is no {name!r} to predict", hint=f"possible: {', '.join(possible)}")
    return tuple(possible[name] for name in names)


def class_names(tokenizer: Tokenizer, spec: HeadSpec) -> list[str]:
    """The names of a head's classes, in their order."""
    if spec.source == HeadSource.FAMILIAR:
        return [each.name.lower() for each in Familiar if each != Familiar.NONE]
    if spec.source == HeadSource.RELEASE:
        return list(RELEASE_NAMES)
    if spec.source == HeadSource.EVENT:
        field = next(field for field in tokenizer.fields if field.name == spec.name)
        assert isinstance(field, CategoricalField)
        return field.vocabulary.values.cast(pl.String).to_list()
    described = _described(tokenizer, spec)
    if isinstance(described, CategoryField):
        return described.vocabulary.values.cast(pl.String).to_list()
    assert isinstance(described, BucketField)
    knots = described.quantiles.knots
    return [f"{low:g} to {high:g}" for low, high in pairwise(knots if len(knots) > 1 else 2 * knots)]


def _possible(tokenizer: Tokenizer) -> Iterator[HeadSpec]:
    taken = {FAMILIAR, RELEASE}
    for spec, field in zip(tokenizer.specs, tokenizer.fields, strict=True):
        if field.name != ITEM_ID and field.side == Side.POST_ACTION and isinstance(field, CategoricalField):
            yield HeadSpec(name=field.name, source=HeadSource.EVENT, classes=field.size - FIRST_KNOWN, start=spec.start)
            taken.add(field.name)
    if tokenizer.metadata is not None:
        for column in tokenizer.metadata.specs:
            if column.kind == MetadataKind.CATEGORY and column.size > FIRST_KNOWN:
                yield HeadSpec(
                    name=f"item:{column.name}" if column.name in taken else column.name,
                    source=HeadSource.ITEM,
                    classes=column.size - FIRST_KNOWN,
                    start=column.start,
                    width=column.width,
                )
    yield HeadSpec(name=FAMILIAR, source=HeadSource.FAMILIAR, classes=len(Familiar) - 1)
    if tokenizer.has_time:
        yield HeadSpec(name=RELEASE, source=HeadSource.RELEASE, classes=len(RELEASE_EDGES) + 1)


def _described(tokenizer: Tokenizer, spec: HeadSpec) -> MetadataField:
    """The column of items that a head predicts."""
    assert tokenizer.metadata is not None
    both = zip(tokenizer.metadata.fields, tokenizer.metadata.specs, strict=True)
    return next(field for field, each in both if each.kind == MetadataKind.CATEGORY and each.start == spec.start)


def _tells(spec: HeadSpec, tokenizer: Tokenizer, most_values: int) -> bool:
    """Whether a head that nobody asked for is worth having."""
    schema = tokenizer.schema
    if spec.source == HeadSource.EVENT:
        types = schema.target_event_types
        one = spec.name == EVENT_TYPE and types is not None and len(types) == 1 and tokenizer.merges is None
        return not one and 2 <= spec.classes <= most_values
    if spec.source == HeadSource.ITEM:
        column = schema.items.get(_described(tokenizer, spec).name)
        category = column is not None and column.kind in (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL)
        group = column is not None and _described(tokenizer, spec).name == GROUP_ID
        return category and not group and 2 <= spec.classes <= most_values
    if spec.source == HeadSource.FAMILIAR:
        grouped = tokenizer.metadata is not None and any(each.name == GROUP_ID for each in tokenizer.metadata.specs)
        return grouped or schema.seen_policy() == "allow"
    return "launch" in tokenizer.items.table.columns and bool(tokenizer.items.table["launch"].is_not_null().any())
