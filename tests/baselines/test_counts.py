"""A user would lose the honest comparison: popularity that is counted wrongly or looks ahead."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.baselines.counts import DAY_MS, RollingCounts
from palate.baselines.popular import Popular, PopularConfig
from palate.baselines.recent import RecentPopular, RecentPopularConfig
from palate.data.split import Part, queries, split
from palate.errors import ConfigError

TIMES = st.integers(-5, 20)


@given(
    st.lists(st.tuples(TIMES, st.integers(0, 3)), max_size=30),
    st.lists(TIMES, max_size=10),
)
@settings(deadline=None)
def test_counts_are_those_strictly_before(events, moments):
    times = np.array([time for time, _ in events], dtype=np.int64)
    columns = np.array([column for _, column in events], dtype=np.int64)
    found = RollingCounts(times, columns, 4).before(np.array(moments, dtype=np.int64))
    assert found.shape == (len(moments), 4)
    for row, moment in zip(found, moments, strict=True):
        assert row.tolist() == np.bincount(columns[times < moment], minlength=4).tolist()


def plays(dataset, start, end):
    """Naive counts of plays with start ≤ time < end."""
    kept = dataset.events.filter(
        (pl.col("event_type") == "play") & (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
    )
    return dict(kept.group_by("item_id").len().iter_rows())


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("days", [None, 7, 0.5])
def test_scores_are_counts_of_target_events(timed, rolling, days):
    parts = split(timed)
    asked = queries(timed, parts, Part.TEST)[::7]
    if days is None:
        scorer = Popular.fit(timed, parts, PopularConfig(rolling=rolling))
    else:
        scorer = RecentPopular.fit(timed, parts, RecentPopularConfig(days=days, rolling=rolling))
    scores = scorer.score(asked).numpy()
    for row, moment in zip(scores, asked["timestamp"], strict=True):
        end = moment if rolling else parts.cuts[0]
        counts = plays(timed, 0 if days is None else end - days * DAY_MS, end)
        assert row.tolist() == [counts.get(item, 0) for item in scorer.catalogue]


@pytest.mark.parametrize(
    ("cls", "config"),
    [(Popular, PopularConfig(rolling=True)), (RecentPopular, None), (RecentPopular, RecentPopularConfig(rolling=True))],
)
def test_without_a_clock_there_is_no_recency(ordered, cls, config):
    with pytest.raises(ConfigError, match="needs timestamps"):
        cls.fit(ordered, split(ordered), config)
