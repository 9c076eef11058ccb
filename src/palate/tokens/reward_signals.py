"""What reward weights go by: the share of its runtime that a target was watched, and how it was rated."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from palate.config import Config
from palate.data import Dataset, Role, Schema, has_target_type, run_starts
from palate.errors import ConfigError
from palate.tokens.fields import numbers
from palate.words import ITEM_ID, USER_ID

Unit = Literal["milliseconds", "seconds", "minutes", "hours"]

_SECONDS: Final[dict[Unit, float]] = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
_RUNTIMES: Final = tuple(
    f"{what}_{unit}" for what in ("runtime", "duration") for unit in ("minutes", "seconds", "milliseconds", "hours")
)


class DurationReward(Config):
    """Factor 1 − a + a · share, with share = min(seconds watched / runtime, 1); the mean share where it is unknown.

    Seconds are those of all events of target types in the target's run of one item.
    """

    strength: float = Field(default=0.8, ge=0, le=1)
    """a: 0 for no effect, 1 for a weight in proportion to the share."""
    column: str | None = None
    """Column of events with the seconds; null: the first one that the schema calls a duration."""
    runtime: str | None = None
    """Column of items with the runtime; null: the first of runtime_minutes, runtime_seconds, … duration_hours."""
    runtime_unit: Unit | None = None
    """Unit of the runtime; null: by the end of the column's name."""


class RatingReward(Config):
    """Factor 1 − b + b · score, with score the rating on a scale from 0 (lowest) to 1; the mean score where unknown."""

    strength: float = Field(default=0.8, ge=0, le=1)
    """b: 0 for no effect, 1 for a weight in proportion to the score."""
    column: str = "rating"
    """Column of events with the rating; null cells are no rating."""
    lowest: float | None = None
    """Rating with the score 0; null: the lowest of a training target."""
    highest: float | None = None
    """Rating with the score 1; null: the highest of a training target."""

    @model_validator(mode="after")
    def _ascends(self) -> RatingReward:
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest} is not below highest {self.highest}")
        return self


def shares(
    events: pl.DataFrame, items: pl.DataFrame | None, schema: Schema, config: DurationReward
) -> NDArray[np.float64]:
    """Share of the item's runtime that was watched in each event's run, ``[events]`` in [0, 1]; NaN where unknown.

    A run of one item, whatever the schema's runs are of. `ConfigError` for columns that are not there or no numbers.
    """
    column = config.column or _duration_column(events, schema)
    seconds = np.where(has_target_type(events, schema), numbers(_numeric(events, column, "events")), np.nan)
    if items is None:
        raise ConfigError("rewards: durations need runtimes, and there is no items table")
    name, unit = _runtime(items, config)
    runtime = items.select(ITEM_ID, (_numeric(items, name, "items").cast(pl.Float64) * _SECONDS[unit]).alias("runtime"))
    joined = events.select(ITEM_ID).join(runtime, on=ITEM_ID, how="left", maintain_order="left")
    whole = numbers(joined["runtime"])
    by_item = schema.model_copy(update={"runs": schema.runs.model_copy(update={"by": "item"})})
    run = np.cumsum(run_starts(events, by_item, items)) - 1
    known = np.isfinite(seconds)
    watched = np.bincount(run, weights=np.where(known, seconds, 0.0).clip(0))
    known_run = np.bincount(run, weights=known) > 0
    usable = known_run[run] & np.isfinite(whole) & (whole > 0)
    return np.where(usable, (watched[run] / np.where(usable, whole, 1.0)).clip(0, 1), np.nan)


def ratings(
    events: pl.DataFrame, dataset: Dataset, config: RatingReward, target: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What each of ``target`` [events] was rated, ``[events]``; NaN where nothing is known.

    Its own rating, else the member's next one of the item before another run of it that has an event of a target type.
    ``events`` are those of ``dataset`` that may be known.
    """
    rating = _numeric(events, config.column, "events").cast(pl.Float64).fill_nan(None)
    run = np.cumsum(run_starts(events, dataset.schema, dataset.items))
    turns = pl.Series(target | has_target_type(events, dataset.schema))
    # Each event belongs to the latest run in which the member turned to the item.
    viewing = pl.when("turns").then("run").forward_fill().over(USER_ID, ITEM_ID)
    found = (
        events.select(USER_ID, ITEM_ID, rating.alias("rating"), pl.Series("run", run), turns.alias("turns"))
        .with_columns(viewing.alias("viewing"))
        .select(pl.col("rating").backward_fill().over(USER_ID, ITEM_ID, "viewing"))
    )
    return numbers(found["rating"])


def _duration_column(events: pl.DataFrame, schema: Schema) -> str:
    for name, column in schema.events.items():
        if column.duration and column.role == Role.POST_ACTION and name in events.columns:
            return name
    raise ConfigError(
        "rewards: the schema calls no column of events a duration", hint="set duration: true there, or give the column"
    )


def _runtime(items: pl.DataFrame, config: DurationReward) -> tuple[str, Unit]:
    """The column of items with the runtime, and its unit."""
    name = config.runtime
    if name is None:
        name = next((each for each in _RUNTIMES if each in items.columns), None)
    if name is None:
        raise ConfigError(
            f"rewards: durations need runtimes, and the items have none of {', '.join(_RUNTIMES)}",
            hint=f"give the column and its unit; numeric columns: {_numeric_columns(items)}",
        )
    if config.runtime_unit is not None:
        return name, config.runtime_unit
    for unit in _SECONDS:
        if name.endswith(f"_{unit}"):
            return name, unit
    raise ConfigError(f"rewards: the unit of {name!r} is not in its name", hint="give runtime_unit")


def _numeric(table: pl.DataFrame, name: str, what: str) -> pl.Series:
    if name not in table.columns:
        raise ConfigError(f"rewards: {what} has no column {name!r}", hint=f"numeric columns: {_numeric_columns(table)}")
    if not table.schema[name].is_numeric():
        raise ConfigError(
            f"rewards: column {name!r} of {what} holds {table.schema[name]}, not numbers",
            hint=f"numeric columns: {_numeric_columns(table)}",
        )
    return table[name]


def _numeric_columns(table: pl.DataFrame) -> str:
    fixed = (USER_ID, ITEM_ID)
    return ", ".join(name for name, kind in table.schema.items() if kind.is_numeric() and name not in fixed) or "none"
