"""The simulated service as a whole: made from a configuration, held as tables, written as a data folder."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from palate import words
from palate.data.schema import Column, Kind, Role, Schema
from palate.errors import ConfigError
from palate.simulate import world
from palate.simulate.catalogue import Catalogue, make_catalogue
from palate.simulate.choice import ChoiceModel, item_features
from palate.simulate.config import SimulationConfig
from palate.simulate.context import hour_of
from palate.simulate.grid import Floats, on_grid
from palate.simulate.members import KNOT_DAYS, Members, make_members
from palate.simulate.oracle import Knowledge, Oracle
from palate.simulate.play import Plays, play_all
from palate.simulate.sessions import Sessions, plan_sessions
from palate.simulate.tables import write_table
from palate.simulate.truth import Truth

PLAY, TRAILER = "play", "trailer"
_BUZZ, _BUZZ_WEEKS = 0.35, 4.0


@dataclass(frozen=True)
class Simulation:
    """What a simulated service has recorded, and the truth behind it."""

    config: SimulationConfig
    events: pl.DataFrame
    """Plays and trailers, by time."""
    items: pl.DataFrame
    users: pl.DataFrame
    schema: Schema
    truth: Truth

    def oracle(self, knowledge: Knowledge | None = None) -> Oracle:
        """The upper reference for these data."""
        return Oracle(self.truth, knowledge or Knowledge())

    def write(self, folder: str | Path) -> Path:
        """Write the data folder, with the truth apart in ``truth/``; all of it or nothing.

        Raises `ConfigError` where the folder exists and is not empty.
        """
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(f"{target}: already exists", hint="name another folder, or delete this one")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            aside.chmod(0o755)
            write_table(self.events, aside / "events.parquet")
            write_table(self.items, aside / "items.parquet")
            write_table(self.users, aside / "users.parquet")
            self.schema.write(aside / "schema.yaml")
            (aside / "README.md").write_text(self._readme(), encoding="utf-8")
            (aside / "truth").mkdir()
            self.truth.write(aside / "truth")
            aside.replace(target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return target

    def _readme(self) -> str:
        return _README.format(
            members=self.config.members,
            items=self.config.items,
            days=self.config.days,
            seed=self.config.seed,
            version=self.config.version,
            plays=self.truth.choices.height,
            trailers=self.events.height - self.truth.choices.height,
        )


def simulate(config: SimulationConfig) -> Simulation:
    """Simulate a service. Equal configurations give equal tables, on any number of threads."""
    seeds = np.random.SeedSequence(config.seed).spawn(6)
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    space = world.make_space(generators[0])
    catalogue = make_catalogue(config, space, generators[1])
    members = make_members(config, space, generators[2])
    choice = _choice_model(config, catalogue, generators[3])
    sessions = plan_sessions(config, space, members, generators[4])
    plays = play_all(config, members, catalogue, sessions, choice, generators[5])
    return Simulation(
        config=config,
        events=_events(members, catalogue, sessions, plays),
        items=catalogue.table,
        users=members.table,
        schema=_schema(),
        truth=_truth(config, space, members, catalogue, choice, sessions, plays),
    )


def _choice_model(config: SimulationConfig, catalogue: Catalogue, rng: np.random.Generator) -> ChoiceModel:
    """Quality, buzz (an AR(1) process in weekly steps) and freshness by day, on the grid."""
    days = np.arange(config.days)
    week, rest = np.divmod(days, KNOT_DAYS)
    buzz = rng.normal(size=(week[-1] + 2, config.items))
    memory = np.exp(-1 / _BUZZ_WEEKS)
    for step in range(1, len(buzz)):
        buzz[step] = memory * buzz[step - 1] + np.sqrt(1 - memory**2) * buzz[step]
    share = (rest / KNOT_DAYS)[:, None]
    appeal = catalogue.quality + _BUZZ * (buzz[week] * (1 - share) + buzz[week + 1] * share)
    age = (days[:, None] - catalogue.launch_day).clip(min=0)
    fresh = config.freshness * catalogue.hype * np.exp(-age / config.freshness_days)
    return ChoiceModel(
        config=config,
        features=item_features(catalogue.factor, catalogue.genres, catalogue.kind, catalogue.language),
        appeal=on_grid(appeal),
        fresh=on_grid(fresh),
        launched=np.searchsorted(catalogue.launch_day, days, side="right"),
        successor=catalogue.successor,
    )


def _events(members: Members, catalogue: Catalogue, sessions: Sessions, plays: Plays) -> pl.DataFrame:
    """The log: plays and the trailers before them, sorted by time."""
    seen = plays.rows(np.nonzero(plays.trailer >= 0)[0])
    session = np.concatenate([plays.session, seen.session])
    rating = np.concatenate([plays.rating, np.zeros(len(seen.session), dtype=np.int64)])
    table = pl.DataFrame(
        {
            words.USER_ID: members.user_id[sessions.member[session]].tolist(),
            words.ITEM_ID: catalogue.item_id[np.concatenate([plays.item, seen.trailer])].tolist(),
            words.TIMESTAMP: _milliseconds(np.concatenate([plays.second, seen.trailer_second])),
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


def _milliseconds(second: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> pl.Series:
    return pl.Series((world.START + second) * 1000)


def _truth(
    config: SimulationConfig,
    space: world.Space,
    members: Members,
    catalogue: Catalogue,
    choice: ChoiceModel,
    sessions: Sessions,
    plays: Plays,
) -> Truth:
    member, day = sessions.member[plays.session], sessions.day[plays.session]
    choices = pl.DataFrame(
        {
            words.USER_ID: members.user_id[member].tolist(),
            words.TIMESTAMP: _milliseconds(plays.second),
            words.ITEM_ID: catalogue.item_id[plays.item].tolist(),
            words.SESSION_ID: plays.session,
            "member": member,
            "item": plays.item,
            "day": day,
            "hour": hour_of(plays.second),
            "device": sessions.device[plays.session],
            "intent": sessions.intent[plays.session],
            "trailer": plays.trailer,
            "liked": plays.liked,
            "match": plays.match,
            "log_probability": plays.log_probability,
        },
        schema_overrides={words.USER_ID: pl.String, words.ITEM_ID: pl.String},
    )
    by_member = pl.DataFrame(
        {
            words.USER_ID: members.user_id.tolist(),
            "plays_per_day": members.rate,
            "mainstream": members.mainstream,
            "novelty": members.novelty,
            "locale": members.locale,
            "archetypes": members.archetypes,
        }
    )
    by_item = pl.DataFrame(
        {
            words.ITEM_ID: catalogue.item_id.tolist(),
            "launch_day": catalogue.launch_day,
            "successor": catalogue.successor,
            "quality": catalogue.quality,
        }
    )
    arrays: dict[str, Floats] = {
        "taste": members.knots,
        "features": choice.features,
        "appeal": choice.appeal,
        "fresh": choice.fresh,
        "genres": space.genres_on_grid,
    }
    return Truth(config=config, choices=choices, members=by_member, items=by_item, arrays=arrays)


def _schema() -> Schema:
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
        target_event_types=(PLAY,),
        seen_items={PLAY: "exclude"},
    )


_README = """# A simulated streaming service

Made by Palate's simulator (version {version}): {members} members, {items} titles, {days} days, seed {seed};
{plays} plays and {trailers} trailers. Nobody in here is real. Equal settings make equal files.

| file | holds |
| --- | --- |
| `events.parquet` | one row a play or trailer: who, what, when (milliseconds, UTC), seconds watched, session, device, locale, rating where given |
| `items.parquet` | titles with genres, cast, series (`group_id`), type, language, runtime and launch time |
| `users.parquet` | members with country, age band, plan and the time they joined |
| `schema.yaml` | what each column is for: plays are predicted, trailers are input only |
| `truth/` | what no model may see: tastes over time, what sessions were after, the probability of each choice |

`truth/` is for measuring: an oracle that reads it says how much can be predicted at all. Reading the data folder
never reads it. The equations are in `docs/simulator.md` of the project.
"""
