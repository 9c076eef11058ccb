"""What the simulator's truth says of a recommendation: how much of it the member would watch, and how they'd rate it.

For item v, played from its beginning by member m on the device of the query's session, by the formulas of
`palate.simulate.viewing` and `palate.simulate.timeline` (match = ⟨taste, place⟩ + appeal on that day):

    p        = σ(0.4 (match − 6.8) + 1.7 + patience)                 wanted to its end
    wish W   = 1 − 0.08 U with p, else 0.01 + 0.6 U², U uniform      share that is wanted
    breaks K = min(Poisson(λ W), 4), λ = breaks an hour × hours;     returns R with P(R ≥ r) = resume^r
    share    = W where R ≥ K, else W (R + 1 + noise) / (K + 1), noise of mean 0
    stars    = round(3.6 + 0.4 (match − 6.8) − 1.2 · [given up] + 0.6 N(0, 1)), cut to 1 … 5

Sums over K and R are closed, as is that over the normal; U is integrated by Gauss-Legendre quadrature. Breaks count as
far as the member comes back in the same session. Not in it: what was seen of the item in earlier sessions, and that the
rating of a series is given after several episodes.

    python benchmarks/objective/truth.py [--preset service] [--seed 0]

prints predicted and logged means by decile of the prediction.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from palate.simulate import Simulation, preset, simulate
from palate.simulate.members import taste_at
from palate.simulate.replay import rows_of
from palate.simulate.timeline import _STARS_OF_MATCH, _USUAL_MATCH, _USUAL_STARS
from palate.simulate.truth import Truth
from palate.simulate.viewing import _BREAKS, _CREDITS, _GIVEN_UP, break_rate, completion
from palate.simulate.world import MEMBER_TYPES, PATIENCE_SHIFT
from palate.words import EVENT_TYPE, EVENT_VALUE, ITEM_ID, QUERY, RANK, TIMESTAMP, USER_ID

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GIVEN_UP_STARS, _STARS_NOISE = 1.2, 0.6
_ROOTS, _MASSES = np.polynomial.legendre.leggauss(12)
_DEPTHS, _SHARES = (_ROOTS + 1) / 2, _MASSES / 2


@dataclass(frozen=True)
class Asked:
    """The situations of Q queries."""

    day: Ints
    taste: NDArray[np.float32]
    """[Q, D]"""
    patience: Floats
    breaks_an_hour: Floats

    @classmethod
    def of(cls, truth: Truth, queries: pl.DataFrame) -> Asked:
        """Queries are plays of the simulation, as for `palate.simulate.Oracle`."""
        viewing = truth.plays["viewing"].to_numpy()[rows_of(truth, queries)]
        sessions = truth.sessions[truth.viewings["session"].to_numpy()[viewing]]
        member, day = sessions["member"].to_numpy(), sessions["day"].to_numpy().astype(np.int64)
        names = list(MEMBER_TYPES)
        kind = truth.members["type"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
        return cls(
            day=day,
            taste=taste_at(truth.taste(), member, day),
            patience=PATIENCE_SHIFT[kind[member]],
            breaks_an_hour=break_rate(truth.config, sessions["device"].to_numpy()),
        )


def places(truth: Truth, recommendations: pl.DataFrame, queries: pl.DataFrame, k: int) -> Ints:
    """The ``k`` best of each query as rows of ``truth.items``, ``[Q, k]``; −1 where its list is shorter."""
    rows = truth.items.select(ITEM_ID).with_row_index("place")
    asked = queries.select(QUERY).with_row_index("at")
    found = recommendations.filter(pl.col(RANK) <= k).join(rows, on=ITEM_ID).join(asked, on=QUERY)
    result = np.full((len(queries), k), -1)
    result[found["at"].to_numpy(), found[RANK].to_numpy() - 1] = found["place"].to_numpy()
    return result


def watched_share(truth: Truth, queries: pl.DataFrame, items: Ints) -> Floats:
    """Expected share of each of ``items`` [Q, K] of `places` that is watched in one session; NaN for none."""
    _, finishes, breaks = _situation(truth, queries, items)
    share, _ = expected_course(finishes, breaks, truth.config.resume)
    return np.where(items >= 0, share, np.nan)


def rating(truth: Truth, queries: pl.DataFrame, items: Ints) -> Floats:
    """Expected stars of each of ``items`` [Q, K] of `places`; NaN for none."""
    match, finishes, breaks = _situation(truth, queries, items)
    _, given_up = expected_course(finishes, breaks, truth.config.resume)
    return np.where(items >= 0, expected_stars(match, given_up), np.nan)


def expected_course(finishes: Floats, breaks: Floats, resume: float) -> tuple[Floats, Floats]:
    """Expected share watched, and probability of being given up; all of one shape.

    ``finishes`` is the probability of being wanted to its end, ``breaks`` how many are expected in a whole item.
    """
    share, given_up = np.zeros_like(finishes), np.zeros_like(finishes)
    for depth, mass in zip(_DEPTHS, _SHARES, strict=True):
        for wish, chance in ((1 - _CREDITS * depth, finishes), (0.01 + _GIVEN_UP * depth**2, 1 - finishes)):
            kept, through = _past_breaks(breaks * wish, resume)
            share += mass * chance * wish * kept
            if chance is not finishes:
                given_up += mass * chance * through
    return share, given_up


def _past_breaks(expected: Floats, resume: float) -> tuple[Floats, Floats]:
    """Mean part of the wish that is watched, and probability of coming back from every break."""
    kept, through, left = np.zeros_like(expected), np.zeros_like(expected), np.ones_like(expected)
    term = np.exp(-expected)
    for number in range(_BREAKS + 1):
        chance = term if number < _BREAKS else left
        all_of_them = resume**number
        until = sum(resume**back * (1 - resume) * (back + 1) / (number + 1) for back in range(number))
        kept += chance * (all_of_them + until)
        through += chance * all_of_them
        left = left - term
        term = term * expected / (number + 1)
    return kept, through


def expected_stars(match: Floats, given_up: Floats) -> Floats:
    """Mean of the rounded and cut stars."""

    def mean(usual: Floats) -> Floats:
        steps = [ndtr((usual - (stars + 0.5)) / _STARS_NOISE) for stars in range(1, 5)]
        return 1 + np.sum(steps, axis=0)

    usual = _USUAL_STARS + _STARS_OF_MATCH * (match - _USUAL_MATCH)
    return np.asarray((1 - given_up) * mean(usual) + given_up * mean(usual - _GIVEN_UP_STARS))


def _situation(truth: Truth, queries: pl.DataFrame, items: Ints) -> tuple[Floats, Floats, Floats]:
    """Of each of ``items`` [Q, K]: match, probability of being wanted to its end, breaks expected in all of it."""
    asked = Asked.of(truth, queries)
    title = truth.items["title"].to_numpy()[items]
    place = truth.titles["place"].to_numpy()[title]
    match = np.einsum("qd,qkd->qk", asked.taste, place) + truth.arrays["appeal"][asked.day[:, None], title]
    breaks = asked.breaks_an_hour[:, None] * truth.titles["hours"].to_numpy()[title]
    return match, completion(match, asked.patience[:, None]), breaks


def calibration(simulation: Simulation, groups: int = 10) -> dict[str, pl.DataFrame]:
    """Predicted and logged means by decile of the prediction, of the watched share and of the rating.

    Of all items that were played from their beginning; ratings of titles of one item, where no other episode has a say.
    """
    truth = simulation.truth
    runtime = simulation.items.select(ITEM_ID, (pl.col("runtime_minutes") * 60).alias("runtime"))
    log = simulation.events.filter(pl.col(EVENT_TYPE) == "play").select(USER_ID, TIMESTAMP, EVENT_VALUE)
    plays = truth.plays.join(log, on=[USER_ID, TIMESTAMP], maintain_order="left").join(
        runtime, on=ITEM_ID, maintain_order="left"
    )
    watched = plays.group_by("viewing", "run", maintain_order=True).agg(
        pl.col(USER_ID, TIMESTAMP, ITEM_ID, "item").first(),
        (pl.col("share").first() - pl.col(EVENT_VALUE).first() / pl.col("runtime").first()).alias("begin"),
        (pl.col(EVENT_VALUE).sum() / pl.col("runtime").first()).alias("logged"),
    )
    watched = watched.filter(pl.col("begin") < 0.01)
    items = watched["item"].to_numpy().astype(np.int64)[:, None]
    shares = watched.with_columns(pl.Series("predicted", watched_share(truth, watched, items)[:, 0]))

    stars = simulation.events.filter(pl.col(EVENT_TYPE) == "rate").select(USER_ID, ITEM_ID, TIMESTAMP, "rating")
    rated = stars.sort(TIMESTAMP).join_asof(
        watched.rename({TIMESTAMP: "played"}).sort("played"),
        left_on=TIMESTAMP,
        right_on="played",
        by=[USER_ID, ITEM_ID],
        check_sortedness=False,
    )
    single = truth.titles["size"].to_numpy()[truth.items["title"].to_numpy()] == 1
    rated = rated.drop_nulls("item").filter(pl.col("item").replace_strict(range(len(single)), single.tolist()))
    asked = rated.drop(TIMESTAMP).rename({"played": TIMESTAMP})
    items = rated["item"].to_numpy().astype(np.int64)[:, None]
    ratings = rated.with_columns(pl.Series("predicted", rating(truth, asked, items)[:, 0]), logged="rating")
    return {"watched share": _deciles(shares, groups), "rating": _deciles(ratings, groups)}


def _deciles(table: pl.DataFrame, groups: int) -> pl.DataFrame:
    place = (pl.col("predicted").rank("ordinal") - 1) * groups // pl.len()
    return (
        table.group_by(place.alias("decile"))
        .agg(
            pl.len().alias("number"),
            pl.col("predicted").mean(),
            pl.col("logged").mean(),
            (pl.col("logged").std() / pl.len().sqrt()).alias("error"),
        )
        .sort("decile")
    )


def main() -> None:
    """Print the tables of calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service", "long"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name, table in calibration(simulate(preset(given.preset, seed=given.seed))).items():
        print(f"{name:20}{'number':>8}{'predicted':>11}{'logged':>9}{'error':>8}")
        for row in table.iter_rows(named=True):
            print(f"decile {row['decile'] + 1:<13}{row['number']:8,}", end="")
            print(f"{row['predicted']:11.3f}{row['logged']:9.3f}{row['error']:8.3f}")


if __name__ == "__main__":
    main()
