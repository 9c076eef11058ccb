"""The log as it is written: events and the schema that says what its columns are for."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from palate import words
from palate.data.schema import Column, Kind, Role, Schema
from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.grid import Ints
from palate.simulate.members import Members
from palate.simulate.play import Plays
from palate.simulate.sessions import Sessions

PLAY: Final = "play"
TRAILER: Final = "trailer"


def events_table(members: Members, catalogue: Catalogue, sessions: Sessions, plays: Plays) -> pl.DataFrame:
    """The log: plays and the trailers before them, sorted by time."""
    seen = plays.rows(np.nonzero(plays.trailer >= 0)[0])
    session = np.concatenate([plays.session, seen.session])
    rating = np.concatenate([plays.rating, np.zeros(len(seen.session), dtype=np.int64)])
    table = pl.DataFrame(
        {
            words.USER_ID: members.user_id[sessions.member[session]].tolist(),
            words.ITEM_ID: catalogue.item_id[np.concatenate([plays.item, seen.trailer])].tolist(),
            words.TIMESTAMP: milliseconds(np.concatenate([plays.second, seen.trailer_second])),
            words.EVENT_TYPE: [PLAY] * len(plays.session) + [TRAILER] * len(seen.session),
            words.EVENT_VALUE: np.concatenate([plays.watched, seen.trailer_watched]),
            words.SESSION_ID: session,
            "device": np.array(world.DEVICES, dtype=object)[sessions.device[session]].tolist(),
            "locale": np.array(world.LOCALES, dtype=object)[sessions.locale[session]].tolist(),
            "rating": rating,
        },
        schema_overrides={words.USER_ID: pl.String, words.ITEM_ID: pl.String, words.EVENT_TYPE: pl.String},
    )
    rated = pl.when(pl.col("rating") > 0).then(pl.col("rating"))
    return table.with_columns(rated.alias("rating")).sort(words.TIMESTAMP, words.USER_ID)


def milliseconds(second: Ints) -> pl.Series:
    """Milliseconds since the epoch of seconds since the start of the period."""
    return pl.Series((world.START + second) * 1000)


def written_schema() -> Schema:
    """Plays are predicted, trailers are input only; device and locale are known at the request."""

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
            "language": column(Role.ITEM_METADATA, Kind.CATEGORICAL),
            "runtime_minutes": column(Role.ITEM_METADATA, Kind.NUMERIC),
        },
        users={
            "country": column(Role.USER_ATTRIBUTE, Kind.CATEGORICAL),
            "age_band": column(Role.USER_ATTRIBUTE, Kind.CATEGORICAL),
            "plan": column(Role.USER_ATTRIBUTE, Kind.CATEGORICAL),
            "joined": column(Role.USER_ATTRIBUTE, Kind.TIMESTAMP),
        },
        timestamp_unit="ms",
        target_event_types=(PLAY,),
        seen_items={PLAY: "exclude"},
    )
