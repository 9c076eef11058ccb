"""What the model's knowledge of time is worth: everything of it, and each part left out in turn.

On the simulated service, whose members have a daily rhythm and whose tastes and demand drift; the plays of the last
10 % of the events, all and those in which a title is chosen. `make bench-movietweetings` has the other half: real
times, against popularity that rolls on. Run as

    python benchmarks/time/bench.py --seeds 2 --json benchmarks/time/service.json
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

from common import SERVICE, chosen, paired, service, trained
from palate.baselines.popular import Popular, PopularConfig
from palate.baselines.recent import RecentPopular, RecentPopularConfig
from palate.data import Part, queries, split
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.model import ModelConfig, TowerConfig, TransformerConfig
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.tokens import TokenizerConfig
from palate.train import PretrainConfig
from palate.words import USER_ID

NO_FIELDS = TokenizerConfig(time_features=False)
NO_BIAS = TransformerConfig(time_bias=False)
NO_AGES = TowerConfig(ages=False)
VARIANTS = {
    "all of time": SERVICE,
    "without clock, trend and pause": SERVICE.model_copy(update={"tokenizer": NO_FIELDS}),
    "without how long ago": SERVICE.model_copy(update={"model": ModelConfig(encoder=NO_BIAS)}),
    "without ages of items": SERVICE.model_copy(update={"model": ModelConfig(tower=NO_AGES)}),
    "without time": SERVICE.model_copy(
        update={"tokenizer": NO_FIELDS, "model": ModelConfig(encoder=NO_BIAS, tower=NO_AGES)}
    ),
}
FULL = "all of time"


def main() -> None:
    """Train, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=SERVICE.epochs)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    simulation, dataset = service(given.preset)
    division = split(dataset)
    asked = queries(dataset, division, Part.TEST)
    turns = chosen(simulation, asked)
    members = asked[USER_ID].rank("dense").to_numpy().astype(np.int64)

    def ndcg(scorer: Scorer) -> np.ndarray:
        return accuracy(ranks(recommend(scorer, dataset, asked, k=10), asked), (10,))["ndcg@10"]

    def of(config: PretrainConfig) -> np.ndarray:
        values = []
        for seed in range(given.seeds):
            values.append(
                ndcg(trained(dataset, config.model_copy(update={"seed": seed, "epochs": given.epochs})).scorer(dataset))
            )
            print(f"seed {seed}: {values[-1].mean():.4f}", file=sys.stderr, flush=True)
        return np.mean(values, axis=0)

    found = {name: of(VARIANTS[name]) for name in given.only}
    found["popular, rolling"] = ndcg(Popular.fit(dataset, division, PopularConfig(rolling=True)))
    found["popular of 7 days, rolling"] = ndcg(RecentPopular.fit(dataset, division, RecentPopularConfig(rolling=True)))
    rows = {}
    table = Table("", "NDCG@10", "against all of time", "chosen", "against all of time", box=box.SIMPLE_HEAD)
    for name, values in found.items():
        row: dict[str, object] = {"ndcg@10": values.mean(), "ndcg@10 chosen": values[turns].mean()}
        shown = []
        for what, some in (("ndcg@10", np.ones(len(turns), np.bool_)), ("ndcg@10 chosen", turns)):
            difference = ""
            if name != FULL and FULL in found:
                less = paired(values[some], found[FULL][some], members[some])
                row[f"{what} difference"] = less.model_dump()
                difference = f"{less.value:+.4f} [{less.low:+.4f}, {less.high:+.4f}]"
            shown += [f"{row[what]:.4f}", difference]
        rows[name] = row
        table.add_row(name, *shown)
    Console(width=120).print(table)
    if given.json is not None:
        result = {"seeds": given.seeds, "targets": len(asked), "chosen": int(turns.sum()), "rows": rows}
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
