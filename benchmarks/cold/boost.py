"""What hidden titles would gain among all by being put higher, and what that would cost the others.

    python benchmarks/cold/boost.py ml-1m --epochs 8

On a rehearsal: of what one draw leaves of the log, without its test part, another tenth of the titles is hidden, and
validation targets ask for them. Everything that is said of items without a training event is raised by some amounts.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench import measured, read, settings
from hide import Hidden
from rich import box
from rich.console import Console
from rich.table import Table

from palate.foundation import FoundationModel
from palate.train import pretrain
from palate.train.log import WholeLog

BOOSTS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Added to the logarithm of a new title's odds."""


def main() -> None:
    """Train once, print a row for each boost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="service, tiny, or a data set of PALATE_DATA such as ml-1m")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--share", type=float, default=0.1, help="share of the titles that are hidden")
    given = parser.parse_args()
    hidden = Hidden.draw(read(given.data), share=given.share, seed=given.seed).again(share=given.share, seed=1)
    config = settings(given.data, metadata=True).model_copy(update={"epochs": given.epochs, "seed": given.seed})
    with tempfile.TemporaryDirectory(prefix="palate-boost-") as work:
        model = FoundationModel(pretrain(WholeLog(*hidden.log), Path(work) / "run", config))
    inferred = model.run.model.tower.inferred
    assert inferred is not None
    level = inferred.mean[-1].item()
    table = Table("boost", "among hidden", "among all", "other targets", box=box.SIMPLE_HEAD)
    for boost in BOOSTS:
        inferred.mean[-1] = level + boost
        found = measured(hidden, model.scorer)
        table.add_row(f"{boost:g}", *(f"{found[ranking]['ndcg@10'].mean():.4f}" for ranking in found))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
