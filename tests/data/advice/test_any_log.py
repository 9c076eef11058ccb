"""Whatever a log holds, inspection answers: it is the tool for logs that nobody has looked at yet."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palate.data import Column, Dataset, Kind, Role, Schema, inspect
from palate.data.advice.page import page
from palate.errors import PalateError

KINDS = ("constant", "missing", "few", "many", "floats", "extreme", "truth", "lists", "vectors", "text", "times")


def column(kind: str, rows: int, draw: np.random.Generator) -> pl.Series:
    numbers = draw.integers(0, 1000, rows)
    made: dict[str, object] = {
        "constant": [7] * rows,
        "missing": [None] * rows,
        "few": numbers % 4,
        "many": [f"v{each}" for each in range(rows)],
        "floats": np.where(numbers % 9 == 0, np.nan, draw.normal(size=rows)),
        "extreme": np.array([0.0, 1e308, -1e308, np.inf, 5e-324])[numbers % 5],
        "truth": numbers % 2 == 0,
        "lists": [["a", "b"][: each % 3] for each in numbers],
        "vectors": [[float(each), 1.0] for each in numbers],
        "text": [f"the {each} of a long line of words, and more {each % 7}" for each in numbers],
        "times": [f"20{10 + each % 14}-0{1 + each % 9}-1{each % 9}" for each in numbers],
    }
    series = pl.Series(made[kind])
    return series.set(pl.Series(draw.random(rows) < 0.2), None) if kind not in ("lists", "vectors") else series


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.integers(1, 400),
    seed=st.integers(0, 2**32 - 1),
    timed=st.booleans(),
    typed=st.booleans(),
    kinds=st.lists(st.sampled_from(KINDS), max_size=4, unique=True),
    request_time=st.booleans(),
    with_tables=st.booleans(),
    name=st.sampled_from(["value", "rating", "duration", "country", "runtime"]),
)
def test_any_log_is_inspected(
    rows: int,
    seed: int,
    timed: bool,
    typed: bool,
    kinds: list[str],
    request_time: bool,
    with_tables: bool,
    name: str,
) -> None:
    draw = np.random.default_rng(seed)
    events = pl.DataFrame(
        {
            "user_id": draw.integers(0, 1 + rows // 5, rows),
            "item_id": [f"i{each}" for each in draw.integers(0, 30, rows)],
        }
    )
    moment = 1_600_000_000 + draw.integers(0, 10**7, rows) if timed else np.arange(rows)
    events = events.with_columns(pl.Series("timestamp" if timed else "position", moment))
    if typed:
        events = events.with_columns(pl.Series("event_type", np.array(["a", "b", "c"])[draw.integers(0, 3, rows)]))
    extra = [column(kind, rows, draw).alias(f"{name}_{kind}") for kind in kinds]
    events = events.with_columns(*extra)
    items = users = None
    if with_tables:
        items = pl.DataFrame({"item_id": [f"i{each}" for each in range(25)]}).with_columns(
            *(column(kind, 25, draw).alias(f"{name}_{kind}") for kind in kinds)
        )
        users = pl.DataFrame({"user_id": np.arange(rows // 5 + 1)}).with_columns(
            *(column(kind, rows // 5 + 1, draw).alias(f"{name}_{kind}") for kind in kinds)
        )
    try:
        dataset = Dataset.from_frames(events, items, users)
        if request_time:
            stated = {
                each: Column(role=Role.REQUEST_TIME, kind=known.kind, separator=known.separator)
                for each, known in dataset.schema.events.items()
                if known.kind not in (Kind.TEXT, Kind.VECTOR, Kind.TIMESTAMP) and known.role != Role.IGNORE
            }
            dataset = Dataset.from_frames(events, items, users, schema=Schema(events=stated))
    except PalateError:
        return  # Refused by reading, with a name; nothing to inspect.
    inspection = inspect(dataset)
    json.dumps(inspection.to_dict(), allow_nan=False)
    assert inspect(dataset).findings == inspection.findings
    for finding in inspection.findings:
        assert finding.what.endswith("."), finding
        beyond = finding.figure > finding.threshold
        assert (
            beyond == (finding.bound == "at most") or finding.severity == "info" or finding.figure == finding.threshold
        )


@pytest.mark.parametrize("kinds", [KINDS[:4], KINDS[4:8], KINDS[8:]])
def test_any_log_has_a_page(kinds: tuple[str, ...]) -> None:
    draw = np.random.default_rng(0)
    events = pl.DataFrame(
        {"user_id": draw.integers(0, 40, 300), "item_id": draw.integers(0, 40, 300), "timestamp": np.arange(300) + 1e9}
    ).with_columns(*(column(kind, 300, draw).alias(kind) for kind in kinds))
    dataset = Dataset.from_frames(events)
    assert page(dataset, inspect(dataset), title="any").endswith("</html>\n")
