"""The foundation model for Python users: read a run, recommend from any log of the same schema."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import polars as pl

from palate.data import Dataset, PreparedLog, Schema, present_queries
from palate.data.fit import same_schema
from palate.errors import ConfigError, RunExistsError
from palate.rank.ahead_scorer import AheadScorer
from palate.rank.batch import BatchConfig, BatchRecommender
from palate.rank.explain import explain
from palate.rank.explanation import Explanation
from palate.rank.members import Members, MembersInMemory, MembersInParts, SomeMembers
from palate.rank.model_scorer import ModelScorer
from palate.rank.predictions import head_names, predict
from palate.rank.recommend import Progress, recommend
from palate.rank.scorer import Scorer
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
        windows = self.run.windows
        return ModelScorer(self.run.model, self.run.tokenizer, dataset, context=windows.context, slide=windows.slide)

    def ranker(self, dataset: Dataset, *, horizon: int = 1) -> Scorer:
        """What ranks for the next ``horizon`` targets; `ConfigError` where the run doesn't look so far."""
        scorer = self.scorer(dataset)
        return scorer if horizon == 1 else AheadScorer(scorer, horizon)

    @property
    def heads(self) -> dict[str, list[str]]:
        """What it predicts beside the item, by name: the names of the classes. Empty where it has no heads."""
        return head_names(self.run.model, self.run.tokenizer)

    def recommend(
        self,
        dataset: Dataset,
        *,
        k: int = 10,
        horizon: int = 1,
        user_ids: Sequence[int | str] | None = None,
        at: int | None = None,
        progress: Progress | None = None,
    ) -> pl.DataFrame:
        """The ``k`` best items for each member next, with columns ``user_id``, ``rank``, ``item_id``, ``score``.

        ``at`` is the moment in milliseconds, by default just after the last event of the log. With a ``horizon`` above
        1 they are the best for the next so many targets together, and the score is the share of these that an item is
        expected to be. Raises `UnknownMemberError` for members without events, `ConfigError` for a moment before
        their last one and for a horizon that the run has not been trained for.
        """
        queries = present_queries(dataset, user_ids, at)
        table = recommend(self.ranker(dataset, horizon=horizon), dataset, queries, k=k, progress=progress)
        return table.join(queries.select("query", "user_id"), on="query", maintain_order="left").select(
            "user_id", "rank", "item_id", "score"
        )

    def batch(
        self,
        data: Dataset | PreparedLog,
        config: BatchConfig | None = None,
        *,
        user_ids: Sequence[int | str] | None = None,
    ) -> BatchRecommender:
        """Recommendations for all members of ``data``, or for some, piece by piece in bounded memory.

        ``model.batch(log).write("picks.parquet")`` can be killed and started again at any moment. Raises
        `UnknownMemberError` for members without events, `ConfigError` for a list of none, `SchemaError` for a log
        prepared under another schema.
        """
        if user_ids is not None and not len(user_ids):
            raise ConfigError("no member is asked for", hint="name some; without a list all are asked for")
        log: Members
        if isinstance(data, Dataset):
            log = MembersInMemory(data, user_ids)
        else:
            fitting = replace(data, schema=same_schema(data.schema, self.schema, data.folder))
            log = MembersInParts(fitting) if user_ids is None else SomeMembers(fitting, user_ids)
        return BatchRecommender(self.run, log, config or BatchConfig())

    def predict(
        self,
        dataset: Dataset,
        heads: Sequence[str] | None = None,
        *,
        k: int = 5,
        user_ids: Sequence[int | str] | None = None,
        at: int | None = None,
        progress: Progress | None = None,
    ) -> pl.DataFrame:
        """The ``k`` most probable classes of each head for each member's next target; all `heads` without ``heads``.

        Columns: ``user_id``, ``head``, ``rank``, ``value``, ``probability``, ``attention`` (share of the head in the
        intent; null where intents don't reach the items). ``user_ids``, ``at`` and errors as in `recommend`; also a
        `ConfigError` for a head that the run doesn't have.
        """
        queries = present_queries(dataset, user_ids, at)
        table = predict(self.scorer(dataset), queries, heads, k=k, progress=progress)
        return table.join(queries.select("query", "user_id"), on="query", how="left", maintain_order="left").select(
            "user_id", "head", "rank", "value", "probability", "attention"
        )

    def explain(
        self, dataset: Dataset, user_id: int | str, item_id: int | str, *, at: int | None = None, events: int = 100
    ) -> Explanation:
        """Why an item is, or is not, recommended to a member: rules, rank, and what moved its score.

        ``at`` as in `recommend`; ``events`` are the last ones of the member that are left out in turn. Raises
        `UnknownMemberError`, `UnknownItemError`, and `ConfigError` for a moment before the member's last event.
        """
        return explain(self.scorer(dataset), user_id, item_id, at=at, events=events)
