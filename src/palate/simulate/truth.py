"""What only the simulator knows, as tables and arrays that the oracles read: never among the written tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from palate import words
from palate.errors import MissingTableError, TornFileError
from palate.simulate import world
from palate.simulate.block import Block, Service
from palate.simulate.choice import ChoiceModel
from palate.simulate.config import SimulationConfig
from palate.simulate.context import INTENTS, hour_of
from palate.simulate.grid import Bools
from palate.simulate.log import milliseconds, session_ids
from palate.simulate.members import user_ids
from palate.simulate.rows import ROWS
from palate.simulate.state import Shelf
from palate.simulate.tables import read_table, write_table
from palate.simulate.timeline import recorded
from palate.simulate.walk import CAUSES, VIA

PLAYS, VIEWINGS, SESSIONS, MEMBERS = "plays.parquet", "viewings.parquet", "sessions.parquet", "members.parquet"
TITLES, ITEMS, ARRAYS, CONFIG = "titles.parquet", "items.parquet", "latent.safetensors", "config.yaml"
STATUS: Final = ("fresh", "open", "broken", "done", "abandoned", "disliked")


@dataclass(frozen=True)
class MemberTruth:
    """What led to what the members of one or more blocks did. Tables refer to each other by row."""

    plays: pl.DataFrame
    """One row a play, by member and time: ids, timestamp (ms), its viewing, item, how it begins and ends."""
    viewings: pl.DataFrame
    """One row a title turned to: its session, what led there, how relevant it was, what became of it."""
    sessions: pl.DataFrame
    """One row a session: its member, day, hour, device, and what it was after."""
    members: pl.DataFrame
    """One row a member: type, archetypes, weights, tastes by week, and why they left."""


@dataclass(frozen=True)
class Truth:
    """The latent state of a simulated service."""

    config: SimulationConfig
    of_members: MemberTruth
    titles: pl.DataFrame
    """One row a title, in order of launch: launch day, number of items, quality, comfort."""
    items: pl.DataFrame
    """One row an item, title by title: its id, title and launch day."""
    arrays: dict[str, NDArray[Any]]
    """``features`` [F, G], ``appeal`` and ``fresh`` [days, G], ``rows`` [days, rows, length], ``row_shares``,
    ``propensity`` [length], ``genres`` [genres, D], ``archetypes`` [archetypes, D]."""

    @property
    def plays(self) -> pl.DataFrame:
        """One row a play, by member and time."""
        return self.of_members.plays

    @property
    def viewings(self) -> pl.DataFrame:
        """One row a title turned to."""
        return self.of_members.viewings

    @property
    def sessions(self) -> pl.DataFrame:
        """One row a session."""
        return self.of_members.sessions

    @property
    def members(self) -> pl.DataFrame:
        """One row a member."""
        return self.of_members.members

    def choice_model(self) -> ChoiceModel:
        """The titles' side of every choice."""
        days = np.arange(self.config.days)
        title, day = self.items["title"].to_numpy(), self.items["launch_day"].to_numpy()
        available = np.zeros((self.config.days, self.titles.height), dtype=np.int16)
        inside: Bools = day < self.config.days
        np.add.at(available, (day[inside].clip(0), title[inside]), np.int16(1))
        shelf = Shelf(
            available=np.cumsum(available, axis=0, dtype=np.int16),
            first=self.titles["first"].to_numpy(),
            size=self.titles["size"].to_numpy(),
            comfort=self.titles["comfort"].to_numpy(),
            seen_weight=self.config.seen_weight,
        )
        arrays = self.arrays
        return ChoiceModel(
            config=self.config,
            features=arrays["features"],
            appeal=arrays["appeal"],
            fresh=arrays["fresh"],
            launched=np.searchsorted(self.titles["launch_day"].to_numpy(), days, side="right"),
            shelf=shelf,
            rows=arrays["rows"],
            row_shares=arrays["row_shares"],
            propensity=arrays["propensity"],
        )

    def space(self) -> world.Space:
        """The space of tastes as far as oracles need it."""
        nothing = np.zeros((0, len(world.AGES)))
        return world.Space(genres=self.arrays["genres"], archetypes=self.arrays["archetypes"], leaning=nothing)

    def taste(self) -> NDArray[np.float32]:
        """[M, knots, D]"""
        values = self.members["taste"].to_numpy()
        return np.asarray(values, dtype=np.float32).reshape(len(values), -1, world.LATENT)

    @classmethod
    def read(cls, folder: Path) -> Truth:
        """Read what was written. Raises `MissingTableError`, `TornFileError` or `ConfigError`."""
        for name in (CONFIG, PLAYS, VIEWINGS, SESSIONS, MEMBERS, TITLES, ITEMS, ARRAYS):
            if not (folder / name).is_file():
                raise MissingTableError(
                    f"{folder / name}: no such file",
                    hint="name the folder of a simulated service, written with its truth",
                )
        config = SimulationConfig.from_yaml(folder / CONFIG)
        try:
            arrays = load_file(folder / ARRAYS)
        except Exception as error:  # safetensors raises its own classes and builtin ones alike
            raise TornFileError(f"{folder / ARRAYS}: not a whole safetensors file: {error}") from error
        tables = [read_table(folder / name) for name in (PLAYS, VIEWINGS, SESSIONS, MEMBERS)]
        return cls(config, MemberTruth(*tables), read_table(folder / TITLES), read_table(folder / ITEMS), arrays)

    def write_service(self, folder: Path) -> None:
        """Write what doesn't depend on members into an existing folder."""
        (folder / CONFIG).write_text(self.config.to_yaml(), encoding="utf-8")
        write_table(self.titles, folder / TITLES)
        write_table(self.items, folder / ITEMS)
        save_file(self.arrays, folder / ARRAYS)
        (folder / ARRAYS).chmod(0o644)  # the library makes it private, unlike its neighbours


def service_truth(service: Service, of_members: MemberTruth) -> Truth:
    """The truth of a whole service."""
    catalogue, choice = service.catalogue, service.choice
    titles = pl.DataFrame(
        {
            "launch_day": catalogue.launch_day,
            "first": catalogue.first,
            "size": catalogue.size,
            "quality": catalogue.quality,
            "comfort": catalogue.comfort,
            "hours": catalogue.hours,
            "place": pl.Series(catalogue.factor, dtype=pl.Array(pl.Float32, world.LATENT)),
        }
    )
    items = pl.DataFrame(
        {
            words.ITEM_ID: catalogue.item_id.tolist(),
            "title": catalogue.title,
            "launch_day": catalogue.item_day,
        }
    )
    arrays: dict[str, NDArray[Any]] = {
        "features": choice.features,
        "appeal": choice.appeal,
        "fresh": choice.fresh,
        "rows": choice.rows,
        "row_shares": choice.row_shares,
        "propensity": choice.propensity,
        "genres": service.space.genres,
        "archetypes": service.space.archetypes,
    }
    return Truth(service.config, of_members, titles, items, arrays)


def block_truth(service: Service, block: Block) -> MemberTruth:
    """The truth of a block; rows of other tables count from the start of the block."""
    config, members, sessions, viewings, plays = (
        service.config, block.members, block.sessions, block.viewings, block.plays,
    )  # fmt: skip
    ids = user_ids(config, members.start + np.arange(len(members)))
    kept = np.nonzero(recorded(config, plays.second))[0]
    viewing = plays.viewing[kept]
    session = viewings.session[viewing]
    item_id = pl.Series(service.catalogue.item_id.tolist(), dtype=pl.String)

    def named(names: tuple[str, ...], codes: NDArray[np.integer]) -> pl.Series:
        """Names where they help a reader; -1 is null."""
        return pl.Series((*names, None), dtype=pl.String).gather(np.where(codes < 0, len(names), codes))

    def code(values: NDArray[np.integer]) -> pl.Series:
        return pl.Series(values).cast(pl.Int32)

    return MemberTruth(
        plays=pl.DataFrame(
            {
                words.USER_ID: ids.gather(sessions.member[session]),
                words.TIMESTAMP: milliseconds(plays.second[kept]),
                words.ITEM_ID: item_id.gather(plays.item[kept]),
                words.SESSION_ID: session_ids(members, sessions)[session],
                "viewing": viewing,
                "item": code(plays.item[kept]),
                "begins": code(plays.begins[kept]),
                "ends": code(plays.ends[kept]),
                "run": code(plays.run[kept]),
                "share": plays.share[kept],
            }
        ),
        viewings=pl.DataFrame(
            {
                "session": viewings.session,
                "number": code(viewings.number),
                "title": code(viewings.title),
                "via": named(VIA, viewings.via),
                "row": named(ROWS, viewings.row),
                "place": code(viewings.place),
                "propensity": np.where(viewings.place >= 0, service.choice.propensity[viewings.place], np.nan),
                "relevance": viewings.utility,
                "match": viewings.match,
                "trailer": code(viewings.trailer),
                "liked": code(viewings.liked),
                "listed": code(viewings.listed),
                "episode": code(viewings.episode),
                "played": code(viewings.played),
                "status": named(STATUS, viewings.status),
                "progress": code(viewings.progress),
            }
        ),
        sessions=pl.DataFrame(
            {
                "member": members.start + sessions.member,
                words.SESSION_ID: session_ids(members, sessions),
                "day": code(sessions.day),
                "hour": code(hour_of(sessions.start)),
                "device": code(sessions.device),
                "intent": named(INTENTS, sessions.intent),
                "took_place": sessions.number < block.left.session[sessions.member],
            }
        ),
        members=pl.DataFrame(
            {
                words.USER_ID: ids,
                "type": named(world.MEMBER_TYPES, members.kind),
                "left": named(CAUSES, block.left.cause),
                "sessions": block.left.session,
                "sessions_per_day": members.rate,
                "mainstream": members.mainstream,
                "novelty": members.novelty,
                "locale": code(members.locale),
                "archetypes": pl.Series(members.archetypes, dtype=pl.Array(pl.Float64, world.ARCHETYPES)),
                "taste": pl.Series(
                    members.knots.reshape(len(members), -1),
                    dtype=pl.Array(pl.Float32, members.knots.shape[1] * world.LATENT),
                ),
            }
        ),
    )
