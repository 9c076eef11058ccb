"""What sessions were really after, and how well predictions tell it.

The simulator draws an intent for each session: discover, continue, rewatch, one of the genres, one of the types. Nobody
sees it. A multinomial logistic regression learns it from the heads' log probabilities at a play of the session, on the
sessions of the validation part, and is asked on those of the test part. Its penalty is chosen on the validation part
as well, by cross-validation over members.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from palate.data import Dataset, Part, Split, queries
from palate.simulate import Simulation
from palate.simulate.context import INTENTS, context_table, intent_prior, is_weekend
from palate.simulate.members import taste_at
from palate.simulate.world import MEMBER_TYPES
from palate.words import SESSION_ID, TIMESTAMP, USER_ID

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PENALTIES = (0.0003, 0.003, 0.03)
"""Inverse strengths of the regression's penalty, on standardised inputs."""
FOLDS = 3
TRACE = 0.01
"""What all intents share equally, before the regression has its say."""
LOWEST = -12.0
"""Log probabilities are cut here."""
KINDS = tuple(dict.fromkeys(name.split(":")[0] for name in INTENTS))
"""discover, continue, rewatch, genre, type."""
KIND_OF = np.array([KINDS.index(name.split(":")[0]) for name in INTENTS])


class Plays(NamedTuple):
    """The n-th plays of the sessions of one part, ``[S]`` of them."""

    asked: pl.DataFrame
    """Queries, as `palate.data.queries` gives them."""
    member: Ints
    intent: Ints
    """Index among `palate.simulate.context.INTENTS`."""
    session: Ints
    """Row of ``truth.sessions``."""

    @classmethod
    def of(cls, simulation: Simulation, dataset: Dataset, division: Split, part: Part, number: int) -> Plays:
        """The plays with ``number`` plays before them in their session."""
        truth = simulation.truth
        sessions = truth.sessions.with_row_index("session_row").select(SESSION_ID, "session_row", "intent")
        assert not sessions[SESSION_ID].is_duplicated().any()
        plays = truth.plays.select(
            USER_ID, TIMESTAMP, SESSION_ID, number=pl.int_range(pl.len()).over(SESSION_ID, order_by=TIMESTAMP)
        )
        asked = queries(dataset, division, part)
        asked = asked.with_columns(member=pl.col(USER_ID).rank("dense"))
        asked = asked.join(plays, on=[USER_ID, TIMESTAMP], how="left", maintain_order="left")
        asked = asked.filter(pl.col("number") == number).join(sessions, on=SESSION_ID, maintain_order="left")
        code = asked["intent"].replace_strict(list(INTENTS), range(len(INTENTS)), return_dtype=pl.Int64)
        member, session = (asked[name].to_numpy().astype(np.int64) for name in ("member", "session_row"))
        return cls(asked, member, code.to_numpy(), session)


class Told(NamedTuple):
    """How well the intents of ``S`` sessions were told."""

    hit: Floats
    """1 where the most probable intent is the true one."""
    kind: Floats
    """1 where the most probable kind of intent is: probabilities are added up over genres and over types."""
    loss: Floats
    """Log loss."""
    shares: Floats
    """The probability of each intent, ``[S, intents]``."""


def judge(shares: Floats, intent: Ints) -> Told:
    """Judge the probabilities ``[S, intents]``."""
    kinds = shares @ (KIND_OF[:, None] == np.arange(len(KINDS)))
    top = shares.argmax(1)
    loss = -np.log(np.take_along_axis(shares, intent[:, None], 1)[:, 0])
    return Told((top == intent).astype(float), (kinds.argmax(1) == KIND_OF[intent]).astype(float), loss, shares)


def usual(fitted: Plays, asked: Plays) -> Told:
    """The shares of the intents, the same for every session."""
    counts = np.bincount(fitted.intent, minlength=len(INTENTS)) + 1.0
    return judge(np.tile(counts / counts.sum(), (len(asked.intent), 1)), asked.intent)


def learned(fitted: Plays, known: Floats, asked: Plays, asked_known: Floats) -> Told:
    """From what is known at each play, such as the heads' log probabilities ``[S, C]``."""
    known, asked_known = known.clip(LOWEST), asked_known.clip(LOWEST)
    fold = fitted.member % FOLDS

    def loss(penalty: float) -> float:
        parts = (
            judge(_regressed(known[fold != k], fitted.intent[fold != k], known[fold == k], penalty), own).loss.sum()
            for k, own in ((k, fitted.intent[fold == k]) for k in range(FOLDS))
        )
        return float(sum(parts))

    best = min(PENALTIES, key=loss)
    return judge(_regressed(known, fitted.intent, asked_known, best), asked.intent)


def _regressed(known: Floats, intent: Ints, asked: Floats, penalty: float) -> Floats:
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000))
    regression.fit(known, intent)
    # An intent that the fitted sessions lack keeps some probability.
    found = np.full((len(asked), len(INTENTS)), TRACE / len(INTENTS))
    found[:, regression.classes_] += (1 - TRACE) * regression.predict_proba(asked)
    return found


def knowing(simulation: Simulation, asked: Plays) -> Told:
    """Who knows each member's taste and type, and the generator, when the session begins: no one can tell it better
    before anything has happened in it."""
    truth, config = simulation.truth, simulation.config
    sessions = truth.sessions[asked.session]
    day, member, hour, device = (
        sessions[name].to_numpy().astype(np.int64) for name in ("day", "member", "hour", "device")
    )
    names = list(MEMBER_TYPES)
    kind = truth.members["type"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()[member]
    context = context_table(config.context_strength)[device, is_weekend(day), hour]
    taste = taste_at(truth.taste(), member, day)
    return judge(intent_prior(taste, context, kind, truth.space(), config.taste_strength), asked.intent)


def confusion(intent: Ints, shares: Floats) -> Floats:
    """The mean probability of each intent over the sessions with each true one, ``[true, told]``; zeros without any."""
    true = (intent[:, None] == np.arange(len(INTENTS))).astype(np.float64)
    return np.asarray(true.T @ shares / np.maximum(true.sum(0), 1)[:, None])
