"""A log that nothing is wrong with, in which each test plants one fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pytest

from palate.data import Column, Dataset, Kind, Role, Schema, inspect
from palate.data.advice import Finding

START = 1_672_617_600_000
"""2 January 2023, a Monday."""
DAY, HOUR, MINUTE, SECOND = 86_400_000, 3_600_000, 60_000, 1_000
DAYS = 120
ZONES = {"us": -6, "gb": 0, "jp": 9}


@dataclass(frozen=True)
class Log:
    """Three tables and a schema."""

    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    schema: Schema = field(default_factory=Schema)

    def having(self, **changes: object) -> Log:
        return replace(self, **changes)

    def with_events(self, *columns: pl.Series | pl.Expr) -> Log:
        return replace(self, events=self.events.with_columns(*columns))

    def with_items(self, *columns: pl.Series | pl.Expr) -> Log:
        return replace(self, items=self.items.with_columns(*columns))

    def with_users(self, *columns: pl.Series | pl.Expr) -> Log:
        return replace(self, users=self.users.with_columns(*columns))

    def known_before(self, name: str, kind: Kind = Kind.CATEGORICAL) -> Log:
        """The log with a column of events stated as known at request time."""
        stated = {**self.schema.events, name: Column(role=Role.REQUEST_TIME, kind=kind)}
        return replace(self, schema=self.schema.model_copy(update={"events": stated}))

    def plus(self, rows: pl.DataFrame) -> Log:
        """The log with more events; columns that they lack are missing."""
        return replace(self, events=pl.concat([self.events, rows], how="diagonal_relaxed"))

    def dataset(self) -> Dataset:
        stated = self.schema if self.schema.model_fields_set else None
        return Dataset.from_frames(self.events, self.items, self.users, schema=stated)

    def findings(self) -> tuple[Finding, ...]:
        return inspect(self.dataset()).findings


@pytest.fixture(scope="session")
def clean() -> Log:
    """500 members, 200 items, about 22,000 plays and trailers over 120 days, by the clock of three countries."""
    return make_log()


@pytest.fixture
def found(clean: Log) -> Callable[[Log, str], Finding]:
    """The one finding of a code in a planted log; the clean one has none (see `test_clean`)."""

    def _found(log: Log, code: str) -> Finding:
        findings = log.findings()
        mine = [each for each in findings if each.code == code]
        assert len(mine) == 1, [each.code for each in findings]
        return mine[0]

    return _found


def make_log(seed: int = 0, members: int = 500, items: int = 200) -> Log:
    draw = np.random.default_rng(seed)
    country = np.array(list(ZONES))[draw.integers(0, 3, members)]
    offset = np.array([ZONES[each] for each in country])
    lengths = np.clip(draw.lognormal(3.6, 0.55, members), 8, 120).astype(int)
    appeal = draw.normal(0, 0.9, items)
    taste = appeal + draw.gumbel(size=(members, items))
    ranked = np.argsort(-taste, axis=1)
    item = np.concatenate([draw.permutation(row[:length]) for row, length in zip(ranked, lengths, strict=True)])
    member = np.repeat(np.arange(members), lengths)
    session = np.concatenate([np.arange(length) // 4 for length in lengths])
    key = member * 1000 + session
    _, which = np.unique(key, return_inverse=True)
    which = which.reshape(-1)
    day = draw.integers(0, DAYS, which.max() + 1)
    hour = draw.normal(19, 3, which.max() + 1)
    start = (day * DAY + hour * HOUR).astype(np.int64)
    within = np.concatenate([np.arange(length) % 4 for length in lengths])
    spacing = draw.lognormal(np.log(40), 0.6, len(member)) * MINUTE
    times = START + start[which] + (within * spacing.mean() + spacing).astype(np.int64) - offset[member] * HOUR
    times = START + (times - START) % (DAYS * DAY)
    runtime = draw.integers(20, 150, items)
    watched = np.round(runtime[item] * 60 * draw.beta(4, 2, len(item)), 1)
    kind = np.where(draw.random(len(item)) < 0.9, "play", "trailer")
    events = pl.DataFrame(
        {
            "user_id": member + 1,
            "item_id": item + 1000,
            "timestamp": times,
            "event_type": kind,
            "event_id": [f"e{number}" for number in range(len(item))],
            "session_id": [f"{a}-{b}-{c}" for a, b, c in zip(member, session, times // DAY, strict=True)],
            "device": np.array(["tv", "phone", "web"])[draw.integers(0, 3, len(item))],
            "watched_seconds": watched,
            "stars": draw.integers(1, 6, len(item)),
        }
    )
    catalogue = pl.DataFrame(
        {
            "item_id": np.arange(items) + 1000,
            "title": [f"The {number} of the Lost and Found" for number in range(items)],
            "genre": np.array(["drama", "crime", "comedy", "sport"])[draw.integers(0, 4, items)],
            "runtime_minutes": runtime,
            "launch_time": START - draw.integers(1, 300, items) * DAY,
        }
    )
    people = pl.DataFrame(
        {
            "user_id": np.arange(members) + 1,
            "country": country,
            "age": draw.integers(16, 80, members),
            "joined": START - draw.integers(1, 900, members) * DAY,
        }
    )
    columns = {
        "device": Column(role=Role.REQUEST_TIME, kind=Kind.CATEGORICAL),
        "watched_seconds": Column(role=Role.POST_ACTION, kind=Kind.NUMERIC, duration=True),
    }
    return Log(events, catalogue, people, Schema(events=columns, target_event_types=("play",)))
