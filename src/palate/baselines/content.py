"""Content-kNN: items described like those the member chose, whether or not anybody has chosen them yet.

A member's profile is the mean of the vectors of the items in the history, the latest weighing most, and an item's score
is its cosine to it (Pazzani and Billsus, "Content-based recommendation systems", The Adaptive Web 2007). The vector of
an item has a block for each column of metadata: values and buckets weighted by inverse document frequency, text by
TF-IDF (Salton and Buckley, "Term-weighting approaches in automatic text retrieval", 1988). Sparse and exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from jaxtyping import Float
from pydantic import Field
from scipy import sparse
from torch import Tensor

from palate.baselines.matrix import members_of_items, target_columns, training_matrix
from palate.baselines.select import best_on_validation
from palate.config import Config
from palate.data.dataset import Dataset
from palate.data.split import Split
from palate.rank.catalogue import known_items
from palate.rank.history import Histories
from palate.tokens.metadata import ItemMetadata, MetadataConfig
from palate.tokens.metadata_fields import BucketField, MetadataField, VectorField
from palate.tokens.text import TextField
from palate.words import FIRST_KNOWN, ITEM_ID

_NEIGHBOUR: Final = 0.5
"""How far a bucket of numbers also counts as the ones beside it."""
_BLOCK: Final = 1 << 25
"""Numbers of profiles held at once: 128 MB."""


class ContentKnnConfig(Config):
    """What is compared, and how it weighs."""

    metadata: MetadataConfig = MetadataConfig(min_count=1)
    """Columns and values that describe an item; a value of a single trained item may well be that of a new one."""
    half_lives: tuple[float, ...] = Field(default=(0.5, 1.0, 2.0, 8.0, 32.0, float("inf")), min_length=1)
    """Target items after which an item of the history counts half; the one with the highest validation NDCG@10."""
    weights: tuple[float, ...] = Field(default=(1.0, 0.0, 0.5, 2.0), min_length=1)
    """Weights that a column may have. All begin with the first; then, column by column, the one with the highest
    validation NDCG@10 is taken, the first of equals."""
    validation_targets: int = Field(default=2000, ge=1)
    """Validation targets to choose by, at most."""


class ContentKnn:
    """Scores an item by its cosine to the mean of what the member chose.

    Items that share nothing with it follow, the most popular in training first.
    """

    def __init__(
        self,
        dataset: Dataset,
        catalogue: pl.Series,
        blocks: Mapping[str, sparse.csr_array],
        popularity: Float[Tensor, " V"],
        *,
        half_life: float,
        weights: Mapping[str, float],
    ) -> None:
        """``blocks`` [V, n] float32 with rows of length 1 or 0, and ``weights``: by column of metadata.

        ``popularity``: training members.
        """
        self.catalogue = catalogue
        self.half_life = half_life
        self.weights = dict(weights)
        self._dataset = dataset
        self._blocks = blocks
        self._popularity = popularity
        self._histories = Histories(dataset)
        self._columns = target_columns(dataset, catalogue)
        self._fallback = popularity / (popularity.max() + 1) - 1
        weighted = [blocks[name] * np.float32(weight) for name, weight in weights.items() if weight > 0]
        empty = sparse.csr_array((len(catalogue), 1), dtype=np.float32)
        self._vectors = _unit_rows(sparse.csr_array(sparse.hstack([empty, *weighted], format="csr")))

    @classmethod
    def fit(cls, dataset: Dataset, split: Split, config: ContentKnnConfig | None = None) -> ContentKnn:
        """Describe every item in the words of those with training events, and choose the settings on validation."""
        config = config or ContentKnnConfig()
        catalogue = known_items(dataset)
        popularity = members_of_items(training_matrix(dataset, split, catalogue))
        blocks = metadata_blocks(dataset, catalogue, popularity.numpy() > 0, config.metadata)

        def build(half_life: float, weights: Mapping[str, float]) -> ContentKnn:
            return cls(dataset, catalogue, blocks, popularity, half_life=half_life, weights=weights)

        def weigh(before: ContentKnn, name: str, weight: float) -> ContentKnn:
            return build(before.half_life, before.weights | {name: weight})

        def best(settings: Sequence[float], candidate: Callable[[float], ContentKnn]) -> ContentKnn:
            return best_on_validation(
                settings, candidate, dataset, split, catalogue=catalogue, at_most=config.validation_targets
            )

        equal = dict.fromkeys(blocks, config.weights[0])
        if not blocks:
            return build(config.half_lives[0], equal)
        chosen = best(config.half_lives, lambda half_life: build(half_life, equal))
        for name in blocks:
            chosen = best(config.weights, partial(weigh, chosen, name))
        return chosen

    def with_settings(self, *, half_life: float, weights: Mapping[str, float]) -> ContentKnn:
        """The same items with other settings."""
        return self._with(self._dataset, half_life, weights)

    def on(self, dataset: Dataset) -> ContentKnn:
        """The same items and settings for the histories of another dataset."""
        return self._with(dataset, self.half_life, self.weights)

    def _with(self, dataset: Dataset, half_life: float, weights: Mapping[str, float]) -> ContentKnn:
        return ContentKnn(dataset, self.catalogue, self._blocks, self._popularity, half_life=half_life, weights=weights)

    def score(self, queries: pl.DataFrame) -> Float[Tensor, "Q V"]:
        """The cosines, in (0, 1]; below 0 for items that have nothing in common with the profile."""
        profiles = self._profiles(queries)
        rows = max(1, _BLOCK // self._vectors.shape[1])
        cosine = np.empty((len(queries), len(self.catalogue)), dtype=np.float32)
        for start in range(0, len(queries), rows):
            some = np.ascontiguousarray(profiles[start : start + rows].toarray().T)
            cosine[start : start + rows] = (self._vectors @ some).T
        scores = torch.from_numpy(cosine)
        return torch.where(scores > 0, scores, self._fallback)

    def _profiles(self, queries: pl.DataFrame) -> sparse.csr_array:
        """The directions of the members' mean vectors, [Q, n]; zeros without a described item in the history."""
        earlier = self._histories.before(queries)
        columns = self._columns[earlier.row]
        known = columns >= 0
        query, columns = earlier.query[known], columns[known]
        counts = np.bincount(query, minlength=len(queries))
        later = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(query))
        weights = np.exp2(-later / self.half_life).astype(np.float32)
        shape = (len(queries), len(self.catalogue))
        history = sparse.csr_array((weights, (query, columns)), shape=shape)
        return _unit_rows(history @ self._vectors)


def metadata_blocks(
    dataset: Dataset, catalogue: pl.Series, trained: npt.NDArray[np.bool_], config: MetadataConfig
) -> dict[str, sparse.csr_array]:
    """For each usable column the vectors of all items, float32 [V, n], of length 1, or 0 where nothing is known.

    ``trained`` [V] marks the items that vocabularies, quantiles and document frequencies are fitted on.
    """
    metadata = ItemMetadata.fit(dataset.items, dataset.schema, catalogue.filter(pl.Series(trained)), config)
    if metadata is None:
        return {}
    assert dataset.items is not None
    rows = catalogue.to_frame().join(dataset.items, on=ITEM_ID, how="left", maintain_order="left")
    return {field.name: _unit_rows(_vectors(field, rows[field.name], trained)) for field in metadata.fields}


def _vectors(field: MetadataField, column: pl.Series, trained: npt.NDArray[np.bool_]) -> sparse.csr_array:
    if isinstance(field, TextField):
        return field.weigh(column)
    if isinstance(field, VectorField):
        return sparse.csr_array(field.encode(column)[:, :-1])
    ids = field.encode(column).astype(np.int64) - FIRST_KNOWN
    row, place = np.nonzero(ids >= 0)
    shape = (len(column), field.size - FIRST_KNOWN)
    values = sparse.csr_array((np.ones(len(row), np.float32), (row, ids[row, place])), shape=shape)
    if isinstance(field, BucketField):
        beside = np.full(max(shape[1] - 1, 0), _NEIGHBOUR, np.float32)
        return values @ sparse.csr_array(
            sparse.diags_array([beside, np.ones(shape[1], np.float32), beside], offsets=[-1, 0, 1])
        )
    items_with = np.asarray(values[trained].sum(axis=0)).ravel()
    idf = np.log((1 + trained.sum()) / (1 + items_with)).astype(np.float32)
    return values @ sparse.csr_array(sparse.diags_array(idf))


def _unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """The rows at length 1; those of zeros as they are."""
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
    scale = (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    return sparse.csr_array(sparse.diags_array(scale) @ matrix)
