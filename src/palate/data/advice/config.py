"""The thresholds that advice is given by, each declared once."""

from __future__ import annotations

from pydantic import Field

from palate.config import Config


class AdviceConfig(Config):
    """What a healthy log keeps to; the defaults are for logs that a model of taste is to be trained on."""

    min_targets: int = Field(default=1000, ge=1)
    """Target events, below which nothing worth having is learned."""
    min_members: int = Field(default=100, ge=1)
    """Members, below which taste can't be told from habit."""
    min_items: int = Field(default=20, ge=1)
    """Items, below which the top 10 is most of the catalogue."""
    min_median_history: float = Field(default=3, ge=1)
    """Events of the median member."""
    max_one_event_members: float = Field(default=0.3, ge=0, le=1)
    """Share of the members with a single event."""
    rare_item_events: int = Field(default=5, ge=2)
    """Events, below which an item is rare."""
    max_rare_items: float = Field(default=0.5, ge=0, le=1)
    """Share of the items that are rare."""
    max_one_item_members: float = Field(default=0.1, ge=0, le=1)
    """Share of the members with at least three events whose events are all on one item."""
    max_top_item: float = Field(default=0.2, ge=0, le=1)
    """Share of all events on one item (or ten times its even share, if that is more)."""

    max_top_member: float = Field(default=0.05, ge=0, le=1)
    """Share of all events by one member (or twenty times its even share, if that is more)."""
    max_top_members: float = Field(default=0.2, ge=0, le=1)
    """Share of all events by the busiest 0.1 % of the members, from 1,000 members on."""
    max_pace: float = Field(default=30, gt=0)
    """Different moments with an event per active minute, of a member with at least 100 of them."""
    min_gap_variation: float = Field(default=0.1, ge=0)
    """Coefficient of variation of a member's gaps without the longest tenth, with at least 50 gaps."""
    max_pair_events: int = Field(default=200, ge=2)
    """Events of one member on one item that are at least half of the item's events; five times as many in any case."""

    max_standard_error: float = Field(default=0.01, gt=0)
    """Standard error that HR@10 = 0.2 would have in the validation or test part, were its targets independent."""
    max_cold: float = Field(default=0.1, ge=0, le=1)
    """Share of a part's targets on items without a training event, or of members without an earlier event."""
    max_unreachable: float = Field(default=0.05, ge=0, le=1)
    """Share of a part's targets on items that are not yet available."""
    max_refused_repeats: float = Field(default=0.1, ge=0, le=1)
    """Share of a target type's events on seen items, where its seen-items policy refuses them."""
    min_allowed_repeats: float = Field(default=0.005, ge=0, le=1)
    """Share of a target type's events on seen items, where its seen-items policy lets them be candidates."""
    max_step: float = Field(default=0.9, ge=0, le=1)
    """Share of a target type's events that another target type on the same item follows at once."""

    max_missing: float = Field(default=0.3, ge=0, le=1)
    """Share of missing values in a used column."""
    max_unused_items: float = Field(default=0.5, ge=0, le=1)
    """Share of the items table that no event has."""
    max_unique: float = Field(default=0.9, ge=0, le=1)
    """Share of different values in a categorical column."""
    max_repaired: float = Field(default=0.01, ge=0, le=1)
    """Share of a table's rows that one kind of repair touched; below it a repair is information, above it a warning."""

    fence: float = Field(default=3, gt=0)
    """Distance of a number from the middle 98 % of its column, in widths of that middle (in raw and log scale)."""
    max_duration_hours: float = Field(default=24, gt=0)
    """Hours of one event's duration."""
    over_runtime: float = Field(default=1.5, gt=1)
    """Multiple of the item's runtime that a duration may have."""
    max_over_runtime: float = Field(default=0.01, ge=0, le=1)
    """Share of durations beyond that multiple."""
    rare_rating: float = Field(default=0.001, ge=0, le=1)
    """Share of the ratings, below which a value does not count as part of the scale."""

    near_duplicate_seconds: float = Field(default=2, ge=0)
    """Gap within which the same member, item and event type is probably one event sent twice."""
    max_near_duplicates: float = Field(default=0.01, ge=0, le=1)
    """Share of events that repeat one of the two before them within that gap."""
    max_runs: float = Field(default=0.2, ge=0, le=1)
    """Share of events on the same item as the member's event before."""

    max_crowd: float = Field(default=10, gt=1)
    """Members at one moment, in multiples of the 99th percentile over moments, with at least 20 members."""
    burst_events: int = Field(default=20, ge=2)
    """Events of one member within one second, from which they are a burst."""
    max_bursts: float = Field(default=0.001, ge=0, le=1)
    """Share of events in bursts."""
    max_midnight: float = Field(default=0.01, ge=0, le=1)
    """Share of events at exactly 00:00:00 UTC, where that is also five times any other full hour."""
    max_same_clock: float = Field(default=0.5, ge=0, le=1)
    """Share of events at one and the same time of day, to the millisecond."""
    min_daily_events: int = Field(default=20, ge=1)
    """Median events a day, from which the volume over days is judged."""
    max_volume_step: float = Field(default=5, gt=1)
    """Ratio of the median volumes of the seven days before and after any day."""
    min_last_day: float = Field(default=0.3, ge=0, le=1)
    """Volume of the last day, as a share of the median of the seven days before it."""
    zone_spread_hours: float = Field(default=5, gt=0)
    """Difference of the clocks of the regions, from which their nights must differ."""
    min_zone_share: float = Field(default=0.5, ge=0, le=1)
    """Least share of that difference that shows in the hours of the events."""
    max_long_sessions: float = Field(default=0.01, ge=0, le=1)
    """Share of sessions that last more than 24 hours."""
    max_gaps_at_cut: float = Field(default=0.3, ge=0, le=1)
    """Share of the gaps below a day that are within a factor of two of the session gap, without a session_id."""

    max_item_lift: float = Field(default=0.2, ge=0, le=1)
    """Share of the error in guessing a target that a request-time column removes, on members not learned from."""
    certain_lift: float = Field(default=0.5, ge=0, le=1)
    """The same, from which a leak is an error; also for what is known only after the action, at 0.9."""
    max_correlation: float = Field(default=0.95, ge=0, le=1)
    """Absolute rank correlation with something that is known only later."""
    max_same_day: float = Field(default=0.9, ge=0, le=1)
    """Share of members or items whose date is the day of their last event."""
