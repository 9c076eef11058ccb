"""How much of a simulated service can be predicted, by whom: NDCG@10 of both oracles and of baselines.

    python benchmarks/simulator/oracles.py [--preset service] [--members N] [--seed 0] [--particles 96] [--json]

Through `palate.evaluate`, as a model would be measured: the plays of the last 10 % of the events, all items that have
launched are candidates, seen ones too. ``chosen`` are the plays in which a title is chosen; the others go on with what
the play before was of (after a break) or with its next episode.
"""

from __future__ import annotations

import argparse
import json
import time

import polars as pl

from palate.baselines.choose import standard
from palate.data import Dataset, Part, queries, split
from palate.demo.oracle import OracleScorer
from palate.evaluate.evaluate import evaluate
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.simulate import FilterConfig, Knowledge, Oracle, Simulation, preset, simulate

NAMES = {
    "popular": "popular at the cut",
    "recent_popular": "popular of 7 days at the cut",
    "popular_rolling": "popular",
    "recent_popular_rolling": "popular of 7 days",
    "transitions": "what followed the last",
    "ease": "EASE",
    "item_knn": "item-kNN",
}
LESS = {
    "without the intent": Knowledge(intent=False),
    "without device and time": Knowledge(context=False),
    "without drift": Knowledge(drift=False),
    "without trends": Knowledge(trends=False),
    "without the trailer": Knowledge(trailer=False),
    "without progress": Knowledge(progress=False),
}


def figures(simulation: Simulation, filter_config: FilterConfig) -> dict[str, dict[str, float]]:
    """One row a scorer."""
    dataset = Dataset.from_frames(simulation.events, simulation.items, simulation.users, schema=simulation.schema)
    division = split(dataset)
    asked = queries(dataset, division, Part.TEST)
    known = asked.join(simulation.truth.plays, on=["user_id", "timestamp"], how="left", maintain_order="left")
    chosen = asked.filter((known["begins"] == 0).to_numpy())
    scorers: dict[str, Scorer] = {
        "oracle (knows the latent state)": OracleScorer(simulation.oracle(), dataset.events),
        "filter (knows generator and past)": OracleScorer(simulation.filter_oracle(filter_config), dataset.events),
    }
    scorers |= {
        name: OracleScorer(Oracle(simulation.truth, knowledge), dataset.events) for name, knowledge in LESS.items()
    }
    scorers |= {NAMES[name]: scorer for name, scorer in standard(dataset, division).items()}
    rows = {}
    for name, scorer in scorers.items():
        started = time.perf_counter()
        picks = recommend(scorer, dataset, asked, k=10, batch=len(asked))
        seconds = time.perf_counter() - started
        both = {
            part: evaluate(picks.filter(pl.col("query").is_in(of["query"].implode())), of, dataset, division, Part.TEST)
            for part, of in (("all", asked), ("chosen", chosen))
        }
        rows[name] = {
            "ndcg@10": both["all"].metrics["ndcg@10"].value,
            "hr@10": both["all"].metrics["hr@10"].value,
            "ndcg@10 chosen": both["chosen"].metrics["ndcg@10"].value,
            "seconds": seconds,
        }
    best = rows["oracle (knows the latent state)"]["ndcg@10"]
    for row in rows.values():
        row["share of the oracle"] = row["ndcg@10"] / best
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service", "long"])
    parser.add_argument("--members", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--particles", type=int, default=FilterConfig().particles)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    changes = {} if given.members is None else {"members": given.members}
    simulation = simulate(preset(given.preset, seed=given.seed, **changes))
    rows = figures(simulation, FilterConfig(particles=given.particles))
    if given.json:
        print(json.dumps({"settings": simulation.config.model_dump(), "particles": given.particles, "rows": rows}))
        return
    print(f"{'scorer':36}{'NDCG@10':>9}{'HR@10':>8}{'chosen':>9}{'of oracle':>11}{'seconds':>9}")
    for name, row in rows.items():
        print(
            f"{name:36}{row['ndcg@10']:9.3f}{row['hr@10']:8.3f}{row['ndcg@10 chosen']:9.3f}"
            f"{row['share of the oracle']:11.0%}{row['seconds']:9.1f}"
        )


if __name__ == "__main__":
    main()
