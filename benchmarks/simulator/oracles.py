"""How much of a simulated service can be predicted, by whom: NDCG@10 of oracles and popularity.

    python benchmarks/simulator/oracles.py [--members 2000 --items 1000 --days 120 --seed 0 --json]

The queries are the plays of the last 10 % of the events by time. Candidates are the titles that have launched and
that the member has not played. Popularity rolls on to each query; "at the cut" freezes it where the last 20 % begin.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.simulate import Knowledge, Oracle, Simulation, SimulationConfig, simulate

DAY_MS = 86_400_000


def queries_of(simulation: Simulation, share: float = 0.9) -> tuple[pl.DataFrame, int]:
    """Plays after the moment before which this share of the events lies, and that moment."""
    moment = int(simulation.events["timestamp"].sort()[int(share * simulation.events.height)])
    plays = simulation.events.filter((pl.col("event_type") == "play") & (pl.col("timestamp") >= moment))
    return plays.select("user_id", "timestamp", "item_id").with_row_index("query"), moment


def popularity(
    simulation: Simulation, queries: pl.DataFrame, days: float | None, cut: int | None
) -> NDArray[np.float32]:
    """Plays [Q, V] of each title before each query: all of them, or those of the last ``days``."""
    catalogue = simulation.oracle().catalogue
    codes = dict(zip(catalogue.to_list(), range(len(catalogue)), strict=True))
    plays = simulation.events.filter(pl.col("event_type") == "play").sort("timestamp")
    time, item = plays["timestamp"].to_numpy(), plays["item_id"].replace_strict(codes).to_numpy()
    moment = queries["timestamp"].to_numpy()
    hour = 3_600_000
    scores = np.empty((len(moment), len(catalogue)), dtype=np.float32)
    known: dict[int, NDArray[np.float32]] = {}
    for row, when in enumerate(moment.tolist()):
        until = cut if cut is not None else when // hour * hour
        if until not in known:
            start = 0 if days is None else int(np.searchsorted(time, until - days * DAY_MS))
            end = int(np.searchsorted(time, until))
            known[until] = np.bincount(item[start:end], minlength=len(catalogue)).astype(np.float32)
        scores[row] = known[until]
    return scores


def ndcg(scores: NDArray[np.float32], allowed: NDArray[np.bool_], target: NDArray[np.int64]) -> dict[str, float]:
    """NDCG@10 and HR@10; ties count half."""
    scores = np.where(allowed, scores, -np.inf)
    own = scores[np.arange(len(target)), target][:, None]
    better = (scores > own).sum(axis=1)
    tied = ((scores == own) & allowed).sum(axis=1) - 1
    rank = better + tied / 2
    hit = rank < 10
    return {"ndcg@10": float((hit / np.log2(rank + 2)).mean()), "hr@10": float(hit.mean())}


def figures(config: SimulationConfig) -> dict[str, dict[str, float]]:
    """One row a scorer."""
    simulation = simulate(config)
    queries, _ = queries_of(simulation)
    _, cut = queries_of(simulation, 0.8)
    oracle = simulation.oracle()
    catalogue = oracle.catalogue
    full = oracle.scores(queries)
    allowed = np.isfinite(full)
    codes = dict(zip(catalogue.to_list(), range(len(catalogue)), strict=True))
    target = queries["item_id"].replace_strict(codes).to_numpy()
    assert allowed[np.arange(len(target)), target].all()
    scorers = {
        "oracle": full,
        "without the trailer": Oracle(simulation.truth, Knowledge(trailer=False)).scores(queries),
        "without the intent": Oracle(simulation.truth, Knowledge(intent=False)).scores(queries),
        "without device and time": Oracle(simulation.truth, Knowledge(context=False)).scores(queries),
        "without drift": Oracle(simulation.truth, Knowledge(drift=False)).scores(queries),
        "without trends": Oracle(simulation.truth, Knowledge(trends=False)).scores(queries),
        "without progress": Oracle(simulation.truth, Knowledge(progress=False)).scores(queries),
        "without intent, device and time": Oracle(simulation.truth, Knowledge(intent=False, context=False)).scores(
            queries
        ),
        "static taste only": Oracle(simulation.truth, Knowledge(**dict.fromkeys(Knowledge.model_fields, False))).scores(
            queries
        ),
        "popular": popularity(simulation, queries, None, None),
        "popular of 7 days": popularity(simulation, queries, 7, None),
        "popular at the cut": popularity(simulation, queries, None, cut),
        "popular of 7 days at the cut": popularity(simulation, queries, 7, cut),
        "chance": np.zeros_like(full),
    }
    rows = {name: ndcg(scores, allowed, target) for name, scores in scorers.items()}
    for row in rows.values():
        row["share of the oracle"] = row["ndcg@10"] / rows["oracle"]["ndcg@10"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("members", "items", "days", "seed"):
        parser.add_argument(f"--{name}", type=int, default=SimulationConfig.model_fields[name].default)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    config = SimulationConfig(
        members=arguments.members, items=arguments.items, days=arguments.days, seed=arguments.seed
    )
    rows = figures(config)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'scorer':34}{'NDCG@10':>9}{'HR@10':>9}{'of oracle':>11}")
    for name, row in rows.items():
        print(f"{name:34}{row['ndcg@10']:9.3f}{row['hr@10']:9.3f}{row['share of the oracle']:11.0%}")


if __name__ == "__main__":
    main()
