"""The log as it is written: events and the schema that says what its columns are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate import words
from palate.data.schema import Column, Kind, Role, Schema
from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Ints
from palate.simulate.members import Members, user_ids
from palate.simulate.rows import LENGTH
from palate.simulate.sessions import Sessions
from palate.simulate.timeline import FIRST, Timeline, recorded
from palate.simulate.walk import Viewings

EVENT_TYPES: Final = ("play", "trailer", "rate", "dislike", "watchlist")
PLAY, TRAILER, RATE, DISLIKE, WATCHLIST = range(5)
_SESSIONS_OF_ONE: Final = 100_000
_LATE_SECONDS: Final = 6 * 3600.0
_TWICE_SECONDS: Final = 60


@dataclass(frozen=True)
class Log:
    """Events in the order in which they are written, as codes; N of them."""

    member: NDArray[np.int64]
    """[N] number among all members."""
    item: NDArray[np.int32]
    second: Ints
    kind: NDArray[np.int8]
    value: NDArray[np.int32]
    """[N] seconds, or -1."""
    session: Ints
    device: NDArray[np.int8]
    locale: NDArray[np.int8]
    rating: NDArray[np.int8]
    """[N] 1 to 5, or 0."""
    shown: NDArray[np.int32]
    """[N] row of ``impressions``, or -1."""
    impressions: NDArray[np.int32]
    """[R, LENGTH] items."""

    def __len__(self) -> int:
        return len(self.member)


def make_log(
    config: SimulationConfig,
    members: Members,
    sessions: Sessions,
    viewings: Viewings,
    timeline: Timeline,
    rng: np.random.Generator,
) -> Log:
    """All events by time, but for those that are late; some twice, if the configuration says so."""
    plays = timeline.plays
    others = (timeline.trailers, timeline.ratings, timeline.dislikes, timeline.listings)
    viewing = np.concatenate([plays.viewing, *(other.viewing for other in others)])
    second = np.concatenate([plays.second, *(other.second for other in others)])
    session = viewings.session[viewing]
    member = sessions.member[session]
    counts = [len(plays.viewing), *(len(other.viewing) for other in others)]
    kind = np.repeat(np.arange(len(EVENT_TYPES), dtype=np.int8), counts)
    value = np.full(len(viewing), -1, dtype=np.int32)
    rating = np.zeros(len(viewing), dtype=np.int8)
    ends = np.cumsum(counts)
    value[: ends[PLAY]] = plays.watched
    value[ends[PLAY] : ends[TRAILER]] = timeline.trailers.value
    rating[ends[TRAILER] : ends[RATE]] = timeline.ratings.value
    chosen_from = np.nonzero((plays.begins == FIRST) & (viewings.row[plays.viewing] >= 0))[0]
    shown = np.full(len(viewing), -1, dtype=np.int32)
    shown[chosen_from] = np.arange(len(chosen_from))

    inside = np.nonzero(recorded(config, second))[0]
    arrival = second[inside]
    if config.late_share > 0:
        late = rng.random(len(inside)) < config.late_share
        arrival = arrival + np.where(late, np.ceil(rng.exponential(_LATE_SECONDS, size=len(inside))), 0).astype(
            np.int64
        )
    if config.duplicate_share > 0:
        twice = np.nonzero(rng.random(len(inside)) < config.duplicate_share)[0]
        again = arrival[twice] + rng.integers(0, _TWICE_SECONDS, size=len(twice))
        inside, arrival = np.concatenate([inside, inside[twice]]), np.concatenate([arrival, again])
    rows = (
        inside[np.lexsort((inside, arrival))]
        if config.late_share or config.duplicate_share
        else _by_time(arrival, member[inside], inside)
    )
    return Log(
        member=(members.start + member)[rows],
        item=np.concatenate([plays.item, *(other.item for other in others)]).astype(np.int32)[rows],
        second=second[rows],
        kind=kind[rows],
        value=value[rows],
        session=session_ids(members, sessions)[session[rows]],
        device=sessions.device.astype(np.int8)[session[rows]],
        locale=sessions.locale.astype(np.int8)[session[rows]],
        rating=rating[rows],
        shown=shown[rows],
        impressions=viewings.shown[plays.viewing[chosen_from]],
    )


def _by_time(second: Ints, member: Ints, rows: Ints) -> Ints:
    """Rows by time, then by member; no member does two things in a second."""
    key = (second << 24) | member
    return np.asarray(rows[np.argsort(key)])


def session_ids(members: Members, sessions: Sessions) -> Ints:
    """[S] the ids as they are written."""
    return np.asarray((members.start + sessions.member + 1) * _SESSIONS_OF_ONE + sessions.number)


def events_frame(config: SimulationConfig, catalogue: Catalogue, log: Log) -> pl.DataFrame:
    """The events table."""
    numbers, which = np.unique(log.member, return_inverse=True)
    item_id = pl.Series(catalogue.item_id.tolist(), dtype=pl.String)

    def named(names: tuple[str, ...], codes: NDArray[np.integer]) -> pl.Series:
        return pl.Series(names, dtype=pl.String).gather(codes)

    def or_null(values: NDArray[np.integer], missing: int, dtype: type[pl.DataType]) -> pl.Series:
        series = pl.Series(values).cast(dtype)
        return series.set(series == missing, None)

    frame = pl.DataFrame(
        {
            words.USER_ID: user_ids(config, numbers).gather(which),
            words.ITEM_ID: item_id.gather(log.item),
            words.TIMESTAMP: milliseconds(log.second),
            words.EVENT_TYPE: named(EVENT_TYPES, log.kind),
            words.EVENT_VALUE: or_null(log.value, -1, pl.Int64),
            words.SESSION_ID: log.session,
            "device": named(world.DEVICES, log.device),
            "locale": named(world.LOCALES, log.locale),
            "rating": or_null(log.rating, 0, pl.Int64),
        }
    )
    lists = pl.Series(item_id.gather(log.impressions.ravel())).reshape((-1, LENGTH)).arr.to_list()
    none = pl.Series([None], dtype=pl.List(pl.String))
    at = np.where(log.shown >= 0, log.shown, len(lists))
    return frame.with_columns(pl.concat([lists, none]).gather(at).alias(words.IMPRESSIONS))


def milliseconds(second: Ints) -> pl.Series:
    """Milliseconds since the epoch of seconds since the start of the period."""
    return pl.Series((world.START + second) * 1000)


def written_schema() -> Schema:
    """Plays are predicted, the rest is input only; device and locale are known at the request."""

    def column(role: Role, kind: Kind, *, duration: bool = False) -> Column:
        return Column(role=role, kind=kind, duration=duration)

    return Schema(
        events={
            words.EVENT_VALUE: column(Role.POST_ACTION, Kind.NUMERIC, duration=True),
            "device": column(Role.REQUEST_TIME, Kind.CATEGORICAL),
            "locale": column(Role.REQUEST_TIME, Kind.CATEGORICAL),
            "rating": column(Role.POST_ACTION, Kind.NUMERIC),
        },
        items={
            "title": column(Role.ITEM_METADATA, Kind.TEXT),
            words.GROUP_ID: column(Role.ITEM_METADATA, Kind.CATEGORICAL),
            words.ENTITY_TYPE: column(Role.ITEM_METADATA, Kind.CATEGORICAL),
            "genres": column(Role.ITEM_METADATA, Kind.MULTI_CATEGORICAL),
            "cast": column(Role.ITEM_METADATA, Kind.MULTI_CATEGORICAL),
            "maker": column(Role.ITEM_METADATA, Kind.CATEGORICAL),
            "language": column(Role.ITEM_METADATA, Kind.CATEGORICAL),
            "episode": column(Role.ITEM_METADATA, Kind.NUMERIC),
            "runtime_minutes": column(Role.ITEM_METADATA, Kind.NUMERIC),
        },
        users={
            "country": column(Role.USER_ATTRIBUTE, Kind.CATEGORICAL),
            "age_band": column(Role.USER_ATTRIBUTE, Kind.CATEGORICAL),
            "plan": column(Role.USER_ATTRIBUTE, Kind.CATEGORICAL),
            "joined": column(Role.USER_ATTRIBUTE, Kind.TIMESTAMP),
        },
        timestamp_unit="ms",
        target_event_types=("play",),
        one_target_a_run=False,
        seen_items={"play": "allow"},
    )
