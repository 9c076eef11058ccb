"""The simulated service as a whole: made from a configuration, held as tables, written as a data folder."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from palate.data.schema import Schema
from palate.errors import ConfigError
from palate.simulate import world
from palate.simulate.catalogue import make_catalogue
from palate.simulate.choice import make_choice_model
from palate.simulate.config import SimulationConfig
from palate.simulate.log import events_table, written_schema
from palate.simulate.members import make_members
from palate.simulate.oracle import Knowledge, Oracle
from palate.simulate.play import play_all
from palate.simulate.sessions import plan_sessions
from palate.simulate.tables import write_table
from palate.simulate.truth import Truth, make_truth

_README = """# A simulated streaming service

Made by Palate's simulator (version {version}): {members} members, {items} titles, {days} days, seed {seed};
{plays} plays and {trailers} trailers. Nobody in here is real. Equal settings make equal files.

| file | holds |
| --- | --- |
| `events.parquet` | plays and trailers: who, what, when (ms, UTC), seconds watched, session, device, locale, rating |
| `items.parquet` | titles with genres, cast, series (`group_id`), type, language, runtime and launch time |
| `users.parquet` | members with country, age band, plan and the time they joined |
| `schema.yaml` | what each column is for: plays are predicted, trailers are input only |
| `truth/` | what no model may see: tastes over time, what sessions were after, the probability of each choice |

`truth/` is for measuring: an oracle that reads it says how much can be predicted at all. Reading the data folder
never reads it. The equations are in `docs/simulator.md` of the project.
"""


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
    choice = make_choice_model(config, catalogue, generators[3])
    sessions = plan_sessions(config, space, members, generators[4])
    plays = play_all(members, catalogue, sessions, choice, generators[5])
    return Simulation(
        config=config,
        events=events_table(members, catalogue, sessions, plays),
        items=catalogue.table,
        users=members.table,
        schema=written_schema(),
        truth=make_truth(space, members, catalogue, choice, sessions, plays),
    )
