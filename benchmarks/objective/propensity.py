"""What propensities of places a choice among shown items gives when the scores are the true ones.

The simulator chooses from a row with w · f(past) / position^b. With ln w + ln f as scores the likelihood of the choices
gives 1 / position^b back; with ln w alone it doesn't: what stands in front is what members have seen already, so that
the first places look worse than they are. What a model learns of places is as good as what it knows of the past.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.rank.catalogue import codes
from palate.simulate import Oracle
from palate.simulate.replay import Asked, Record, replay, rows_of
from palate.simulate.rows import LENGTH
from palate.simulate.state import State
from palate.words import EVENT_TYPE, IMPRESSIONS, ITEM_ID

Floats = NDArray[np.float64]


def estimated(oracle: Oracle, events: pl.DataFrame) -> dict[str, list[float]]:
    """Propensities against the first place, ``[LENGTH]``, from the plays among ``events`` that were chosen from a row.

    By maximum likelihood, with scores that know all, that know no past, and that know nothing.
    """
    chosen = events.filter((pl.col(EVENT_TYPE) == "play") & pl.col(IMPRESSIONS).is_not_null())
    catalogue = oracle.catalogue
    shown = codes(chosen[IMPRESSIONS].explode(), catalogue).reshape(-1, LENGTH)
    place = (shown == codes(chosen[ITEM_ID], catalogue)[:, None]).argmax(axis=1)
    relevance = np.concatenate(
        [
            np.take_along_axis(oracle.relevance(chosen[start : start + 1024]), shown[start : start + 1024], axis=1)
            for start in range(0, len(chosen), 1024)
        ]
    )
    past = np.log(_factors(oracle, chosen, oracle.truth.items["title"].to_numpy()[shown]))
    scores = {"true scores": relevance + past, "no past": relevance, "no scores": np.zeros_like(past)}
    return {name: _fitted(each, place) for name, each in scores.items()}


def _factors(oracle: Oracle, chosen: pl.DataFrame, titles: NDArray[np.int64]) -> Floats:
    """What the past did to the weights of ``titles`` [N, LENGTH] at each choice."""
    truth = oracle.truth
    record, rows = Record.of(truth), rows_of(truth, chosen)
    order = np.argsort(rows)
    result = np.ones(titles.shape)

    def ask(asked: Asked, state: State) -> None:
        at = order[np.searchsorted(rows[order], asked.play)]
        day = record.session["day"][record.viewing["session"][record.play["viewing"][asked.play]]]
        result[at] = state.factors(asked.place, day, titles[at])

    replay(truth.choice_model(), record, rows, ask)
    return result


def _fitted(scores: Floats, place: NDArray[np.int64]) -> list[float]:
    free = torch.zeros(LENGTH, dtype=torch.float64, requires_grad=True)
    known, target = torch.from_numpy(scores.astype(np.float64)), torch.from_numpy(place)
    optimizer = torch.optim.LBFGS([free], max_iter=100)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(known + free, target)
        value.backward()
        return value

    optimizer.step(loss)
    return [round(float(value), 4) for value in (free - free[0]).detach().exp()]
