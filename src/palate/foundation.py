"""The foundation model for Python users: read a run, recommend from any log of the same schema."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import polars as pl

from palate.data import Dataset, Schema, present_queries
from palate.errors import RunExistsError
from palate.rank.model_scorer import ModelScorer
from palate.rank.recommend import Progress, recommend
from palate.runs import Run


class FoundationModel:
    """A trained run.

    >>> model = FoundationModel.from_pretrained("run")  # doctest: +SKIP
    >>> model.recommend(Dataset.from_folder("data"), k=10)  # doctest: +SKIP
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Read a run folder; raises a `RunError` for one that is not there, damaged or of another format."""
        return cls(Run.read(folder))

    def save_pretrained(self, folder: Path | str) -> None:
        """Copy the sealed run to ``folder``, which must not exist."""
        if Path(folder).exists():
            raise RunExistsError(f"{folder} exists already", hint="choose another folder")
        shutil.copytree(self.run.folder, folder)

    @property
    def schema(self) -> Schema:
        """The schema it was trained with."""
        return self.run.tokenizer.schema

    def scorer(self, dataset: Dataset) -> ModelScorer:
        """Its scores for queries of ``dataset``."""
        return ModelScorer(self.run.model, self.run.tokenizer, dataset, context=self.run.windows.context)

    def recommend(
        self,
        dataset: Dataset,
        *,
        k: int = 10,
        user_ids: Sequence[int | str] | None = None,
        at: int | None = None,
        progress: Progress | None = None,
    ) -> pl.DataFrame:
        """The ``k`` best items for each member next, with columns ``user_id``, ``rank``, ``item_id``, ``score``.

        ``at`` is the moment in milliseconds, by default just after the last event of the log. Raises
        `UnknownMemberError` for members without events.
        """
        queries = present_queries(dataset, user_ids, at)
        table = recommend(self.scorer(dataset), dataset, queries, k=k, progress=progress)
        return table.join(queries.select("query", "user_id"), on="query", maintain_order="left").select(
            "user_id", "rank", "item_id", "score"
        )
