"""The upper reference: choice probabilities by someone who knows the latent state.

`Knowledge` takes parts of that state away, to measure what each is worth. What is unknown of the session is averaged
over its prior; the rest is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from palate import words
from palate.config import Config
from palate.errors import DataError
from palate.simulate.choice import ChoiceModel, Moments, Pasts, trailer_factor
from palate.simulate.context import INTENTS, context_table, intent_prior, is_weekend
from palate.simulate.grid import Bools, Floats, Ints, on_grid
from palate.simulate.members import taste_at
from palate.simulate.truth import Truth, latent_space


class Knowledge(Config):
    """What an oracle is told; all of it by default. Played titles and launches are always known."""

    intent: bool = True
    """What the session is after. Otherwise averaged over what such a member may be after at such a moment."""
    context: bool = True
    """Device, hour and weekday."""
    drift: bool = True
    """The taste of that day. Otherwise the member's mean taste of the whole period."""
    trends: bool = True
    """Freshness and buzz. Otherwise the mean appeal of the whole period."""
    trailer: bool = True
    """The trailer watched just before, and whether it pleased."""
    progress: bool = True
    """Which series the member has begun."""


@dataclass(frozen=True)
class Oracle:
    """Log choice probabilities from the truth, for the plays that took place."""

    truth: Truth
    knowledge: Knowledge = field(default_factory=Knowledge)

    @classmethod
    def read(cls, folder: str | Path, knowledge: Knowledge | None = None) -> Oracle:
        """Read the truth of a written simulation: its folder, or ``truth/`` in it."""
        path = Path(folder)
        path = path / "truth" if (path / "truth").is_dir() else path
        return cls(Truth.read(path), knowledge or Knowledge())

    @property
    def catalogue(self) -> pl.Series:
        """External ids of the titles, as the columns of `scores` have them: in order of launch."""
        return self.truth.items[words.ITEM_ID]

    def scores(self, queries: pl.DataFrame) -> Floats:
        """Log probability [Q, V] of each title being played at each query; -inf where it can't be.

        ``queries`` needs ``user_id`` and ``timestamp`` (ms) of plays of this simulation: only for those is there a
        truth to know. Raises `DataError` for any other moment.
        """
        rows = self._rows(queries)
        scores = np.full((len(rows), len(self.truth.items)), -np.inf, dtype=np.float32)
        moments, days = self._moments(rows), self._column("day")[rows]
        order = np.argsort(days, kind="stable")
        model, pasts = self._model(), _Histories(self.truth)
        for some in np.split(order, np.nonzero(np.diff(days[order]))[0] + 1) if len(rows) else []:
            for start in range(0, len(some), 256):
                index = some[start : start + 256]
                day = int(days[index[0]])
                probabilities = self._probabilities(model, day, moments.rows(index), pasts.of(rows[index]), rows[index])
                with np.errstate(divide="ignore"):
                    scores[index, : probabilities.shape[1]] = np.log(probabilities)
        return scores

    def _column(self, name: str) -> Ints:
        return self.truth.choices[name].to_numpy()

    def _rows(self, queries: pl.DataFrame) -> Ints:
        """The row of each query in the table of choices."""
        keys = self.truth.choices.select(words.USER_ID, words.TIMESTAMP).with_row_index("row")
        asked = queries.select(
            pl.col(words.USER_ID).cast(pl.String), pl.col(words.TIMESTAMP).cast(pl.Int64)
        ).with_row_index("at")
        found = asked.join(keys, on=[words.USER_ID, words.TIMESTAMP], how="left").sort("at")
        missing = found.filter(pl.col("row").is_null())
        if missing.height:
            user, moment = missing.select(words.USER_ID, words.TIMESTAMP).row(0)
            raise DataError(
                f"{missing.height} of {found.height} queries are no play of this simulation: "
                f"for example {words.USER_ID} {user} at {words.TIMESTAMP} {moment}",
                hint="the oracle knows the truth of plays only: ask for target events of the data written beside it",
            )
        return found["row"].to_numpy().astype(np.int64)

    def _model(self) -> ChoiceModel:
        arrays, items = self.truth.arrays, self.truth.items
        appeal, fresh = arrays["appeal"], arrays["fresh"]
        if not self.knowledge.trends:
            appeal = np.broadcast_to(on_grid(appeal.mean(axis=0)), appeal.shape)
            fresh = np.zeros_like(fresh)
        successor = items["successor"].to_numpy()
        config = self.truth.config
        return ChoiceModel(
            config=config,
            features=arrays["features"],
            appeal=appeal,
            fresh=fresh,
            launched=np.searchsorted(items["launch_day"].to_numpy(), np.arange(config.days), side="right"),
            successor=successor if self.knowledge.progress else np.full_like(successor, -1),
        )

    def _moments(self, rows: Ints) -> Moments:
        """The situations, as far as they are known."""
        arrays, config = self.truth.arrays, self.truth.config
        member, day = self._column("member")[rows], self._column("day")[rows]
        if self.knowledge.drift:
            taste = taste_at(arrays["taste"], member, day)
        else:
            taste = on_grid(arrays["taste"].mean(axis=0))[member]
        context = context_table(config.context_strength)[
            self._column("device")[rows], is_weekend(day), self._column("hour")[rows]
        ]
        members = self.truth.members
        return Moments(
            taste=taste,
            mainstream=members["mainstream"].to_numpy()[member],
            novelty=members["novelty"].to_numpy()[member],
            context=context if self.knowledge.context else np.zeros_like(context),
            locale=members["locale"].to_numpy()[member],
            intent=self._column("intent")[rows],
        )

    def _probabilities(self, model: ChoiceModel, day: int, moments: Moments, pasts: Pasts, rows: Ints) -> Floats:
        if self.knowledge.intent:
            return _normalised(self._with_trailer(model.weights(day, moments, pasts), rows))
        space = latent_space(self.truth.arrays["genres"])
        prior = intent_prior(moments.taste, moments.context, space, self.truth.config.taste_strength)
        total = np.zeros((len(rows), int(model.launched[day])), dtype=np.float32)
        for intent in range(len(INTENTS)):
            supposed = moments.supposing(intent)
            weights = self._with_trailer(model.weights(day, supposed, pasts), rows)
            total += prior[:, intent, None].astype(np.float32) * _normalised(weights)
        return total

    def _with_trailer(self, weights: Floats, rows: Ints) -> Floats:
        if self.knowledge.trailer:
            trailer = self._column("trailer")[rows]
            seen = np.nonzero(trailer >= 0)[0]
            liked = self._column("liked")[rows[seen]]
            weights[seen, trailer[seen]] *= trailer_factor(liked, self.truth.config.sharpness)
        return weights


class _Histories:
    """What each play of the truth was preceded by."""

    def __init__(self, truth: Truth) -> None:
        self.item = truth.choices["item"].to_numpy()
        member = truth.choices["member"].to_numpy()
        index = np.arange(len(member))
        opens: Bools = np.ones(len(member), dtype=bool)
        opens[1:] = np.diff(member) != 0
        self.start = np.maximum.accumulate(np.where(opens, index, 0))

    def of(self, rows: Ints) -> Pasts:
        """The titles that were played before these plays, by the same member."""
        return Pasts.gather(self.item, self.start[rows], rows - self.start[rows])


def _normalised(weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.asarray(weights / total, dtype=np.float32)
