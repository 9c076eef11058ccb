"""Which part of what is learned from metadata costs the other targets, and what hidden titles lose without it.

    python benchmarks/cold/parts.py ml-1m --epochs 8 --variants "full model" "no heads" --json FILE

On a rehearsal: a tenth of the titles is hidden from the log without its test part, and validation targets ask for them.
They also chose the epoch and the trust in ids, so the other targets look a little better here than in bench.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench import FULL, IDS, measured, read, settings
from hide import Hidden
from rich import box
from rich.console import Console
from rich.table import Table

from palate.data import Part
from palate.foundation import FoundationModel
from palate.model import ModelConfig
from palate.train import PretrainConfig, pretrain
from palate.train.log import WholeLog

VARIANTS: dict[str, dict[str, Any]] = {
    FULL: {},
    IDS: {"tower": {"metadata": False}},
    "no heads": {"intents": None},
    "ids alone, no heads": {"tower": {"metadata": False}, "intents": None},
    "heads beside": {"intents": {"feed": "none"}},
    "id dropout 0.02": {"tower": {"id_dropout": 0.02}},
    "id dropout 0.05": {"tower": {"id_dropout": 0.05}},
    "metadata dropout 0": {"tower": {"metadata_dropout": 0.0}},
    "metadata dropout 0.5": {"tower": {"metadata_dropout": 0.5}},
    "metadata width 4": {"tower": {"metadata_width": 4}},
}
"""Name → what differs in the model."""


def changed(config: PretrainConfig, change: dict[str, Any]) -> PretrainConfig:
    """The training with another model."""
    model = config.model.model_dump()
    for part, values in change.items():
        model[part] = None if values is None else model[part] | values
    return config.model_copy(update={"model": ModelConfig.model_validate(model)})


def rehearsal(data: str, share: float, seed: int) -> Hidden:
    """Some titles hidden from what there is before the test part, for the validation targets."""
    drawn = Hidden.draw(read(data), share=share, seed=seed)
    earlier = drawn.division.part != Part.TEST
    before = replace(drawn.dataset, events=drawn.dataset.events.filter(pl.Series(earlier)))
    division = replace(drawn.division, part=drawn.division.part[earlier])
    return Hidden(before, division, drawn.items, Part.VALIDATION)


def main() -> None:
    """Print a row for each variant, the mean of the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="service, tiny, or a data set of PALATE_DATA such as ml-1m")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--share", type=float, default=0.1, help="share of the titles that are hidden")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in given.seeds:
        hidden = rehearsal(given.data, given.share, seed)
        for name in given.variants:
            config = changed(settings(given.data, metadata=True), VARIANTS[name])
            config = config.model_copy(update={"epochs": given.epochs, "seed": seed})
            with tempfile.TemporaryDirectory(prefix="palate-parts-") as work:
                model = FoundationModel(pretrain(WholeLog(*hidden.log), Path(work) / "run", config))
                found = measured(hidden, model.scorer)
            row = {"variant": name, "seed": seed}
            row |= {ranking: float(values["ndcg@10"].mean()) for ranking, values in found.items()}
            row["other targets, MRR"] = float(found["other targets"]["mrr"].mean())
            inferred = model.run.model.tower.inferred
            row["trust"] = None if inferred is None else float(inferred.trust)
            print(row, flush=True)
            rows.append(row)
            if given.json is not None:
                given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    names = [name for name in rows[0] if name not in ("variant", "seed")]
    table = Table("NDCG@10", *names, box=box.SIMPLE_HEAD)
    for variant in given.variants:
        own = [row for row in rows if row["variant"] == variant]
        means = (np.mean([row[name] for row in own]) if own[0][name] is not None else None for name in names)
        table.add_row(variant, *("–" if mean is None else f"{mean:.4f}" for mean in means))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
