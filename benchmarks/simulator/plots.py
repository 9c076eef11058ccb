"""Draws what the simulated service produces, beside MovieTweetings where that is at hand, for docs/simulator.md.

    python benchmarks/simulator/plots.py [--out docs/img]

Also prints the figures that the document quotes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes

from palate.simulate import Simulation, preset, simulate

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
INK, OTHER, PALE = "#1f4e79", "#c8553d", "#9aa5b1"
ROOT = Path(__file__).parents[2]


def real_events() -> pl.DataFrame | None:
    """MovieTweetings' events, in milliseconds, if they are there."""
    folder = Path(os.environ.get("PALATE_DATA", ROOT.parent / "shared" / "data")) / "movietweetings"
    if not folder.is_dir():
        return None
    return pl.read_parquet(folder / "events.parquet").with_columns(pl.col("timestamp") * 1000)


def popularity(axes: Axes, plays: pl.DataFrame, real: pl.DataFrame | None) -> None:
    for events, label, color in ((plays, "simulated", INK), (real, "MovieTweetings", PALE)):
        if events is not None:
            counts = events.group_by("item_id").len()["len"].sort(descending=True)
            axes.loglog(np.arange(1, len(counts) + 1), counts / counts.sum(), color=color, label=label)
    axes.set(title="Popularity", xlabel="rank of the item", ylabel="share of the plays")
    axes.legend(frameon=False)


def history_lengths(axes: Axes, plays: pl.DataFrame, real: pl.DataFrame | None) -> None:
    for events, color in ((plays, INK), (real, PALE)):
        if events is not None:
            lengths = events.group_by("user_id").len()["len"].sort(descending=True)
            axes.loglog(lengths, np.arange(1, len(lengths) + 1) / len(lengths), color=color)
    axes.set(title="History lengths", xlabel="plays (ratings)", ylabel="share of members with as many")


def session_lengths(axes: Axes, plays: pl.DataFrame) -> None:
    minutes = plays.group_by("session_id").agg(pl.col("event_value").sum() / 60)["event_value"]
    axes.hist(minutes.to_numpy().clip(0, 400), bins=np.arange(0, 410, 10), color=INK, density=True)
    axes.set(title="Minutes watched in a session", xlabel="minutes", ylabel="density")


def returns(axes: Axes, plays: pl.DataFrame, real: pl.DataFrame | None) -> None:
    bins = np.geomspace(0.02, 200, 50)
    for events, color in ((plays.unique("session_id", keep="first", maintain_order=True), INK), (real, PALE)):
        if events is not None:
            starts = events.sort("user_id", "timestamp")
            gaps = starts.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() / DAY_MS
            axes.hist(
                gaps.to_numpy(), bins=bins, weights=np.full(len(gaps), 1 / len(gaps)), color=color, histtype="step"
            )
    axes.set(title="Time between sessions (ratings)", xlabel="days", ylabel="share", xscale="log")


def rhythm(axes: Axes, plays: pl.DataFrame) -> None:
    weekend = (plays["timestamp"] - 4 * HOUR_MS) // DAY_MS % 7 >= 2  # 1 January 1970 was a Thursday
    weekend &= (plays["timestamp"] - 4 * HOUR_MS) // DAY_MS % 7 <= 3
    for mask, label, color, days in ((~weekend, "Monday to Friday", INK, 5), (weekend, "weekend", OTHER, 2)):
        hours = plays.filter(mask)["timestamp"] // HOUR_MS % 24
        axes.plot(np.bincount(hours.to_numpy(), minlength=24) / days / len(plays) * 7, label=label, color=color)
    axes.set(title="Plays by hour (UTC)", xlabel="hour", ylabel="share of an average day")
    axes.legend(frameon=False)


def context(axes: Axes, simulation: Simulation, plays: pl.DataFrame) -> None:
    joined = plays.join(simulation.items.select("item_id", "entity_type"), on="item_id")
    kinds = ["film", "episode", "documentary", "special", "short"]
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
    axes.set(title="After the launch", xlabel="days", ylabel="plays a day of an item", ylim=0)


def drift(axes: Axes, simulation: Simulation) -> None:
    taste = simulation.truth.taste().astype(float)
    taste /= np.linalg.norm(taste, axis=2, keepdims=True)
    likeness = (taste[:, :1] * taste).sum(axis=2)
    weeks = np.arange(taste.shape[1])
    axes.fill_between(weeks, *np.quantile(likeness, [0.1, 0.9], axis=0), color=INK, alpha=0.2, lw=0)
    axes.plot(weeks, likeness.mean(axis=0), color=INK)
    axes.set(title="Drift of tastes", xlabel="weeks", ylabel="cosine with the first week's", ylim=(0, 1.02))


def repeats(axes: Axes, plays: pl.DataFrame) -> None:
    """By number of the play in the member's history: items had before, without and with resumed ones."""
    ordered = plays.sort("user_id", "timestamp").with_columns(
        number=pl.int_range(pl.len()).over("user_id"), again=~pl.struct("user_id", "item_id").is_first_distinct()
    )
    for label, rows, color in (
        ("all plays", ordered, INK),
        ("without resumed ones", ordered.filter(pl.col("begins") != 1), OTHER),
    ):
        table = rows.group_by(pl.col("number") // 10 * 10).agg(pl.col("again").mean(), pl.len()).sort("number")
        table = table.filter(pl.col("len") > 200)
        axes.plot(table["number"], table["again"], color=color, label=label)
    axes.set(title="Items seen before", xlabel="number of the play", ylabel="share of plays", ylim=0)
    axes.legend(frameon=False)


def completion(axes: Axes, simulation: Simulation) -> None:
    plays = simulation.truth.plays
    last = plays.filter(
        (pl.col("item") != pl.col("item").shift(-1)) | (pl.col("viewing") != pl.col("viewing").shift(-1))
    )
    axes.hist(
        last["share"].to_numpy(), bins=np.linspace(0, 1, 41), color=INK, weights=np.full(len(last), 1 / len(last))
    )
    axes.set(
        title="How much of an item is seen", xlabel="share of its runtime", ylabel="share of viewings", yscale="log"
    )


def places(axes: Axes, simulation: Simulation) -> None:
    place = simulation.truth.viewings.filter(pl.col("place") >= 0)["place"].to_numpy()
    shares = np.bincount(place, minlength=10) / len(place)
    propensity = 1 / np.arange(1, 11) ** simulation.config.position_bias
    axes.bar(np.arange(1, 11), shares, color=INK, label="choices")
    axes.plot(np.arange(1, 11), propensity / propensity.sum(), "o-", color=OTHER, ms=3, label="propensity")
    axes.set(title="Place in the row", xlabel="place", ylabel="share")
    axes.legend(frameon=False)


def leaving(axes: Axes, simulation: Simulation) -> None:
    truth = simulation.truth
    last = truth.sessions.filter(pl.col("took_place")).group_by("member").agg(pl.col("day").max())
    members = (
        truth.members.with_row_index("member").with_columns(pl.col("member").cast(pl.Int64)).join(last, on="member")
    )
    for cause, color in (("price", PALE), ("content", OTHER), ("disappointment", INK)):
        days = members.filter(pl.col("left") == cause)["day"].sort()
        axes.step(days, np.arange(1, len(days) + 1) / len(members), color=color, label=cause)
    axes.set(title="Members who have left", xlabel="day", ylabel="share of members", xlim=(0, simulation.config.days))
    axes.legend(frameon=False)


def say(simulation: Simulation, plays: pl.DataFrame) -> None:
    """The figures that the document quotes."""
    counts = plays.group_by("item_id").len()["len"].sort(descending=True)
    minutes = plays.group_by("session_id").agg(pl.col("event_value").sum() / 60)["event_value"]
    starts = plays.unique("session_id", keep="first", maintain_order=True)
    gaps = starts.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() / DAY_MS
    hours = np.bincount((plays["timestamp"] // HOUR_MS % 24).to_numpy(), minlength=24)
    repeat = 1 - plays.unique(["user_id", "item_id"]).height / plays.height
    via = simulation.truth.viewings["via"].value_counts(normalize=True).sort("proportion", descending=True)
    print(f"events {simulation.events.height:,}, plays {plays.height:,}")
    print(f"top 1 % / 10 % of the items: {counts[: len(counts) // 100].sum() / counts.sum():.0%}", end=" / ")
    print(f"{counts[: len(counts) // 10].sum() / counts.sum():.0%} of the plays")
    print(f"session minutes: median {minutes.median():.0f}, under 10: {(minutes < 10).mean():.0%}")
    print(f"gaps between sessions, days: median {gaps.median():.1f}, mean {gaps.mean():.1f}")
    print(f"busiest hour {hours.argmax()} has {hours.max() / hours[3:6].mean():.0f} times the plays of 3 to 6")
    print(f"plays of items had before {repeat:.0%}; resumed {(plays['begins'] == 1).mean():.0%}; "
          f"next episodes in a run {(plays['begins'] == 2).mean():.0%}")  # fmt: skip
    print("led to titles: " + ", ".join(f"{name} {share:.0%}" for name, share in via.iter_rows()))
    print(
        "left: "
        + ", ".join(
            f"{a} {b:.1%}" for a, b in simulation.truth.members["left"].value_counts(normalize=True).iter_rows()
        )
    )
    print(
        "status: "
        + ", ".join(
            f"{a} {b:.1%}" for a, b in simulation.truth.viewings["status"].value_counts(normalize=True).iter_rows()
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    simulation = simulate(preset("service"))
    truth = simulation.truth.plays.select("user_id", "timestamp", "begins")
    plays = simulation.events.filter(pl.col("event_type") == "play").join(truth, on=["user_id", "timestamp"])
    plays = plays.sort("user_id", "timestamp")
    real = real_events()
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9})
    for name, draws in (
        (
            "simulator-volume.png",
            [
                lambda axes: popularity(axes, plays, real),
                lambda axes: history_lengths(axes, plays, real),
                lambda axes: session_lengths(axes, plays),
                lambda axes: returns(axes, plays, real),
            ],
        ),
        (
            "simulator-behaviour.png",
            [
                lambda axes: repeats(axes, plays),
                lambda axes: completion(axes, simulation),
                lambda axes: places(axes, simulation),
                lambda axes: leaving(axes, simulation),
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
    say(simulation, plays)


if __name__ == "__main__":
    main()
