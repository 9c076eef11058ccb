"""Units of time: a log read in the wrong unit has every event in 1970 or far away."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.data import Dataset, Fault, Schema
from palate.data.times import TimeUnit, to_milliseconds

MOMENT = datetime(2024, 5, 1, 20, 15, 30, 250_000, tzinfo=UTC)
MS = int(MOMENT.timestamp() * 1000)
VALUE: dict[TimeUnit, int] = {"s": MS // 1000, "ms": MS, "us": MS * 1000, "ns": MS * 1_000_000}


@pytest.mark.parametrize("unit", list(VALUE))
@pytest.mark.parametrize("form", [pl.Int64, pl.Float64, pl.String])
def test_units_are_inferred_by_magnitude(unit: TimeUnit, form: pl.DataType) -> None:
    moments = to_milliseconds(pl.Series([VALUE[unit], None]).cast(form))
    assert moments.values[0] == (MS // 1000 * 1000 if unit == "s" else MS)
    assert moments.values[1] is None
    assert "inferred" in moments.read_as


@given(st.integers(-(10**10), 10**11 - 1))
def test_a_stated_unit_is_believed(number: int) -> None:
    assert to_milliseconds(pl.Series([number]), "s").values[0] == number * 1000
    assert to_milliseconds(pl.Series([number]), "ms").values[0] == number


def test_no_number_overflows() -> None:
    huge = pl.Series([2**63 - 1, -(2**63)])
    values = to_milliseconds(huge, "s").values
    assert values[0] > 4 * 10**15
    assert values[1] < -(4 * 10**15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01T20:15:30.250Z", MS),
        ("2024-05-01 20:15:30.25", MS),
        ("2024-05-01T22:15:30.25+02:00", MS),
        ("2024-05-01T20:15", MS - 30_250),
        ("2024-05-01", MS - (20 * 3600 + 15 * 60 + 30) * 1000 - 250),
        ("2024/05/01", MS - (20 * 3600 + 15 * 60 + 30) * 1000 - 250),
        ("1 May 2024", MS - (20 * 3600 + 15 * 60 + 30) * 1000 - 250),
        ("yesterday", None),
        ("31/12/2024", None),
    ],
)
def test_dates_in_text(text: str, expected: int | None) -> None:
    assert to_milliseconds(pl.Series([text])).values.to_list() == [expected]


def test_dates_and_date_times_of_any_zone() -> None:
    assert to_milliseconds(pl.Series([MOMENT])).values[0] == MS
    assert to_milliseconds(pl.Series([MOMENT.replace(tzinfo=None)])).values[0] == MS
    elsewhere = pl.Series([MOMENT.astimezone(timezone(timedelta(hours=0)))]).dt.convert_time_zone("Asia/Tokyo")
    assert to_milliseconds(elsewhere).values[0] == MS
    assert to_milliseconds(pl.Series([date(2024, 5, 1)])).values[0] == MS // 86_400_000 * 86_400_000


def test_the_unit_is_reported_and_can_be_stated() -> None:
    log = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [5, 1_000_000]})
    inferred = Dataset.from_frames(log)
    assert inferred.report.time_unit == "seconds (inferred)"
    assert inferred.events["timestamp"].to_list() == [5_000, 1_000_000_000]
    stated = Dataset.from_frames(log, schema=Schema(timestamp_unit="ms"))
    assert stated.report.time_unit == "milliseconds (stated)"
    assert stated.events["timestamp"].to_list() == [5, 1_000_000]


def test_fractions_of_seconds_are_kept() -> None:
    assert to_milliseconds(pl.Series([MS / 1000])).values.to_list() == [MS]


def test_a_stated_unit_mends_nothing() -> None:
    log = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [1_700_000_000_000, 1_700_000_000]})
    assert Dataset.from_frames(log[[0, 0, 1]].with_row_index("n")).report.repaired_rows == {Fault.MIXED_TIME_UNITS: 1}
    assert Dataset.from_frames(log, schema=Schema(timestamp_unit="ms")).report.repairs == ()
