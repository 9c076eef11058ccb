"""Member × item matrices of target events: the training part, and each query's history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from palate.data.dataset import Dataset
from palate.data.split import Part, Split, is_target
from palate.rank.catalogue import codes
from palate.rank.history import Histories
from palate.words import ITEM_ID


def target_columns(dataset: Dataset, catalogue: pl.Series) -> npt.NDArray[np.int64]:
    """The catalogue column of each event [n_events]; −1 for events of input-only types and unknown items."""
    return np.where(is_target(dataset), codes(dataset.events[ITEM_ID], catalogue), -1)


def training_matrix(dataset: Dataset, split: Split, catalogue: pl.Series) -> sparse.csr_array:
    """1 where a member has a training target event with an item, float32 [n_members, V]."""
    columns = target_columns(dataset, catalogue)
    keep = (split.part == Part.TRAIN) & (columns >= 0)
    starts = dataset.member_starts
    member = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(columns))))
    return _binary(member[keep], columns[keep], (len(starts), len(catalogue)))


def members_of_items(matrix: sparse.csr_array) -> Float[Tensor, " V"]:
    """The number of members who have each item."""
    return torch.from_numpy(np.asarray(matrix.sum(axis=0), dtype=np.float32).ravel())


class HistoryMatrix:
    """Makes the matrix of what each query's member had done before it."""

    def __init__(self, dataset: Dataset, catalogue: pl.Series) -> None:
        self._histories = Histories(dataset)
        self._columns = target_columns(dataset, catalogue)
        self._width = len(catalogue)

    def before(self, queries: pl.DataFrame) -> sparse.csr_array:
        """1 where the member had an earlier target event with the item, float32 [Q, V]."""
        earlier = self._histories.before(queries)
        columns = self._columns[earlier.row]
        known = columns >= 0
        return _binary(earlier.query[known], columns[known], (len(queries), self._width))


def _binary(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
