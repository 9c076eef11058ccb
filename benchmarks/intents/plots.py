"""Draws what bench.py measured, for docs/intents.md: how well sessions' true intents are told.

python benchmarks/intents/plots.py benchmarks/intents/metrics.json [--play "second play"] [--out docs/img]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
Floats = NDArray[np.float64]


def confusion(axes: Axes, told: Floats, sessions: NDArray[np.int64], names: list[str]) -> AxesImage:
    """How many times as probable each intent is told (columns) where each is true (rows), against all sessions.

    ``told`` [true, told] are mean probabilities, ``sessions`` how many have each true intent.
    """
    usual = sessions @ told / sessions.sum()
    times = np.where(sessions[:, None] > 0, told / usual, np.nan)
    most = np.log2(4)
    image = axes.imshow(np.log2(times), cmap="RdBu_r", vmin=-most, vmax=most)
    for row, column in np.argwhere(times >= 1.2):
        light = np.log2(times[row, column]) > 0.7 * most
        text, color = f"{times[row, column]:.1f}", "white" if light else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=color)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    rows = [f"{name} ({n:,})" for name, n in zip(names, sessions, strict=True)]
    axes.set_yticks(range(len(names)), rows, fontsize=7)
    axes.set(xlabel="told", ylabel="true (sessions)")
    return image


def main() -> None:
    """Write intents-confusion.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=Path, help="what bench.py wrote with --json")
    parser.add_argument("--play", default="second play", help="which play of the session")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    given = parser.parse_args()
    figures = json.loads(given.metrics.read_text(encoding="utf-8"))
    found, names = figures["sessions"][given.play], figures["intents"]
    figure, axes = plt.subplots(figsize=(7.8, 6.8), layout="constrained")
    image = confusion(axes, np.array(found["confusion"]), np.array(found["of intent"]), names)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[-2, -1, 0, 1, 2])
    bar.ax.set_yticklabels(["¼", "½", "1", "2", "4"])
    bar.set_label("times as probable as in all sessions", fontsize=8)
    axes.set_title(f"What sessions are after, told at their {given.play}", fontsize=10)
    given.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.out / "intents-confusion.png", dpi=130)


if __name__ == "__main__":
    main()
