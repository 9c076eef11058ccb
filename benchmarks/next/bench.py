"""Looking ahead: the next ten targets with and without multi-token prediction, and what it costs the next one.

On the simulated service; next_recall@10 is the share of a member's next ten different items in the test part that the
first ten recommendations hold. A model that looks ahead is asked both ways: for the next target, and for the next ten
(``horizon``). Run as

    python benchmarks/next/bench.py --seeds 2 --json benchmarks/next/service.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import SERVICE, paired, service, trained
from palate.data import Part, queries, split
from palate.evaluate.metrics import accuracy
from palate.evaluate.next_items import next_recall
from palate.evaluate.ranks import ranks
from palate.model import ModelConfig, NextConfig
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.words import USER_ID

N = 10
PLAIN, NEXT, AHEAD = "without", "with, asked for the next", "with, asked for the next ten"


def main() -> None:
    """Train, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=SERVICE.epochs)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    _, dataset = service(given.preset)
    division = split(dataset)
    asked = queries(dataset, division, Part.TEST)
    members = asked[USER_ID].rank("dense").to_numpy().astype(np.int64)

    def values(scorer: Scorer) -> dict[str, np.ndarray]:
        picks = recommend(scorer, dataset, asked, k=10)
        return {
            "ndcg@10": accuracy(ranks(picks, asked), (10,))["ndcg@10"],
            "next_recall@10": next_recall(picks, asked, (10,), n=N)["next_recall@10"],
        }

    found: dict[str, list[dict[str, np.ndarray]]] = {PLAIN: [], NEXT: [], AHEAD: []}
    for seed in range(given.seeds):
        config = SERVICE.model_copy(update={"seed": seed, "epochs": given.epochs})
        plain = trained(dataset, config)
        found[PLAIN].append(values(plain.scorer(dataset)))
        ahead = trained(dataset, config.model_copy(update={"model": ModelConfig(next=NextConfig(n=N))}))
        found[NEXT].append(values(ahead.scorer(dataset)))
        found[AHEAD].append(values(ahead.ranker(dataset, horizon=N)))
        print(seed, {name: {key: np.nanmean(v) for key, v in each[-1].items()} for name, each in found.items()})
    mean = {name: {key: np.mean([one[key] for one in each], axis=0) for key in each[0]} for name, each in found.items()}
    rows = {}
    table = Table("multi-token prediction", box=box.SIMPLE_HEAD)
    for column in ("NDCG@10", "against without", "next-10 recall@10", "against without"):
        table.add_column(column)
    for name, figures in mean.items():
        row: dict[str, object] = {}
        shown = []
        for key, array in figures.items():
            there = ~np.isnan(array)
            row[key] = float(array[there].mean())
            difference = ""
            if name != PLAIN:
                more = paired(array[there], mean[PLAIN][key][there], members[there])
                row[f"{key} difference"] = more.model_dump()
                difference = f"{more.value:+.4f} [{more.low:+.4f}, {more.high:+.4f}]"
            shown += [f"{row[key]:.4f}", difference]
        rows[name] = row
        table.add_row(name, *shown)
    Console(width=120).print(table)
    if given.json is not None:
        result = {"seeds": given.seeds, "targets": len(asked), "n": N, "rows": rows}
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
