"""Draws what the simulated service produces, for docs/simulator.md.

python benchmarks/simulator/plots.py [--out docs/img]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes

from palate.simulate import Simulation, SimulationConfig, simulate

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
INK, OTHER = "#1f4e79", "#c8553d"


def popularity(axes: Axes, plays: pl.DataFrame) -> None:
    counts = plays.group_by("item_id").len()["len"].sort(descending=True)
    axes.loglog(np.arange(1, len(counts) + 1), counts, color=INK)
    axes.set(title="Plays of a title", xlabel="rank of the title", ylabel="plays")


def history_lengths(axes: Axes, events: pl.DataFrame) -> None:
    lengths = events.group_by("user_id").len()["len"].sort(descending=True)
    axes.loglog(lengths, np.arange(1, len(lengths) + 1) / len(lengths), color=INK)
    axes.set(title="History lengths", xlabel="events", ylabel="share of members with as many")


def rhythm(axes: Axes, plays: pl.DataFrame) -> None:
    weekend = (plays["timestamp"] - 4 * HOUR_MS) // DAY_MS % 7 >= 2  # 1 January 1970 was a Thursday
    weekend &= (plays["timestamp"] - 4 * HOUR_MS) // DAY_MS % 7 <= 3
    for mask, label, color, days in ((~weekend, "Monday to Friday", INK, 5), (weekend, "weekend", OTHER, 2)):
        hours = plays.filter(mask)["timestamp"] // HOUR_MS % 24
        axes.plot(np.bincount(hours.to_numpy(), minlength=24) / days / len(plays) * 7, label=label, color=color)
    axes.set(title="Plays by hour (UTC)", xlabel="hour", ylabel="share of an average day")
    axes.legend(frameon=False)


def sessions(axes: Axes, plays: pl.DataFrame) -> None:
    counts = plays.group_by("session_id").len()["len"].value_counts(sort=True).sort("len")
    axes.bar(counts["len"], counts["count"] / counts["count"].sum(), color=INK)
    axes.set(title="Plays of a session", xlabel="plays", ylabel="share of sessions")


def returns(axes: Axes, plays: pl.DataFrame) -> None:
    starts = plays.group_by("user_id", "session_id").agg(pl.col("timestamp").min()).sort("user_id", "timestamp")
    gaps = starts.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() / DAY_MS
    axes.hist(gaps.to_numpy(), bins=np.linspace(0, 14, 14 * 8 + 1), color=INK)
    axes.set(title="Time between sessions", xlabel="days", ylabel="sessions")


def ages(axes: Axes, simulation: Simulation, plays: pl.DataFrame) -> None:
    start = int(plays["timestamp"].min()) // DAY_MS * DAY_MS  # type: ignore[arg-type]
    launched = simulation.items.filter(pl.col("launch_time") >= start)
    joined = plays.join(launched, on="item_id")
    age = ((joined["timestamp"] - joined["launch_time"]) // DAY_MS).to_numpy()
    last = start + simulation.config.days * DAY_MS
    exposed = ((last - launched["launch_time"]) // DAY_MS).to_numpy()
    days = np.arange(60)
    alive = (exposed[:, None] > days).sum(axis=0)
    axes.plot(np.bincount(age, minlength=60)[:60] / np.maximum(alive, 1), color=INK)
    axes.set(title="After the launch", xlabel="days", ylabel="plays a day of a title", ylim=0)


def context(axes: Axes, simulation: Simulation, plays: pl.DataFrame) -> None:
    joined = plays.join(simulation.items.select("item_id", "entity_type"), on="item_id")
    kinds = ["film", "season", "documentary", "special", "short"]
    bottom = np.zeros(4)
    devices = ["tv", "web", "tablet", "phone"]
    for kind, shade in zip(kinds, plt.cm.viridis(np.linspace(0.1, 0.9, 5)), strict=True):
        share = np.array(
            [(joined.filter(pl.col("device") == device)["entity_type"] == kind).mean() for device in devices]
        )
        axes.bar(devices, share, bottom=bottom, label=kind, color=shade)
        bottom += share
    axes.set(title="What is played on which device", ylabel="share of plays", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)


def drift(axes: Axes, simulation: Simulation) -> None:
    taste = simulation.truth.arrays["taste"].astype(float)
    taste /= np.linalg.norm(taste, axis=2, keepdims=True)
    likeness = (taste[0] * taste).sum(axis=2)
    weeks = np.arange(len(taste))
    axes.fill_between(weeks, *np.quantile(likeness, [0.1, 0.9], axis=1), color=INK, alpha=0.2, lw=0)
    axes.plot(weeks, likeness.mean(axis=1), color=INK)
    axes.set(title="Drift of tastes", xlabel="weeks", ylabel="cosine with the first week's", ylim=(0, 1.02))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    simulation = simulate(SimulationConfig())
    plays = simulation.events.filter(pl.col("event_type") == "play")
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9})
    for name, draws in (
        (
            "simulator-volume.png",
            [
                lambda axes: popularity(axes, plays),
                lambda axes: history_lengths(axes, simulation.events),
                lambda axes: sessions(axes, plays),
                lambda axes: returns(axes, plays),
            ],
        ),
        (
            "simulator-signal.png",
            [
                lambda axes: rhythm(axes, plays),
                lambda axes: context(axes, simulation, plays),
                lambda axes: ages(axes, simulation, plays),
                lambda axes: drift(axes, simulation),
            ],
        ),
    ):
        figure, grid = plt.subplots(1, 4, figsize=(12, 2.7), layout="constrained")
        for axes, draw in zip(grid, draws, strict=True):
            draw(axes)
        figure.savefig(folder / name, dpi=90, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
