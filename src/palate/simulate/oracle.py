"""The upper reference: probabilities of the next play's item by someone who knows the latent state.

`Knowledge` takes parts of that state away, to measure what each is worth. What is unknown of the session is averaged
over its prior; the rest is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from palate import words
from palate.config import Config
from palate.simulate.choice import ChoiceModel, Habits, Moments, Situation, probabilities
from palate.simulate.config import SimulationConfig
from palate.simulate.context import INTENTS, context_table, intent_prior, is_weekend
from palate.simulate.grid import Doubles, Floats, Ints, on_grid
from palate.simulate.members import taste_at
from palate.simulate.replay import Asked, Record, answers, rows_of
from palate.simulate.state import State
from palate.simulate.timeline import AT_BREAK, ENDED, HAS_NEXT
from palate.simulate.truth import Truth
from palate.simulate.world import MEMBER_TYPES


class Knowledge(Config):
    """What an oracle is told; all of it by default. Launches and titles seen before are always known."""

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
    """What the member is in the middle of: the play before, series begun. Otherwise any episode is as good."""


@dataclass(frozen=True)
class Oracle:
    """Log probabilities of the next play's item from the truth, for the plays that took place."""

    truth: Truth
    knowledge: Knowledge = field(default_factory=Knowledge)

    @classmethod
    def read(cls, folder: str | Path, knowledge: Knowledge | None = None) -> Oracle:
        """Read the truth of a written simulation: its folder, or ``truth/`` in it."""
        return cls(read_truth(folder), knowledge or Knowledge())

    @property
    def catalogue(self) -> pl.Series:
        """External ids of the items, as the columns of `scores` have them: title by title, in order of launch."""
        return self.truth.items[words.ITEM_ID]

    def scores(self, queries: pl.DataFrame) -> Floats:
        """Log probability [Q, V] that the play at each query is of each item; -inf where it can't be.

        It is the probability with which the simulator made the play, given the latent state, all that happened
        before, and that a play starts at that moment in that session. Within a session this includes the chance that
        a viewing goes on: after a break with the same item, after an episode with the next one.

        ``queries`` needs ``user_id`` and ``timestamp`` (ms) of plays of this simulation: only for those is there a
        truth to know. Raises `DataError` for any other moment.
        """
        rows = rows_of(self.truth, queries)
        return answers(self._choice, self._record, rows, self._by_item)

    def relevance(self, queries: pl.DataFrame) -> Floats:
        """Utility [Q, V] of each item's title for the member at that moment: what the choice would follow if
        everything were looked at alike and nothing had been seen; -inf before the launch. Queries as in `scores`.
        """
        rows = rows_of(self.truth, queries)
        session = self._record.viewing["session"][self._record.play["viewing"][rows]]
        day = self._record.session["day"][session]
        result = np.empty((len(rows), len(self.truth.items)), dtype=np.float32)
        title = self.truth.items["title"].to_numpy()
        launch = self.truth.items["launch_day"].to_numpy()
        for start in range(0, len(rows), 1024):
            some = slice(start, start + 1024)
            sides = self._choice.sides(self._moments(session[some]))
            result[some] = self._choice.utilities(sides, day[some])[:, title]
            result[some][launch > day[some, None]] = -np.inf
        return result

    @cached_property
    def _record(self) -> Record:
        return Record.of(self.truth)

    @cached_property
    def _taste(self) -> Floats:
        return self.truth.taste()

    @cached_property
    def _kind(self) -> Ints:
        names = list(MEMBER_TYPES)
        return self.truth.members["type"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()

    @cached_property
    def _intent(self) -> Ints:
        return (
            self.truth.sessions["intent"]
            .replace_strict(list(INTENTS), range(len(INTENTS)), return_dtype=pl.Int64)
            .to_numpy()
        )

    @cached_property
    def _choice(self) -> ChoiceModel:
        model = self.truth.choice_model()
        if self.knowledge.trends:
            return model
        appeal = np.broadcast_to(on_grid(model.appeal.mean(axis=0)), model.appeal.shape)
        return replace(model, appeal=appeal, fresh=np.zeros_like(model.fresh))

    def _moments(self, session: Ints) -> Moments:
        """The situations, as far as they are known."""
        record, members, config = self._record, self.truth.members, self.truth.config
        member, day = record.session["member"][session], record.session["day"][session].astype(np.int64)
        taste = (
            taste_at(self._taste, member, day) if self.knowledge.drift else on_grid(self._taste.mean(axis=1))[member]
        )
        hour = record.session["hour"][session]
        context = context_table(config.context_strength)[record.session["device"][session], is_weekend(day), hour]
        return Moments(
            taste=taste,
            mainstream=members["mainstream"].to_numpy()[member],
            novelty=members["novelty"].to_numpy()[member],
            context=context if self.knowledge.context else np.zeros_like(context),
            locale=members["locale"].to_numpy()[member].astype(np.int64),
            intent=self._intent[session],
            kind=self._kind[member],
        )

    def _by_item(self, asked: Asked, state: State) -> Doubles:
        """Probabilities [N, V]."""
        record = self._record
        viewing = record.play["viewing"][asked.play]
        session = record.viewing["session"][viewing]
        day = record.session["day"][session]
        first_play = record.first_play[viewing] == asked.play
        moments = self._moments(session)
        before = record.before[asked.play]
        trailer = np.where(first_play, record.viewing["trailer"][viewing], -1)
        now = Situation(
            member=asked.place,
            day=day,
            intent=moments.intent,
            opens=before < 0,
            trailer=trailer if self.knowledge.trailer else np.full_like(trailer, -1),
            liked=np.where(first_play, record.viewing["liked"][viewing], 0),
            habits=Habits.of(self.truth.config, moments.intent, moments.kind),
        )
        ends = np.where((before >= 0) & (trailer < 0), record.play["ends"][before], ENDED)
        if self.knowledge.intent:
            titles, goes_on = self._given_intent(now, moments, ends, state)
        else:
            prior = intent_prior(
                moments.taste, moments.context, moments.kind, self.truth.space(), self.truth.config.taste_strength
            )
            titles, goes_on = np.zeros((len(day), state.titles)), np.zeros(len(day))
            for intent in range(len(INTENTS)):
                supposed = np.full_like(moments.intent, intent)
                habits = Habits.of(self.truth.config, supposed, moments.kind)
                part, on = self._given_intent(
                    replace(now, intent=supposed, habits=habits), replace(moments, intent=supposed), ends, state
                )
                titles += prior[:, intent, None] * part * (1 - on)[:, None]
                goes_on += prior[:, intent] * on
            titles /= np.maximum(1 - goes_on, 1e-300)[:, None]
        return self._spread(asked, titles, goes_on, ends, before, day, state)

    def _given_intent(self, now: Situation, moments: Moments, ends: Ints, state: State) -> tuple[Doubles, Doubles]:
        """Probabilities [N, G] of the title if another one is turned to, and [N] that the viewing goes on."""
        choice = self._choice
        if not self.knowledge.progress:
            habits = replace(now.habits, goes_on=np.zeros_like(now.habits.goes_on))
            now = replace(now, habits=habits)
            ends = np.full_like(ends, ENDED)
        weights = choice.weights(choice.sides(moments), now.day).astype(np.float64)
        stays = np.select([ends == AT_BREAK, ends == HAS_NEXT], [choice.config.resume, now.habits.binges], 0.0)
        return probabilities(choice, weights, now, state), continuation(choice.config, stays, now.habits.trailer)

    def _spread(
        self, asked: Asked, titles: Doubles, goes_on: Doubles, ends: Ints, before: Ints, day: Ints, state: State
    ) -> Doubles:
        """From titles to items: [N, G] to [N, V]."""
        if not self.knowledge.progress:
            available = self._choice.shelf.available[day]
            title, item_day = self.truth.items["title"].to_numpy(), self.truth.items["launch_day"].to_numpy()
            share = titles / np.maximum(available, 1)
            return np.where(item_day <= day[:, None], share[:, title], 0.0)
        return spread(
            self._choice,
            titles,
            goes_on,
            self._record.play["item"][before] + (ends == HAS_NEXT),
            asked.place,
            day,
            state,
        )


def continuation(config: SimulationConfig, stays: Doubles, trailer: Doubles) -> Doubles:
    """Probability that a play in a session goes on with what the play before was of.

    ``stays`` is the probability that the viewing goes on, ``trailer`` that of a trailer before the next title. The
    alternative is that the viewing is over and the session goes on with another title, without a trailer first.
    """
    another = (1 - stays) * config.another * (1 - trailer)
    return np.asarray(stays / np.maximum(stays + another, 1e-300))


def spread(
    choice: ChoiceModel, titles: Doubles, goes_on: Doubles, same: Ints, place: Ints, day: Ints, state: State
) -> Doubles:
    """Probabilities [N, V] of items: of each title the episode due, and of ``same`` that the viewing goes on."""
    N, G = titles.shape
    every = np.arange(G)[None]
    due = state.episode(state.place(place, every), day, every).clip(0)
    V = int(choice.shelf.size.sum())
    result = np.zeros((N, V))
    np.put_along_axis(result, choice.shelf.first + due, titles * (1 - goes_on)[:, None], axis=1)
    some = np.nonzero(goes_on > 0)[0]
    result[some, same[some]] += goes_on[some]
    return result


def read_truth(folder: str | Path) -> Truth:
    """The truth of a written simulation: its folder, or ``truth/`` in it."""
    path = Path(folder)
    return Truth.read(path / "truth" if (path / "truth").is_dir() else path)
