"""Pictures of a log as inline SVG; each is drawn only where its data exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from palate.data.advice.calendar import daily_volume
from palate.data.advice.drawing import ACCENT, INK, LINE, QUIET, SECOND_ACCENT, draw
from palate.data.advice.evidence import DAY, HOUR, SECOND, Evidence
from palate.data.advice.wording import day_text, percent
from palate.words import SESSION_ID

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_MOST_BARS: Final = 12
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_GAP_TICKS: Final = {
    1: "1 s",
    60: "1 min",
    3600: "1 h",
    86_400: "1 day",
    30 * 86_400: "1 month",
}


@dataclass(frozen=True)
class Plot:
    """One picture."""

    title: str
    caption: str
    """How to read it."""
    svg: str
    wide: bool = False


def plots(evidence: Evidence, missing: Mapping[str, float]) -> Iterator[Plot]:
    """All pictures that the data allow; ``missing`` holds the share of missing values of each column."""
    if evidence.dataset.has_time:
        yield _volume(evidence)
    if evidence.has_clock:
        yield _week(evidence)
    yield _popularity(evidence)
    yield _histories(evidence)
    if evidence.dataset.has_time and (evidence.gaps > 0).any():
        yield _gaps(evidence)
    if len(evidence.kind_names) > 1:
        yield _types(evidence)
    if missing:
        yield _missing(missing)
    if any(each.cold_item_share is not None for each in (evidence.parts.figures or {}).values()):
        yield _parts(evidence)


def _volume(evidence: Evidence) -> Plot:
    first, volume = daily_volume(evidence.times)
    days = np.arange(len(volume))
    with draw("volume", width=9.6, height=2.5) as (axis, drawn):
        axis.fill_between(days, volume, step="mid", color=ACCENT, alpha=0.18, linewidth=0)
        axis.step(days, volume, where="mid", color=ACCENT, linewidth=1.4)
        ticks = np.unique(np.linspace(0, len(volume) - 1, min(7, len(volume))).round().astype(int))
        axis.set_xticks(ticks, [day_text(first + int(each)) for each in ticks])
        axis.set_ylim(bottom=0)
        axis.set_ylabel("events a day")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        for cut, name in zip(evidence.parts.cuts or (), ("validation", "test"), strict=False):
            place = np.datetime64(cut[:10]).astype("datetime64[D]").astype(int) - first
            axis.axvline(place, color=INK, linewidth=1, linestyle=(0, (3, 3)))
            _label(axis, name, place)
    caption = "Holes and steps are faults of the logging more often than of the members."
    return Plot("Events a day", caption, drawn.svg, wide=True)


def _popularity(evidence: Evidence) -> Plot:
    counts = np.sort(evidence.item_counts)[::-1]
    ranks = _log_points(len(counts))
    with draw("popularity") as (axis, drawn):
        axis.plot(ranks, counts[ranks - 1], color=ACCENT, linewidth=2)
        axis.set(xscale="log", yscale="log", xlabel="rank of the item", ylabel="events")
        _plain_numbers(axis.xaxis)
        _plain_numbers(axis.yaxis)
    share = float(counts[: max(1, len(counts) // 10)].sum() / evidence.events)
    caption = f"The most popular tenth of the items has {percent(share)} of the events."
    return Plot("Popularity", caption, drawn.svg)


def _histories(evidence: Evidence) -> Plot:
    lengths = evidence.lengths
    with draw("histories") as (axis, drawn):
        _log_histogram(axis, lengths, start=0.5)
        _plain_numbers(axis.xaxis)
        axis.set(xlabel="events of a member", ylabel="members")
        median = float(np.median(lengths))
        axis.axvline(median, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        _label(axis, f"median {median:g}", median)
    caption = f"{percent(float((lengths == 1).mean()))} of the members have a single event."
    return Plot("Lengths of histories", caption, drawn.svg)


def _gaps(evidence: Evidence) -> Plot:
    gaps = evidence.gaps
    positive = gaps[gaps > 0] / SECOND
    stated = SESSION_ID in evidence.dataset.events.columns
    with draw("gaps") as (axis, drawn):
        _log_histogram(axis, positive, start=None)
        low, high = positive.min(), positive.max()
        ticks = {at: name for at, name in _GAP_TICKS.items() if low <= at <= high}
        if len(ticks) > 1:
            axis.set_xticks(list(ticks), list(ticks.values()))
            axis.xaxis.set_minor_formatter(lambda *_: "")
        axis.set(xlabel="time to the member's next event", ylabel="events")
        if not stated:
            session = evidence.dataset.schema.session_gap_seconds
            axis.axvline(session, color=INK, linewidth=1, linestyle=(0, (3, 3)))
    none = float((gaps == 0).sum() / max(1, (gaps >= 0).sum()))
    caption = "Sessions are stated." if stated else "Right of the dashed line a new session starts."
    if none:
        caption += f" {percent(none)} of the gaps are 0 and not shown."
    return Plot("Gaps", caption, drawn.svg)


def _week(evidence: Evidence) -> Plot:
    # 1 January 1970 was a Thursday.
    weekday = (evidence.times // DAY + 3) % 7
    hour = evidence.times % DAY // HOUR
    grid = np.bincount(weekday * 24 + hour, minlength=7 * 24).reshape(7, 24)
    with draw("week", width=9.6, height=2.5) as (axis, drawn):
        axis.pcolormesh(np.arange(25), np.arange(8), grid, cmap=drawn.heat, edgecolor="white", linewidth=1)
        axis.set_yticks(np.arange(7) + 0.5, _WEEKDAYS)
        axis.set_xticks(np.arange(0, 24, 3) + 0.5, [f"{each:02d}" for each in range(0, 24, 3)])
        axis.invert_yaxis()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
        axis.set_xlabel("hour, UTC")
    busiest = int(grid.sum(axis=0).argmax())
    return Plot("Hours of the week", f"The darker, the more events; most at {busiest:02d} UTC.", drawn.svg, wide=True)


def _types(evidence: Evidence) -> Plot:
    counts = np.bincount(evidence.kind, minlength=len(evidence.kind_names))
    targets = set(evidence.dataset.schema.target_event_types or evidence.kind_names)
    order = np.argsort(-counts, kind="stable")[:_MOST_BARS]
    names = [evidence.kind_names[each] for each in order]
    shares = [float(counts[each] / evidence.events) for each in order]
    colours = [ACCENT if name in targets else QUIET for name in names]
    with draw("types", height=_bar_height(len(names))) as (axis, drawn):
        _bars(axis, names, shares, colours)
    caption = "Coloured: to be predicted. Grey: input only."
    if len(order) < len(counts):
        caption += f" The {len(counts) - len(order):,} rarest types are not shown."
    return Plot("Types of events", caption, drawn.svg)


def _missing(missing: Mapping[str, float]) -> Plot:
    shown = sorted(missing.items(), key=lambda each: (-each[1], each[0]))[:_MOST_BARS]
    with draw("missing", height=_bar_height(len(shown))) as (axis, drawn):
        _bars(axis, [name for name, _ in shown], [share for _, share in shown], [SECOND_ACCENT] * len(shown))
    return Plot("Missing values", "Share of the rows without a value.", drawn.svg)


def _parts(evidence: Evidence) -> Plot:
    figures = {name: each for name, each in (evidence.parts.figures or {}).items() if name != "train"}
    labels = ("new member", "cold item", "not yet there")
    places = np.arange(len(labels))
    with draw("parts") as (axis, drawn):
        for step, (name, each) in enumerate(figures.items()):
            shares = [each.new_member_share or 0.0, each.cold_item_share or 0.0, each.unreachable_share or 0.0]
            x = places + (step - (len(figures) - 1) / 2) * 0.38
            bars = axis.bar(x, shares, 0.34, color=(QUIET, ACCENT)[step % 2], label=name)
            axis.bar_label(bars, [percent(share) for share in shares], padding=2, fontsize=9, color=INK)
        axis.set_xticks(places, labels)
        axis.tick_params(axis="x", length=0)
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axis.margins(y=0.15)
        axis.set_ylim(bottom=0)
        axis.set_ylabel("share of the targets")
        axis.legend(frameon=False)
    sizes = ", ".join(f"{each.targets:,} in {name}" for name, each in figures.items())
    return Plot("What is hard in the held-out parts", f"Targets: {sizes}.", drawn.svg)


def _bars(axis: Axes, names: list[str], shares: list[float], colours: list[str]) -> None:
    shown = [name if len(name) <= 28 else name[:27] + "…" for name in names]
    places = np.arange(len(names))
    bars = axis.barh(places, shares, 0.62, color=colours)
    axis.set_yticks(places, shown)
    axis.bar_label(bars, [percent(share) for share in shares], padding=3, fontsize=9, color=INK)
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.spines["bottom"].set_visible(False)
    axis.spines["left"].set_color(LINE)
    axis.set_xlim(0, max(shares) * 1.25)


def _label(axis: Axes, text: str, place: float) -> None:
    """Name a vertical line, on its right at the top."""
    axis.annotate(
        text,
        (place, 1),
        xytext=(4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        color=INK,
        fontsize=9,
    )


def _bar_height(bars: int) -> float:
    return max(1.4, 0.34 * bars + 0.5)


def _log_histogram(axis: Axes, values: npt.NDArray[np.generic], *, start: float | None) -> None:
    """Bars of equal width on a log axis; whole numbers get edges between them."""
    low = float(values.min()) if start is None else start
    edges = np.geomspace(low, float(values.max()) * 1.01 + (0.5 if start else 0), 33)
    if start is not None:
        edges = np.unique(np.floor(edges) + 0.5)
    counts, edges = np.histogram(values, edges if len(edges) > 1 else np.array([0.5, 1.5]))
    axis.bar(
        edges[:-1], counts, np.diff(edges), align="edge", color=ACCENT, alpha=0.85, edgecolor="white", linewidth=0.6
    )
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1e4 else _short(value))


def _plain_numbers(axis: Axis) -> None:
    """Powers of ten as 1, 10, 100, 1k, 1M on a log axis."""
    axis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1e3 else _short(value))
    axis.set_minor_formatter(lambda *_: "")


def _short(value: float) -> str:
    return f"{value / 1e3:g}k" if value < 1e6 else f"{value / 1e6:g}M"


def _log_points(length: int) -> npt.NDArray[np.int64]:
    """About 200 ranks from 1 to ``length``, evenly spread on a log axis."""
    return np.unique(np.geomspace(1, length, 200).round().astype(np.int64))
