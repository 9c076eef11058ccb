"""The simulated service as a whole: made from a configuration, held as tables or written as a data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from palate.data.schema import Schema
from palate.files import must_be_free, new_folder
from palate.simulate.block import Service, make_service
from palate.simulate.config import SimulationConfig
from palate.simulate.filter import FilterConfig, FilterOracle
from palate.simulate.log import EVENT_TYPES, events_frame, written_schema
from palate.simulate.oracle import Knowledge, Oracle
from palate.simulate.shards import Shard, shards
from palate.simulate.tables import TableWriter, shifted, write_table
from palate.simulate.truth import (
    MEMBERS,
    PLAYS,
    SESSIONS,
    VIEWINGS,
    MemberTruth,
    Truth,
    service_truth,
)

Progress = Callable[[int, int, int], None]
"""Called after each block with the members done, the members in all, and the events so far."""

_README = """# A simulated streaming service

Made by Palate's simulator (version {version}): {members} members, {items} items, {days} days, seed {seed};
{events}. Nobody in here is real. Equal settings make equal files.

| file | holds |
| --- | --- |
| `events.parquet` | who, what, when (ms, UTC), type, seconds, session, device, locale, rating, items shown |
| `items.parquet` | titles with genres, cast, maker, series (`group_id`), type, language, runtime and launch time |
| `users.parquet` | members with country, age band, plan and the time they joined |
| `schema.yaml` | what each column is for: plays are predicted, everything else is input only |
{truth}
The equations are in `docs/simulator.md` of the project.
"""
_TRUTH = """| `truth/` | what no model may see: tastes over time, what sessions were after, why titles were chosen |

`truth/` is for measuring: an oracle that reads it says how much can be predicted at all. Reading the data folder
never reads it.
"""


@dataclass(frozen=True)
class Written:
    """What a folder holds."""

    folder: Path
    members: int
    items: int
    events: dict[str, int]
    """Number of events of each type."""


@dataclass(frozen=True)
class Simulation:
    """What a simulated service has recorded, and the truth behind it."""

    service: Service
    shards: tuple[Shard, ...]

    @property
    def config(self) -> SimulationConfig:
        """The settings it was made from."""
        return self.service.config

    @cached_property
    def events(self) -> pl.DataFrame:
        """Everything that happened, block by block of members, and by time in each."""
        frames = [events_frame(self.config, self.service.catalogue, shard.log) for shard in self.shards]
        return pl.concat(frames)

    @property
    def items(self) -> pl.DataFrame:
        """The items table."""
        return self.service.catalogue.table

    @cached_property
    def users(self) -> pl.DataFrame:
        """The users table."""
        return pl.concat([shard.users for shard in self.shards])

    @property
    def schema(self) -> Schema:
        """The schema that is written."""
        return written_schema()

    @cached_property
    def truth(self) -> Truth:
        """What only the simulator knows."""
        parts = [shard.truth for shard in self.shards if shard.truth is not None]
        offsets = _Offsets()
        moved = [offsets.move(part) for part in parts]
        tables = (
            pl.concat([getattr(part, name) for part in moved]) for name in ("plays", "viewings", "sessions", "members")
        )
        return service_truth(self.service, MemberTruth(*tables))

    def oracle(self, knowledge: Knowledge | None = None) -> Oracle:
        """The upper reference for these data."""
        return Oracle(self.truth, knowledge or Knowledge())

    def filter_oracle(self, config: FilterConfig | None = None) -> FilterOracle:
        """The lower reference: it knows the generator and the observed past."""
        return FilterOracle(self.truth, config or FilterConfig())

    def write(self, folder: str | Path) -> Path:
        """Write the data folder, with the truth apart in ``truth/``; all of it or nothing.

        Raises `ConfigError` where the folder exists and is not empty.
        """
        return _write(self.service, self.shards, Path(folder), truth=True, progress=None).folder


def simulate(config: SimulationConfig, *, processes: int = 1) -> Simulation:
    """Simulate a service, in memory. Equal configurations give equal tables, on any number of processes.

    With more than one a script needs ``if __name__ == "__main__"``, as multiprocessing does.
    """
    service = make_service(config)
    return Simulation(service, tuple(shards(service, truth=True, processes=processes)))


def simulate_to(
    config: SimulationConfig,
    folder: str | Path,
    *,
    truth: bool = True,
    processes: int = 1,
    progress: Progress | None = None,
) -> Written:
    """Simulate a service into a data folder, block by block of members: memory doesn't grow with their number.

    Writes what `Simulation.write` writes, byte for byte; without ``truth`` no truth. See `simulate` for
    ``processes``. Raises `ConfigError` where the folder exists and is not empty.
    """
    must_be_free(Path(folder))
    service = make_service(config)
    made = shards(service, truth=truth, processes=processes)
    return _write(service, made, Path(folder), truth=truth, progress=progress)


def _write(service: Service, made: Iterable[Shard], target: Path, *, truth: bool, progress: Progress | None) -> Written:
    config = service.config
    counts = dict.fromkeys(EVENT_TYPES, 0)
    done = 0
    with new_folder(target) as aside:
        folder = aside / "truth"
        if truth:
            folder.mkdir()
        names = (PLAYS, VIEWINGS, SESSIONS, MEMBERS) if truth else ()
        writers = [TableWriter(folder / name) for name in names]
        events, users = TableWriter(aside / "events.parquet"), TableWriter(aside / "users.parquet")
        offsets = _Offsets()
        for shard in made:
            frame = events_frame(config, service.catalogue, shard.log)
            events.add(frame)
            users.add(shard.users)
            for name, count in frame["event_type"].value_counts().iter_rows():
                counts[name] += count
            if truth:
                assert shard.truth is not None, "blocks with their truth"
                part = offsets.move(shard.truth)
                tables = (part.plays, part.viewings, part.sessions, part.members)
                for writer, table in zip(writers, tables, strict=True):
                    writer.add(table)
            done += shard.members
            if progress is not None:
                progress(done, config.members, sum(counts.values()))
        for writer in (*writers, events, users):
            writer.close()
        write_table(service.catalogue.table, aside / "items.parquet")
        written_schema().write(aside / "schema.yaml")
        if truth:
            nobody = pl.DataFrame()
            service_truth(service, MemberTruth(nobody, nobody, nobody, nobody)).write_service(folder)
        (aside / "README.md").write_text(_readme(config, counts, truth=truth), encoding="utf-8")
    return Written(target, config.members, config.items, counts)


def _readme(config: SimulationConfig, counts: dict[str, int], *, truth: bool) -> str:
    return _README.format(
        version=config.version,
        members=config.members,
        items=config.items,
        days=config.days,
        seed=config.seed,
        events=", ".join(f"{count} {name}" for name, count in counts.items()),
        truth=_TRUTH if truth else "",
    )


class _Offsets:
    """Rows of the tables of truth so far: what blocks after them must add to refer to each other."""

    def __init__(self) -> None:
        self._viewings = self._sessions = 0

    def move(self, part: MemberTruth) -> MemberTruth:
        """The next block, with rows counted from the start of the whole."""
        moved = MemberTruth(
            plays=shifted(part.plays, [("viewing", self._viewings)]),
            viewings=shifted(part.viewings, [("session", self._sessions)]),
            sessions=part.sessions,
            members=part.members,
        )
        self._viewings += part.viewings.height
        self._sessions += part.sessions.height
        return moved
