"""Why an item is, or is not, recommended: its rules and rank, and its score again without one thing at a time."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from palate.data import Kind, present_queries
from palate.data.moment import as_moment
from palate.errors import ConfigError, UnknownItemError
from palate.model.intents import label_values
from palate.rank.ablation import Things, histories_without, things
from palate.rank.candidates import Candidates
from palate.rank.catalogue import codes, tie_break
from palate.rank.explanation import ColumnEffect, EventEffect, Explanation, IntentEffect, Rule, Standing
from palate.rank.familiar import familiar
from palate.rank.model_scorer import Answered, ModelScorer, evaluating
from palate.rank.rules import known_to, rules, unscored
from palate.rank.score_parts import age, parts, without_columns
from palate.rank.titles import title
from palate.tokens import HeadSource, class_names
from palate.words import EVENT_TYPE, FIRST_KNOWN, ITEM_ID, TIMESTAMP, USER_ID

_BLOCK = 16
"""Histories whose scores of the whole catalogue are held at a time."""


def explain(
    scorer: ModelScorer, user_id: int | str, item_id: int | str, *, at: int | None = None, events: int = 100
) -> Explanation:
    """Why the item is, or is not, recommended to the member at ``at`` (milliseconds; just after the log without it).

    ``events`` are the last ones of the member that are left out in turn. Raises `UnknownMemberError` for a member
    without events, `UnknownItemError` for an item that neither the data nor the run know, `ConfigError` for a moment
    before the member's last event.
    """
    if events < 0:
        raise ConfigError(f"events is {events}", hint="give the number of last events to leave out in turn")
    dataset = scorer.dataset
    query = present_queries(dataset, [user_id], at)
    item = _as_item(item_id, dataset.events[ITEM_ID])
    column = int(codes(item, scorer.catalogue)[0])
    user, moment = query[USER_ID][0], query[TIMESTAMP][0] if dataset.has_time else None
    described = Explanation(
        user_id=user,
        item_id=item[0],
        title=title(dataset, item[0]),
        moment=moment,
        rules=(),
        standing=None,
    )
    if column < 0:
        if not known_to(dataset, item):
            raise UnknownItemError(
                f"there is no item {item_id}", hint="neither the events nor the items table nor the run have it"
            )
        return described.model_copy(update={"rules": (unscored(dataset),)})
    candidates = Candidates(dataset, scorer.catalogue)
    found = (Rule(name="known", passed=True, detail="the run can score it"), *rules(candidates, dataset, query, column))
    with evaluating(scorer.model):
        asked = _Question(scorer, candidates, query, column, events)
        return described.model_copy(update={"rules": found, **asked.answers()})


class _Question:
    """One member, one item, one moment; inside `evaluating`."""

    def __init__(
        self, scorer: ModelScorer, candidates: Candidates, query: pl.DataFrame, column: int, events: int
    ) -> None:
        self._scorer, self._model, self._dataset = scorer, scorer.model, scorer.dataset
        self._column = column
        self._allowed = candidates.mask(query)[0]
        self._competing = self._allowed.clone()
        self._competing[column] = True
        if int(self._competing.sum()) == 1:
            raise ConfigError("there is no other item that the member may be recommended", hint="give another moment")
        self._tables = self._model.tower(scorer.described)
        rows = scorer.histories.before(query).row
        self._familiar = torch.tensor([familiar(self._dataset, rows, scorer.catalogue[column])], dtype=torch.int32)
        read = scorer.reach(rows, spare=0)
        self._things = things(self._dataset, rows[len(rows) - min(events, read) :])
        answered = self._ask(query, rows)
        self._state, self._moment = answered.state[:1], answered.moment[:1]
        joined = scorer.joined(answered.state)
        # Asked alone, as it is below where something is left out: what changes nothing then has no effect at all.
        self._own = self._scores(scorer.joined(self._state), self._moment)[0]
        self._own_odds = self._odds(self._own[None])[0]
        blocks = zip(torch.split(joined, _BLOCK), torch.split(answered.moment, _BLOCK), strict=True)
        self._log_odds = torch.cat([self._odds(self._scores(*block)) for block in blocks])

    def answers(self) -> dict[str, object]:
        """Everything that the run can say, as fields of `Explanation`."""
        model, notes = self._model, []
        heads = model.intents
        if heads is None:
            notes.append("the run has no heads, and so no intents")
        elif not heads.feeds:
            notes.append("the run's heads don't reach the items (model.intents.feed is none)")
        metadata: tuple[ColumnEffect, ...] = ()
        if model.tower.metadata is None:
            notes.append("the run reads no metadata: it knows items by their ids alone")
        else:
            metadata = self._metadata()
        joined = self._scorer.joined(self._state)
        return {
            "standing": self._standing(),
            "events": self._events(self._things),
            "intents": self._intents(),
            "metadata": metadata,
            "parts": parts(self._scorer, self._tables, joined, self._moment, self._column, self._competing),
            "age": age(self._scorer, self._tables, self._moment, self._column),
            "notes": tuple(notes),
        }

    def _ask(self, query: pl.DataFrame, rows: NDArray[np.int64]) -> Answered:
        """The states with the whole history, without each thing, and without any history."""
        left_out = self._things.rows
        if not self._scorer.anchored:
            # A history from which something is left out is read further back, by at most so many events.
            rows = rows[-self._scorer.reach(rows, spare=max((len(each) for each in left_out), default=0)) :]
        earlier = histories_without(rows, left_out)
        asking = query[np.zeros(len(left_out) + 2, np.int64)]
        found = list(self._scorer.answered(asking, self._tables, earlier))
        places = torch.cat([part.places for part in found])
        order = torch.argsort(places)
        return Answered(
            places[order],
            torch.cat([part.state for part in found])[order],
            torch.cat([part.moment for part in found])[order],
        )

    def _scores(self, joined: Float[Tensor, "n D"], moment: Int64[Tensor, "n"]) -> Float[Tensor, "n V"]:
        return self._model.scores(joined, self._scorer.described, self._tables, moment).double()

    def _odds(self, scores: Float[Tensor, "n V"]) -> Float[Tensor, "n"]:
        """Log-odds of the item among those that it competes with."""
        others = self._competing.clone()
        others[self._column] = False
        return scores[:, self._column] - scores[:, others].logsumexp(1)

    def _standing(self) -> Standing:
        own, column = self._own, self._column
        ties = tie_break(self._scorer.catalogue)
        better = (own > own[column]) | ((own == own[column]) & (ties < ties[column]))
        return Standing(
            score=float(own[column]),
            probability=float(self._own_odds.sigmoid()),
            log_odds=float(self._own_odds),
            rank=int((better & self._allowed).sum()) + 1 if bool(self._allowed[column]) else None,
            candidates=int(self._allowed.sum()),
            rank_of_all=int(better.sum()) + 1,
            items=len(own),
            log_odds_without_history=float(self._log_odds[-1]),
        )

    def _events(self, past: Things) -> tuple[EventEffect, ...]:
        events, has_time = self._dataset.events, self._dataset.has_time
        effects = (self._log_odds[0] - self._log_odds[1:-1]).tolist()
        found = []
        for what, is_group, rows, effect in zip(past.ids, past.is_group, past.rows, effects, strict=True):
            own = events[rows]
            types: dict[str, int] = {}
            if EVENT_TYPE in own.columns:
                counted = own.drop_nulls(EVENT_TYPE).group_by(EVENT_TYPE).len()
                types = dict(counted.sort(-pl.col("len").cast(pl.Int64), EVENT_TYPE).iter_rows())
            found.append(
                EventEffect(
                    what=str(what),
                    is_group=is_group,
                    title=title(self._dataset, own[ITEM_ID][-1]),
                    events=own.height,
                    types=types,
                    first=int(own[TIMESTAMP][0]) if has_time else None,
                    last=int(own[TIMESTAMP][-1]) if has_time else None,
                    effect=effect,
                )
            )
        return tuple(sorted(found, key=lambda each: -each.effect))

    def _intents(self) -> tuple[IntentEffect, ...]:
        heads = self._model.intents
        if heads is None:
            return ()
        intents = heads(self._state)
        found = []
        for number, (spec, shares) in enumerate(
            zip(heads.specs, torch.split(intents.log_shares[0].exp(), heads.sizes), strict=True)
        ):
            names = class_names(self._scorer.tokenizer, spec)
            own: list[int] = []
            if spec.source != HeadSource.EVENT:
                values = label_values(
                    [spec],
                    self._scorer.described,
                    item=torch.tensor([self._column]),
                    moment=self._moment,
                    outcome=torch.zeros(1, 0, dtype=torch.int32),
                    familiar=self._familiar,
                )[0]
                own = sorted({value - FIRST_KNOWN for value in values.tolist() if value >= FIRST_KNOWN})
            effect = None
            if heads.feeds:
                # The only head's intent is left out by leaving the state alone.
                state = self._state if len(heads.specs) == 1 else heads(self._state, without=number).state
                effect = float(self._own_odds - self._odds(self._scores(state, self._moment))[0])
            best = int(shares.argmax())
            found.append(
                IntentEffect(
                    head=spec.name,
                    predicted=names[best],
                    probability=float(shares[best]),
                    own=tuple(names[value] for value in own),
                    own_probability=float(shares[own].sum()) if own else None,
                    attention=None if intents.attention is None else float(intents.attention[0, number]),
                    effect=effect,
                )
            )
        return tuple(found)

    def _metadata(self) -> tuple[ColumnEffect, ...]:
        """Only the item's own row changes; what is known of it as part of the history stays."""
        scorer, item = self._scorer, self._scorer.catalogue[self._column]
        joined = scorer.joined(self._state)
        items = self._dataset.items
        row = None if items is None else items.filter(pl.col(ITEM_ID) == item)
        if row is None or not row.height:
            trained = scorer.tokenizer.described
            row = None if trained is None else trained.filter(pl.col(ITEM_ID) == item)
        found = []
        for name, catalogue in without_columns(scorer, self._column).items():
            scores = self._model.scores(joined, catalogue, self._model.tower(catalogue), self._moment).double()
            value = row[name][0] if row is not None and row.height and name in row.columns else None
            effect = float(self._own_odds - self._odds(scores)[0])
            is_moment = scorer.tokenizer.schema.items[name].kind == Kind.TIMESTAMP
            found.append(ColumnEffect(column=name, value=_in_words(value, is_moment=is_moment), effect=effect))
        return tuple(sorted(found, key=lambda each: -each.effect))


def _in_words(value: object, *, is_moment: bool) -> str | None:
    if isinstance(value, pl.Series):
        value = value.to_list()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and is_moment:
        return as_moment(value)
    return None if value is None else str(value)


def _as_item(item_id: int | str, known: pl.Series) -> pl.Series:
    text = pl.Series(ITEM_ID, [str(item_id)])
    if known.dtype == pl.String:
        return text
    number = text.cast(pl.Int64, strict=False)
    if number.null_count():
        raise UnknownItemError(f"there is no item {item_id}", hint="the ids of this data are integers")
    return number
