"""If these fail, an item's age knows the present, so that figures are too good; or it depends on how a log is cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from palate.tokens.age_counts import AgeCounts
from palate.tokens.ages import (
    DAY_MS,
    DEMAND_BUCKETS,
    HOUR_MS,
    LAUNCH_BUCKETS,
    LAUNCH_EDGES,
    VIEW_BUCKETS,
    AgeConfig,
    Ages,
    ViewCounter,
    demand_bucket,
    launch_bucket,
    view_bucket,
)

ITEMS = ["a", "b", "c", "d"]
NOW = 1_700_000_000_000
logs = st.lists(st.tuples(st.sampled_from(ITEMS), st.integers(0, 30 * DAY_MS)), min_size=1, max_size=60).filter(
    lambda log: len({item for item, _ in log}) > 0
)


def events_of(log: list[tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"item_id": [item for item, _ in log], "timestamp": [NOW + moment for _, moment in log]},
        schema={"item_id": pl.String, "timestamp": pl.Int64},
    )


def fitted(log: list[tuple[str, int]], config: AgeConfig, cuts: tuple[int, ...] = ()) -> Ages:
    """The ages of a log, in parts that end at ``cuts``."""
    counter = ViewCounter(config, has_time=True)
    for low, high in zip((0, *cuts), (*cuts, len(log)), strict=True):
        counter.add(events_of(log[low:high]))
    totals = np.array([sum(each == item for each, _ in log) for item in ITEMS])
    return counter.finish(pl.Series("value", ITEMS), totals)


def unpacked(codes: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    whole = codes.astype(np.int64)
    return whole // (VIEW_BUCKETS * DEMAND_BUCKETS), whole // DEMAND_BUCKETS % VIEW_BUCKETS, whole % DEMAND_BUCKETS


def frame(log: list[tuple[str, int]]) -> pl.DataFrame:
    names = {"item_id": pl.String, "timestamp": pl.Int64}
    return pl.DataFrame(log, schema=names, orient="row")


def placed(counts: pl.DataFrame) -> pl.DataFrame:
    places = pl.DataFrame({"item_id": ITEMS}).with_row_index("item")
    return counts.join(places, on="item_id")


@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(logs, logs, st.integers(1, 60), st.floats(0.5, 9), st.booleans())
def test_the_codes_are_those_of_a_plain_loop(
    log: list[tuple[str, int]], more: list[tuple[str, int]], hours: int, days: float, rolling: bool
) -> None:
    """At each moment: the events strictly before its point of the grid, and those by how long before."""
    config = AgeConfig(step_hours=hours, half_life_days=days)
    ages = fitted(log, config)
    assert ages.step == hours * HOUR_MS
    later = None
    counted = [(item, NOW + moment) for item, moment in log]
    if rolling:
        behind = [(item, ages.end + 1 + moment) for item, moment in more]
        counted += behind
        later = placed(ages.later(frame(counted)))
    launch = np.array([NOW - 3.0 * DAY_MS, NOW + 9.0 * DAY_MS, np.nan, float(NOW)])
    moments, codes = ages.grid(launch, later)
    assert (np.diff(moments) == ages.step).all()
    found = unpacked(codes)
    for place in {0, 1, len(moments) // 2, len(moments) - 1}:
        point = int(moments[place])
        for item, name in enumerate(ITEMS):
            before = sum(each == name and moment < point for each, moment in counted)
            steps = [
                (point - ages.step - moment // ages.step * ages.step) / ages.step
                for each, moment in counted
                if each == name and moment < point
            ]
            total = sum(0.5 ** (step * ages.step / (days * DAY_MS)) for step in steps)
            demand = np.log2(max(total, 1e-300))
            assert found[1][place, item] == view_bucket(np.array([before]))[0]
            # Rounding may put what lies on an edge on either side of it.
            assert found[2][place, item] in demand_bucket(np.array([demand - 1e-9, demand + 1e-9]))
            age = 0.0 if np.isnan(launch[item]) else point - launch[item]
            assert found[0][place, item] == sum(age >= edge for edge in LAUNCH_EDGES)
    one = np.array([sum(each == name for each, _ in counted) for name in ITEMS]) == 1
    assert (found[2][-1][one] == 0).all(), "the grid ends before a single event is forgotten"
    assert moments[0] <= min(moment for _, moment in counted)


@settings(max_examples=40, deadline=None)
@given(logs)
def test_nothing_of_the_present_is_counted(log: list[tuple[str, int]]) -> None:
    """An event sees the counts without itself, and without whatever else happened in its step."""
    ages = fitted(log, AgeConfig(step_hours=6))
    moments, codes = ages.grid(np.full(len(ITEMS), np.nan))
    views = unpacked(codes)[1]
    for item, moment in log:
        place = np.searchsorted(moments, NOW + moment, side="right") - 1
        assert moments[place] <= NOW + moment < moments[place] + 6 * HOUR_MS
        earlier = sum(each == item and NOW + then < moments[place] for each, then in log)
        assert views[place, ITEMS.index(item)] == view_bucket(np.array([earlier]))[0]


@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(logs, st.integers(0, 30 * DAY_MS))
def test_what_comes_later_moves_no_code(log: list[tuple[str, int]], now: int) -> None:
    """Views, demand and launch of a moment are those of a log that ends before its point of the grid."""
    config, launch = AgeConfig(step_hours=5, half_life_days=0.7), np.full(len(ITEMS), float(NOW))
    moments, codes = fitted(log, config).grid(launch)
    place = max(int(np.searchsorted(moments, NOW + now, side="right")) - 1, 0)
    earlier = [(item, moment) for item, moment in log if NOW + moment < moments[place]]
    if not earlier:
        assert all((part[place] == 0).all() for part in unpacked(codes)[1:])
        return
    then, known = fitted(earlier, config).grid(launch)
    if moments[place] in then:
        np.testing.assert_array_equal(known[then == moments[place]][0], codes[place])


@settings(max_examples=30, deadline=None)
@given(logs, st.data())
def test_parts_count_like_the_whole(log: list[tuple[str, int]], data: st.DataObject) -> None:
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4))))
    order = data.draw(st.permutations(range(len(log))))
    config = AgeConfig(step_hours=3)
    whole = fitted(log, config)
    for parts in (fitted(log, config, cuts), fitted([log[place] for place in order], config, cuts)):
        assert parts.counts.equals(whole.counts)
        assert (parts.step, parts.end) == (whole.step, whole.end)


def test_many_parts_are_summed_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tables don't pile up in memory."""
    log = [(ITEMS[place % 4], place * HOUR_MS) for place in range(300)]
    whole = fitted(log, AgeConfig())
    counter = ViewCounter(AgeConfig(), has_time=True)
    monkeypatch.setattr(counter, "_rows", 10**7)  # as after a few thousand parts
    for start in range(0, 300, 50):
        counter.add(events_of(log[start : start + 50]))
        assert len(counter._tables) <= 7
    parts = counter.finish(pl.Series("value", ITEMS), whole.totals)
    assert parts.counts.equals(whole.counts)


def test_a_part_without_events_counts_nothing() -> None:
    whole = fitted([("a", 0), ("b", DAY_MS)], AgeConfig())
    assert fitted([("a", 0), ("b", DAY_MS)], AgeConfig(), cuts=(0, 1, 1)).counts.equals(whole.counts)


def test_a_large_catalogue_has_a_coarser_grid() -> None:
    """Else its ages would fill the memory; what they count stays right."""
    log = [(ITEMS[place % 4], place * HOUR_MS) for place in range(24 * 30)]
    fine = fitted(log, AgeConfig(step_hours=1))
    coarse = fitted(log, AgeConfig(step_hours=1, cells=300))
    assert fine.step == HOUR_MS
    assert coarse.step is not None
    assert coarse.step > HOUR_MS
    assert np.log2(coarse.step // HOUR_MS) % 1 == 0
    assert coarse.counts["events"].sum() == fine.counts["events"].sum() == len(log)
    moments, codes = coarse.grid(np.full(4, np.nan))
    counted = np.array([[sum(each == item and NOW + t < m for each, t in log) for item in ITEMS] for m in moments])
    np.testing.assert_array_equal(unpacked(codes)[1], view_bucket(counted.reshape(-1)).reshape(counted.shape))


@pytest.mark.parametrize("first", [0, -NOW - 2 * HOUR_MS])
def test_a_catalogue_beyond_all_bounds_is_counted(first: int) -> None:
    """Else fitting would never end. Also where the log lies on both sides of 1970, where no step is long enough."""
    log = [(ITEMS[place % 4], first + place * HOUR_MS) for place in range(24 * 9)]
    ages = fitted(log, AgeConfig(step_hours=1, cells=1))
    assert ages.counted
    moments, codes = ages.codes(np.full(4, np.nan))
    assert isinstance(codes, AgeCounts)
    last = codes[torch.tensor([len(moments) - 1])].numpy()
    assert unpacked(last)[1][-1].tolist() == [view_bucket(np.array([54]))[0]] * 4


def test_a_step_can_be_a_part_of_an_hour() -> None:
    """And is no other one in silence."""
    ages = fitted([("a", 0), ("b", HOUR_MS)], AgeConfig(step_hours=0.25))
    assert ages.step == HOUR_MS // 4


def test_new_items_have_no_event_of_training() -> None:
    ages = fitted([("a", 0), ("b", DAY_MS)], AgeConfig())
    behind = ages.later(frame([("a", 0), ("f", ages.end + 1), ("f", ages.end + 2 * DAY_MS)]))
    _, alone = ages.grid(np.full(6, np.nan))
    moments, codes = ages.grid(np.full(6, np.nan), behind.select(item=pl.lit(5), bin="bin", events="events"))
    assert (unpacked(alone)[1][:, 4:] == 0).all()
    assert (unpacked(codes)[1][:, 4] == 0).all()
    assert unpacked(codes)[1][-1, 5] == 2
    assert (unpacked(codes)[1][moments <= ages.end, 5] == 0).all()
    assert codes.shape[1] == 6


def test_without_time_there_is_one_point_that_knows_training() -> None:
    counter = ViewCounter(AgeConfig(), has_time=False)
    counter.add(pl.DataFrame({"item_id": ["a", "b"]}))
    ages = counter.finish(pl.Series("value", ITEMS), np.array([7, 1, 0, 3]))
    moments, codes = ages.grid(np.full(5, np.nan))
    launch, views, demand = unpacked(codes)
    assert moments.tolist() == [0]
    assert (launch == LAUNCH_BUCKETS - 1).all()
    assert views.tolist() == [view_bucket(np.array([7, 1, 0, 3, 0])).tolist()]
    assert (demand == 0).all()


def test_what_is_young_or_unknown_is_the_youngest() -> None:
    """And what has yet to launch; edges belong to the older bucket."""
    ages = np.array([np.nan, -DAY_MS, 0, DAY_MS - 1, DAY_MS, 3 * DAY_MS, 1095 * DAY_MS, 9e18])
    assert launch_bucket(ages).tolist() == [0, 0, 0, 0, 1, 2, 10, 10]


@given(st.integers(1, 10**12))
def test_buckets_ascend_and_end(views: int) -> None:
    one, two = view_bucket(np.array([views, views + 1]))
    assert 1 <= one <= two <= VIEW_BUCKETS - 1
    one, two = demand_bucket(np.log2(np.array([views, views + 1])))
    assert 33 <= one <= two <= DEMAND_BUCKETS - 1


@pytest.mark.parametrize("has_time", [True, False])
def test_ages_are_read_as_they_were_written(has_time: bool) -> None:
    counter = ViewCounter(AgeConfig(step_hours=2, half_life_days=3), has_time=has_time)
    counter.add(events_of([("a", 5), ("c", 9 * DAY_MS)]))
    totals = np.array([1, 0, 1, 0])
    ages = counter.finish(pl.Series("value", ITEMS), totals)
    with tempfile.TemporaryDirectory() as folder:
        ages.write(Path(folder) / "ages.parquet")
        again = Ages.read(Path(folder) / "ages.parquet", ages.described(), totals)
    assert again.config == ages.config
    for one, two in zip(again.grid(np.full(4, NOW, float)), ages.grid(np.full(4, NOW, float)), strict=True):
        assert one.tobytes() == two.tobytes()
