"""Intents on the simulated service: how well heads predict, whether items gain, whether intents tell the truth.

a) Each head's accuracy and log loss on the test part, against the majority class, a recency rule, and GRU, LSTM and a
   TransAct-like encoder with the same heads, trained here on the same batches with the same budget (encoders.py).
b) NDCG@10 of items fed by intents, of heads beside the items, and of no heads, against both oracles; over all plays and
   over those in which a title is chosen.
c) How well the heads' predictions at a session's first plays tell its true intent (sessions.py), against the shares of
   the intents, the values of the play before, and who knows the member's tastes but not yet the session.

Differences are paired by query, each query's values averaged over the seeds; their intervals are over members, for the
models that were trained. How much another seed changes stands behind them (±, the deviation of the difference between
the two models of a seed). Run as

    python benchmarks/intents/bench.py --seeds 3 --json benchmarks/intents/metrics.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sessions
import torch
from labels import Labels, Said, judge, majority, recency
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from sessions import Plays, Told
from training import BESIDE, FED, NO_HEADS, PEERS, VARIANTS, Bench, Trained, head_shares, train

from palate.data import Part, queries
from palate.demo.oracle import OracleScorer
from palate.evaluate.compare import compare
from palate.evaluate.evaluation import EvaluationConfig
from palate.evaluate.metrics import accuracy
from palate.evaluate.ranks import ranks
from palate.rank.recommend import recommend
from palate.rank.scorer import Scorer
from palate.simulate import FilterConfig, FilterOracle, Oracle, preset, simulate
from palate.simulate.context import INTENTS
from palate.words import TIMESTAMP, USER_ID

Floats = NDArray[np.float64]
K = 10
MAJORITY, RECENCY = "majority class", "recency rule"
ORACLE, FILTER = "oracle", "filter"
USUAL, KNOWN, BEFORE = "usual shares", "knows the member", "the play before"
WITHOUT_SEED = (MAJORITY, RECENCY, ORACLE, FILTER, USUAL, KNOWN, BEFORE)
PLAYS = {"first play": 0, "second play": 1, "fourth play": 3}
"""How many plays lie before it in its session."""
ALL_HEADS = "all heads"


class Items:
    """NDCG@10 of every query of the test part."""

    def __init__(self, bench: Bench) -> None:
        self._dataset = bench.dataset
        self.asked = queries(bench.dataset, bench.division, Part.TEST)
        truth = bench.simulation.truth.plays
        known = self.asked.join(truth, on=[USER_ID, TIMESTAMP], how="left", maintain_order="left")
        self.chosen: NDArray[np.bool_] = (known["begins"] == 0).to_numpy()
        self.members = self.asked[USER_ID].rank("dense").to_numpy().astype(np.int64)

    def of(self, scorer: Scorer, batch: int = 512) -> Floats:
        """``[Q]``"""
        picks = recommend(scorer, self._dataset, self.asked, k=K, batch=batch)
        return accuracy(ranks(picks, self.asked), (K,))[f"ndcg@{K}"]


class Found:
    """Per-query values of everything that was measured, seed by seed."""

    def __init__(self) -> None:
        self.models: dict[str, list[Trained]] = {}
        self.ndcg: dict[str, list[Floats]] = {}
        self.heads: dict[str, dict[str, list[Said]]] = {}
        """head → predictor"""
        self.rules: dict[str, dict[str, float]] = {}
        """What the recency rule of each head chose."""
        self.told: dict[str, dict[str, list[Told]]] = {name: {} for name in PLAYS}
        """play → predictor"""


def measured(bench: Bench, given: argparse.Namespace) -> tuple[Found, Items, dict[str, tuple[Plays, Plays]]]:
    """Train every variant with every seed, and measure each."""
    found, items = Found(), Items(bench)
    simulation, dataset, division = bench.simulation, bench.dataset, bench.division
    plays = {
        name: (
            Plays.of(simulation, dataset, division, Part.VALIDATION, number),
            Plays.of(simulation, dataset, division, Part.TEST, number),
        )
        for name, number in PLAYS.items()
    }
    filtered = simulation.filter_oracle(FilterConfig(particles=given.particles))
    oracles: dict[str, Oracle | FilterOracle] = {ORACLE: simulation.oracle(), FILTER: filtered}
    for name, oracle in oracles.items():
        found.ndcg[name] = [items.of(OracleScorer(oracle, dataset.events), batch=len(items.asked))]
    for name, (fitted, asked) in plays.items():
        found.told[name] = {USUAL: [sessions.usual(fitted, asked)]}
    found.told["first play"][KNOWN] = [sessions.knowing(simulation, plays["first play"][1])]
    labels: Labels | None = None
    for seed in range(given.seeds):
        for name in given.only:
            if name in PEERS and seed >= given.peer_seeds:
                continue
            trained = train(bench, VARIANTS[name], seed=seed, epochs=given.epochs)
            found.models.setdefault(name, []).append(trained)
            found.ndcg.setdefault(name, []).append(items.of(trained.scorer))
            heads = trained.model.intents
            if heads is not None:
                if labels is None:
                    labels = Labels.of(heads.specs, bench.tokenizer, dataset, division)
                    _rules(found, labels, items)
                    for play, (fitted, asked) in plays.items():
                        own, shares = (labels.before(each.asked) for each in (fitted, asked))
                        found.told[play][BEFORE] = [sessions.learned(fitted, own, asked, shares)]
                _heads(found, name, trained, labels, items)
                for play, (fitted, asked) in plays.items():
                    own, shares = (head_shares(trained, each.asked) for each in (fitted, asked))
                    found.told[play].setdefault(name, []).append(sessions.learned(fitted, own, asked, shares))
            print(
                f"{name}, seed {seed}: {trained.seconds:.0f} s, {trained.epochs} epochs, "
                f"NDCG@10 {found.ndcg[name][-1].mean():.4f} (validation {trained.validation:.4f})",
                file=sys.stderr,
                flush=True,
            )
    return found, items, plays


def _rules(found: Found, labels: Labels, items: Items) -> None:
    asked = labels.places(items.asked)
    for head in labels.names:
        rule, found.rules[head] = recency(labels, head, asked)
        found.heads[head] = {MAJORITY: [majority(labels, head, asked)], RECENCY: [rule]}


def _heads(found: Found, name: str, trained: Trained, labels: Labels, items: Items) -> None:
    asked = labels.places(items.asked)
    logs = head_shares(trained, items.asked)
    for head in labels.names:
        shares, columns = labels.head(head)
        own = logs[:, columns]
        found.heads[head].setdefault(name, []).append(judge(shares[asked], own.argmax(1), own))


def differences(
    ours: Sequence[Mapping[str, Floats]], others: Sequence[Mapping[str, Floats]], members: NDArray[np.int64]
) -> dict[str, Any]:
    """Paired differences of the means over the seeds that both have; what has no seed stands beside each."""
    config, result = EvaluationConfig(), {}
    seeds = min(len(ours), len(others))
    for name in ours[0]:
        a = np.stack([each[name] for each in ours[:seeds]])
        b = np.stack([each[name] for each in others[:seeds]])
        both = ~np.isnan(a[0]) & ~np.isnan(b[0])
        found = compare(
            {name: a.mean(0)[both]},
            {name: b.mean(0)[both]},
            members[both],
            resamples=config.resamples,
            flips=config.flips,
            confidence=config.confidence,
            seed=config.seed,
        )
        by_seed = (a - b)[:, both].mean(1)
        result[name] = found[name].model_dump() | {"by seed": by_seed.tolist()}
    return result


def _means(values: Sequence[Mapping[str, Floats]]) -> dict[str, Any]:
    """Means over queries of each seed's values: over the seeds, and seed by seed."""
    by_seed = {name: [float(np.nanmean(each[name])) for each in values] for name in values[0]}
    return {name: float(np.mean(means)) for name, means in by_seed.items()} | {"by seed": by_seed}


def _mean_of_known(values: Sequence[Floats]) -> Floats:
    """The mean over those that are known for a query; NaN where none is."""
    known = ~np.isnan(values)
    return np.asarray(np.nansum(values, axis=0) / np.where(known.any(0), known.sum(0), np.nan))


def _table(
    values: Mapping[str, Sequence[Mapping[str, Floats]]], ours: str, members: NDArray[np.int64]
) -> dict[str, Any]:
    """Each row's means, and ``ours`` minus it."""
    rows = {name: _means(each) for name, each in values.items()}
    for name, row in rows.items():
        if ours in values and name != ours:
            same = [*values[name]] * len(values[ours]) if name in WITHOUT_SEED else values[name]
            row["difference"] = differences(values[ours], same, members)
    return rows


def report(found: Found, items: Items, plays: dict[str, tuple[Plays, Plays]]) -> dict[str, Any]:
    """All figures."""
    ndcg = {
        name: [{"all": each, "chosen": np.where(items.chosen, each, np.nan)} for each in values]
        for name, values in found.ndcg.items()
    }
    table = _table(ndcg, FED, items.members)
    if BESIDE in ndcg and NO_HEADS in ndcg:
        table[BESIDE]["minus no heads"] = differences(ndcg[BESIDE], ndcg[NO_HEADS], items.members)
    for row in table.values():
        row["share of"] = {
            oracle: {part: row[part] / table[oracle][part] for part in ("all", "chosen")} for oracle in (ORACLE, FILTER)
        }
    heads = {
        head: {
            name: [
                {"hit": each.hit, "chosen": np.where(items.chosen, each.hit, np.nan), "loss": each.loss}
                for each in values
            ]
            for name, values in rows.items()
        }
        for head, rows in found.heads.items()
    }
    if heads:
        heads[ALL_HEADS] = {
            name: [
                {
                    metric: _mean_of_known([heads[head][name][seed][metric] for head in found.heads])
                    for metric in values[seed]
                }
                for seed in range(len(values))
            ]
            for name, values in next(iter(heads.values())).items()
        }
    told = {}
    for play, rows in found.told.items():
        asked = plays[play][1]
        columns = {
            name: [{"hit": each.hit, "kind": each.kind, "loss": each.loss} for each in values]
            for name, values in rows.items()
        }
        told[play] = {"sessions": len(asked.intent), "rows": _table(columns, FED, asked.member)}
        if FED in rows:
            mean = np.mean([each.shares for each in rows[FED]], axis=0)
            told[play]["confusion"] = sessions.confusion(asked.intent, mean).tolist()
            told[play]["of intent"] = np.bincount(asked.intent, minlength=len(INTENTS)).tolist()
    return {
        "targets": len(items.asked),
        "chosen": int(items.chosen.sum()),
        "models": {
            name: [
                {
                    "parameters": each.parameters,
                    "encoder parameters": each.encoder_parameters,
                    "seconds": each.seconds,
                    "epochs": each.epochs,
                    "validation": each.validation,
                }
                for each in values
            ]
            for name, values in found.models.items()
        },
        "heads": {head: _table(rows, FED, items.members) for head, rows in heads.items()},
        "rules": found.rules,
        "items": table,
        "intents": list(INTENTS),
        "sessions": told,
    }


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=190)
    for head, rows in figures["heads"].items():
        rule = figures["rules"].get(head)
        title = f"a) {head}" + (f" (recency rule: last {rule['targets']})" if rule else "")
        console.print(_printed(title, rows, {"hit": "accuracy", "chosen": "of chosen plays", "loss": "log loss"}))
    items = figures["items"]
    console.print(_printed("b) items: NDCG@10", items, {"all": "all plays", "chosen": "chosen"}, (ORACLE, FILTER)))
    if "minus no heads" in items.get(BESIDE, {}):
        for part, each in items[BESIDE]["minus no heads"].items():
            console.print(f"{BESIDE} minus {NO_HEADS}, {part}: {_interval(each)}")
    for play, each in figures["sessions"].items():
        title = f"c) true intent at the session's {play}, {each['sessions']:,} sessions"
        console.print(_printed(title, each["rows"], {"hit": "accuracy", "kind": "of the kind", "loss": "log loss"}))


def _printed(title: str, rows: Mapping[str, Any], columns: Mapping[str, str], shares: Sequence[str] = ()) -> Table:
    table = Table(title=f"{title}; Δ: '{FED}' minus the row", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("", no_wrap=True)
    for word in columns.values():
        table.add_column(word, justify="right")
        table.add_column("Δ", justify="right")
    for oracle in shares:
        table.add_column(f"of {oracle}, chosen", justify="right")
    for name, row in rows.items():
        cells = []
        for metric in columns:
            seeds = row["by seed"][metric]
            cells.append(f"{row[metric]:.4f}" + (f" ± {np.std(seeds):.4f}" if len(seeds) > 1 else ""))
            cells.append(_interval(row["difference"][metric]) if "difference" in row else "")
        cells += [f"{row['share of'][oracle]['chosen']:.1%}" for oracle in shares]
        table.add_row(name, *cells)
    return table


def _interval(difference: Mapping[str, Any]) -> str:
    value, low, high, seeds = (difference[name] for name in ("value", "low", "high", "by seed"))
    spread = f" ± {np.std(seeds):.4f}" if len(seeds) > 1 else ""
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}]{spread}"


def main() -> None:
    """Print the tables; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="service", choices=["tiny", "service", "long"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-seeds", type=int, default=1, help="seeds of GRU, LSTM and the TransAct-like encoder")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--particles", type=int, default=FilterConfig().particles)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(simulate(preset(given.preset)))
    figures = report(*measured(bench, given))
    settings = {name: getattr(given, name) for name in ("preset", "seeds", "peer_seeds", "epochs", "only", "particles")}
    if given.json is not None:
        given.json.write_text(json.dumps({"settings": settings} | figures, indent=1) + "\n", encoding="utf-8")
    show(figures)


if __name__ == "__main__":
    main()
