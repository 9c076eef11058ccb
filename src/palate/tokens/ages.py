"""Ages of items: how long an item has been there, how often it was acted on before a moment, and how much it is in
demand: an event counts half in it after a half-life, a quarter after two.

Counts are kept on a grid of moments. What a moment knows lies strictly before the grid's last point at or before it, so
nothing of the present is ever counted, and all rows between two points see the same catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from palate.config import Config
from palate.tokens.age_counts import AgeCounts, demand_levels
from palate.tokens.batch import AGE_SHAPE, DEMAND_STEPS, LEAST_DEMAND
from palate.words import ITEM_ID, TIMESTAMP

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

LAUNCH_EDGES: Final = tuple(days * DAY_MS for days in (1, 3, 7, 14, 30, 60, 120, 240, 365, 1095))
"""Milliseconds since the launch that part its buckets; one more bucket is for data without time."""
LAUNCH_BUCKETS, VIEW_BUCKETS, DEMAND_BUCKETS = AGE_SHAPE


class AgeConfig(Config):
    """How the age of items is counted."""

    step_hours: float = Field(default=24, gt=0)
    """Time between two points of the grid; longer where the grid would be larger than ``cells``."""
    half_life_days: float = Field(default=3, gt=0)
    """Days after which an event counts half in the demand for its item."""
    cells: int = Field(default=1 << 25, ge=1)
    """Most points of the grid times items that are held, two bytes each. Beyond, its steps are longer, up to
    the half-life; where that is not enough, steps stay as they are and codes are counted when they are asked for."""

    @property
    def step_ms(self) -> int:
        """``step_hours`` in milliseconds."""
        return max(round(self.step_hours * HOUR_MS), 1)


@dataclass(frozen=True, kw_only=True)
class Ages:
    """Counts of the training events on a grid of moments.

    Without time there is one point, which knows the whole training part.
    """

    config: AgeConfig
    counts: pl.DataFrame
    """Columns ``item`` (place in the vocabulary, from 0), ``bin`` (steps since 1970) and ``events``; with time."""
    totals: NDArray[np.int64]
    """Training events of each item, ``[V]``."""
    step: int | None
    """Milliseconds between two points; none without time."""
    end: int
    """Milliseconds of the last training event; later ones are counted from the log that is scored."""
    counted: bool = False
    """Whether codes are counted when they are asked for, since a grid of them could not be held."""

    @classmethod
    def fit(cls, seen: pl.DataFrame, totals: NDArray[np.int64], config: AgeConfig, *, end: int | None) -> Ages:
        """From ``seen`` (``item``, ``bin``, ``events``) of all training events; ``end`` is the last one's moment.

        A bin is a step of the configuration, counted from 1970. Without time ``seen`` is empty and ``end`` none.
        """
        if end is None:
            return cls(config=config, counts=_empty(), totals=totals, step=None, end=0)
        first, last = seen["bin"].min(), seen["bin"].max()
        assert isinstance(first, int)
        assert isinstance(last, int)
        steps = 1
        # Steps longer than the whole log make the grid no smaller.
        while (last // steps - first // steps + 2) * len(totals) > config.cells and steps <= last - first:
            steps *= 2
        counted = (last // steps - first // steps + 2) * len(totals) > config.cells
        counted |= steps * config.step_ms > max(config.half_life_days * DAY_MS, config.step_ms)
        steps = 1 if counted else steps
        counts = (
            seen.group_by("item", pl.col("bin") // steps)
            .agg(pl.col("events").sum())
            .sort("item", "bin")
            .cast({"item": pl.Int64, "bin": pl.Int64, "events": pl.Int64})
        )
        return cls(
            config=config, counts=counts, totals=totals, step=steps * config.step_ms, end=end, counted=bool(counted)
        )

    def later(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events behind the training's last one: ``item_id``, ``bin``, ``events``; those of parts add up."""
        assert self.step is not None, "events with times"
        counted = (
            events.lazy()
            .filter(pl.col(TIMESTAMP) > self.end)
            .group_by(ITEM_ID, (pl.col(TIMESTAMP) // self.step).alias("bin"))
            .agg(pl.len().alias("events"))
        )
        return counted.cast({"bin": pl.Int64, "events": pl.Int64}).collect()

    def codes(
        self, launch: NDArray[np.float64], later: pl.DataFrame | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int16] | AgeCounts]:
        """As `grid`; where that could not be held, what counts its codes."""
        if not self.counted:
            return self.grid(launch, later)
        moments, counts, half_life = self._on_grid(later)
        counts = counts.sort("item", "bin")
        item, bins, events = (counts[name].to_numpy() for name in ("item", "bin", "events"))
        assert self.step is not None, "what is counted has times"
        return moments, AgeCounts(
            moments=moments,
            launch=launch,
            launch_edges=LAUNCH_EDGES,
            item=item,
            step=bins - int(moments[0]) // self.step,
            events=events,
            half_life=half_life,
        )

    def grid(
        self, launch: NDArray[np.float64], later: pl.DataFrame | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Moments ``[K]`` and the code of each item at each of them ``[K, V]``.

        ``launch`` [V] are milliseconds, NaN where unknown; there may be more items than in training, which have no
        training event. ``later`` counts events after the training's last one as well: ``item``, ``bin``, ``events``.
        """
        V = len(launch)
        if self.step is None:
            views = np.zeros(V, np.int64)
            views[: len(self.totals)] = self.totals
            return np.zeros(1, np.int64), _code(np.full(V, LAUNCH_BUCKETS - 1), view_bucket(views), 0)[None]
        moments, counts, half_life = self._on_grid(later)
        counts, K, first = counts.sort("bin", "item"), len(moments), int(moments[0]) // self.step
        item, bins, events = (counts[name].to_numpy() for name in ("item", "bin", "events"))
        # Point k stands at the beginning of step first + k, and knows the steps before it.
        known = np.searchsorted(bins, first + np.arange(-1, K))
        levels = demand_levels(item, bins - first, events, half_life, V)
        codes = np.empty((K, V), np.int16)
        running, level = np.zeros(V, np.int64), np.full(V, -np.inf)
        for k in range(K):
            new = slice(known[k], known[k + 1])
            running[item[new]] += events[new]
            level[item[new]] = levels[new]
            demand = demand_bucket(level - (k - 1) / half_life)
            codes[k] = _code(launch_bucket(moments[k] - launch), view_bucket(running), demand)
        return moments, codes

    def _on_grid(self, later: pl.DataFrame | None) -> tuple[NDArray[np.int64], pl.DataFrame, float]:
        """The moments, the counts of each item and step, and the half-life in steps."""
        assert self.step is not None, "a log with times"
        counts = self.counts
        if later is not None and later.height:
            counts = pl.concat([counts, later.select("item", "bin", "events").cast(pl.Int64)])
            counts = counts.group_by("item", "bin").agg(pl.col("events").sum())
        first, last = counts["bin"].min(), counts["bin"].max()
        assert isinstance(first, int)
        assert isinstance(last, int)
        half_life = self.config.half_life_days * DAY_MS / self.step
        K = last - first + 2 + int(-LEAST_DEMAND * half_life) + 1  # until a single event is forgotten
        return (first + np.arange(K, dtype=np.int64)) * self.step, counts, half_life

    def write(self, path: Path) -> None:
        """Save the counts as Parquet."""
        self.counts.write_parquet(path)

    def described(self) -> dict[str, object]:
        """What beside the counts has to be known to read them."""
        return {"config": self.config.model_dump(), "step": self.step, "end": self.end, "counted": self.counted}

    @classmethod
    def read(cls, path: Path, described: dict[str, object], totals: NDArray[np.int64]) -> Ages:
        """Read what `write` and `described` gave."""
        step, end = described["step"], described["end"]
        assert step is None or isinstance(step, int)
        assert isinstance(end, int)
        config = AgeConfig.model_validate(described["config"])
        counted = bool(described.get("counted", False))
        return cls(config=config, counts=pl.read_parquet(path), totals=totals, step=step, end=end, counted=counted)


def launch_bucket(age: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of the milliseconds since the launch; what has yet to launch (NaN: who knows when) is the youngest."""
    bucket = np.searchsorted(np.array(LAUNCH_EDGES, np.float64), np.nan_to_num(age), side="right")
    return np.where(np.isnan(age), 0, bucket)


def view_bucket(views: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2, 3-4, 5-8, …

    >>> view_bucket(np.array([0, 1, 2, 3, 4, 5, 8, 9]))
    array([0, 1, 2, 3, 3, 4, 4, 5])
    """
    bucket = np.ceil(np.log2(np.maximum(views, 1))).astype(np.int64) + 1
    return np.where(views > 0, np.minimum(bucket, VIEW_BUCKETS - 1), 0)


def demand_bucket(demand: NDArray[np.float64]) -> NDArray[np.int64]:
    """By the logarithm of the demand, of base two: four buckets each time it doubles.

    >>> demand_bucket(np.array([-np.inf, -8.1, -8, 0, 0.25, 1, 99]))
    array([  0,   0,   1,  33,  34,  37, 127])
    """
    bucket: NDArray[np.float64] = np.floor((demand - LEAST_DEMAND) * DEMAND_STEPS) + 1
    return bucket.clip(0, DEMAND_BUCKETS - 1).astype(np.int64)


def _code(launch: NDArray[np.int64], views: NDArray[np.int64], demand: NDArray[np.int64] | int) -> NDArray[np.int16]:
    code: NDArray[np.int16] = ((launch * VIEW_BUCKETS + views) * DEMAND_BUCKETS + demand).astype(np.int16)
    return code


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={"item": pl.Int64, "bin": pl.Int64, "events": pl.Int64})


class ViewCounter:
    """Counts the events of items by the step, part by part."""

    def __init__(self, config: AgeConfig, *, has_time: bool) -> None:
        self._config, self._has_time = config, has_time
        self._tables: list[pl.DataFrame] = []
        self._rows = 0
        self._end: int | None = None

    def add(self, events: pl.DataFrame) -> None:
        """Count the training events of a part, by `ITEM_ID` and `TIMESTAMP`."""
        if not self._has_time or not events.height:
            return
        last = events[TIMESTAMP].max()
        assert isinstance(last, int)
        self._end = last if self._end is None else max(self._end, last)
        step = (pl.col(TIMESTAMP) // self._config.step_ms).alias("bin")
        counted = events.group_by(ITEM_ID, step).agg(pl.len().alias("events"))
        self._tables.append(counted.cast({"events": pl.Int64}))
        self._rows += counted.height
        if self._rows > 2 * self._tables[0].height + 1_000_000:
            self._tables = [self._sum()]
            self._rows = self._tables[0].height

    def finish(self, vocabulary: pl.Series, totals: NDArray[np.int64]) -> Ages:
        """Ages of the items of ``vocabulary``, in its order."""
        if self._end is None:
            return Ages.fit(pl.DataFrame(), totals, self._config, end=None)
        places = pl.DataFrame({ITEM_ID: vocabulary}).with_row_index("item")
        seen = self._sum().join(places, on=ITEM_ID, how="inner").select("item", "bin", "events")
        return Ages.fit(seen, totals, self._config, end=self._end)

    def _sum(self) -> pl.DataFrame:
        if len(self._tables) == 1:
            return self._tables[0]
        return pl.concat(self._tables).group_by(ITEM_ID, "bin").agg(pl.col("events").sum())
