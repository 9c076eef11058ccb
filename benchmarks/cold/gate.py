"""How the item tower moves from metadata to the id as an item is acted on: a picture of the learned gate.

python benchmarks/cold/gate.py --out docs/img/gate.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import SERVICE, service, trained
from palate.tokens.ages import view_bucket


def main() -> None:
    """Train on the simulated service and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/img/gate.png"))
    parser.add_argument("--epochs", type=int, default=SERVICE.epochs)
    given = parser.parse_args()
    _, dataset = service()
    model = trained(dataset, SERVICE.model_copy(update={"epochs": given.epochs}))
    tower, counts = model.run.model.tower, model.run.tokenizer.items.table["count"].to_numpy()
    assert tower.gate is not None
    assert tower.gate.views is not None
    gate = torch.sigmoid(tower.gate.views).tolist()
    taught = range(1, int(view_bucket(counts).max()) + 1)
    figure, (share, items) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), height_ratios=(2, 1))
    share.plot([0, *(2 ** (bucket - 1) for bucket in taught)], [0, *(gate[bucket] for bucket in taught)], marker="o")
    share.set_xscale("symlog", linthresh=1, base=2)
    share.set_ylabel("share of the id, g")
    share.set_ylim(0, 1)
    share.set_title("From metadata to the id")
    items.bar(
        [2 ** (bucket - 1) for bucket in taught],
        [int((view_bucket(counts) == bucket).sum()) for bucket in taught],
        width=[0.5 * 2 ** (bucket - 1) for bucket in taught],
    )
    items.set_ylabel("items")
    items.set_xlabel("training events of the item (at most)")
    for axes in (share, items):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(given.out, dpi=120)
    print({2 ** (bucket - 1): round(gate[bucket], 3) for bucket in taught})


if __name__ == "__main__":
    main()
