"""Versions of what is known of the items: a history keeps the one it had, what is ranked is the newest.

An edit of metadata, a new launch date or a new item makes a new version. A row of a history reads the item that it
carries as the version of its moment knew it, for as long as that version is kept; then as the oldest version that is
kept knows it. So with one version kept, every edit changes the past, and every cache with an older row is stale; with
several, caches stay right until a version that they read goes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor
from torch.nn import functional as F

from palate.errors import ConfigError
from palate.model import ItemTables, SequenceModel
from palate.tokens import Catalogue, Tokenizer
from palate.words import FIRST_KNOWN


class Version(NamedTuple):
    """What was known of the items."""

    tokenizer: Tokenizer
    """With the items of the catalogue, in its order."""
    catalogue: Catalogue
    tables: ItemTables
    inputs: Float[Tensor, "I D"] | None
    """What items are as events of a history, but for their age; none where that depends on the event's moment."""


class ItemVersions:
    """The newest ``keep`` versions, numbered from 0."""

    def __init__(self, model: SequenceModel, tokenizer: Tokenizer, catalogue: Catalogue, *, keep: int = 2) -> None:
        """Version 0 is ``catalogue``, with the items of ``tokenizer``. Raises `ConfigError` where none is kept."""
        if keep < 1:
            raise ConfigError(f"{keep} versions of the items are kept", hint="keep the newest one at least")
        self._model, self._keep = model, keep
        self._versions: dict[int, Version] = {}
        self.number = -1
        """Of the newest version."""
        self.edit(tokenizer, catalogue)

    @property
    def now(self) -> Version:
        """The newest one, which ranks."""
        return self._versions[self.number]

    @property
    def oldest(self) -> int:
        """Number of the oldest version that is kept."""
        return min(self._versions)

    def edit(self, tokenizer: Tokenizer, catalogue: Catalogue) -> int:
        """A new version; its number. The items of the last one keep their places, others may follow them."""
        assert len(tokenizer.items.values) == len(catalogue.counts), "a tokenizer with other items"
        if self._versions and len(catalogue.counts) < len(self.now.catalogue.counts):
            raise ConfigError(
                f"a version of {len(catalogue.counts):,} items after one of {len(self.now.catalogue.counts):,}",
                hint="items keep their places: leave those that are gone in the catalogue, and don't allow them",
            )
        tower = self._model.tower
        with torch.inference_mode():
            tables = tower(catalogue)
            inputs = None
            if tower.config.gate == "training":
                items = torch.arange(FIRST_KNOWN + len(catalogue.counts), dtype=torch.int32)
                inputs = tower.items(tables, catalogue, items, torch.zeros(len(items), dtype=torch.int64))
        self.number += 1
        self._versions[self.number] = Version(tokenizer, catalogue, tables, inputs)
        if len(self._versions) > self._keep:
            del self._versions[self.oldest]
        return self.number

    def inputs(
        self, item: Int32[Tensor, "T"], moment: Int64[Tensor, "T"], version: Int64[Tensor, "T"]
    ) -> Float[Tensor, "T D"]:
        """Items as events of a history, each as the version that its row has, or the next one kept, knew it."""
        version = version.clamp(self.oldest, self.number)
        found: Tensor | None = None
        for number in torch.unique(version).tolist():
            known = self._versions[number]
            # An item that a version does not know is read by no row of it, but all rows are looked up.
            there = item.clamp(max=len(known.catalogue.counts) + FIRST_KNOWN - 1)
            tower, tables, catalogue = self._model.tower, known.tables, known.catalogue
            if known.inputs is not None:
                own = tower.aged(F.embedding(there, known.inputs), tables, catalogue, there, moment)
            else:
                own = tower.inputs(tables, catalogue, there, moment)
            found = own if found is None else torch.where((version == number)[:, None], own, found)
        assert found is not None, "no rows"
        return found
