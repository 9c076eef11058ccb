"""What only the simulator knows, as tables and arrays that the oracle reads: never among the written tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from palate import words
from palate.errors import MissingTableError, TornFileError
from palate.simulate import world
from palate.simulate.catalogue import Catalogue
from palate.simulate.choice import ChoiceModel
from palate.simulate.config import SimulationConfig
from palate.simulate.context import hour_of
from palate.simulate.grid import Floats
from palate.simulate.log import milliseconds
from palate.simulate.members import Members
from palate.simulate.play import Plays
from palate.simulate.sessions import Sessions
from palate.simulate.tables import read_table, write_table

_CHOICES, _MEMBERS, _ITEMS, _ARRAYS, _CONFIG = (
    "choices.parquet", "members.parquet", "items.parquet", "latent.safetensors", "config.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """The latent state of a simulated service."""

    config: SimulationConfig
    choices: pl.DataFrame
    """One row a play, sorted by member and time: ids, timestamp (ms), the title's index, and what led to it."""
    members: pl.DataFrame
    """One row a member, by id: archetype shares, activity, weights of quality and of being new."""
    items: pl.DataFrame
    """One row a title, in order of launch: its id, launch day, next part, quality."""
    arrays: dict[str, NDArray[Any]]
    """``taste`` [weeks, M, D], ``features`` [V, F], ``appeal`` and ``fresh`` [days, V], ``genres`` [genres, D]."""

    def write(self, folder: Path) -> None:
        """Write everything into an existing folder."""
        (folder / _CONFIG).write_text(self.config.to_yaml(), encoding="utf-8")
        write_table(self.choices, folder / _CHOICES)
        write_table(self.members, folder / _MEMBERS)
        write_table(self.items, folder / _ITEMS)
        save_file(self.arrays, folder / _ARRAYS)
        (folder / _ARRAYS).chmod(0o644)  # the library makes it private, unlike its neighbours

    @classmethod
    def read(cls, folder: Path) -> Truth:
        """Read what `write` wrote. Raises `MissingTableError`, `TornFileError` or `ConfigError`."""
        for name in (_CONFIG, _CHOICES, _MEMBERS, _ITEMS, _ARRAYS):
            if not (folder / name).is_file():
                raise MissingTableError(
                    f"{folder / name}: no such file",
                    hint="name the folder of a simulated service, which holds truth/",
                )
        try:
            arrays = load_file(folder / _ARRAYS)
        except Exception as error:  # safetensors raises its own classes and builtin ones alike
            raise TornFileError(f"{folder / _ARRAYS}: not a whole safetensors file: {error}") from error
        return cls(
            config=SimulationConfig.from_yaml(folder / _CONFIG),
            choices=read_table(folder / _CHOICES),
            members=read_table(folder / _MEMBERS),
            items=read_table(folder / _ITEMS),
            arrays=arrays,
        )


def latent_space(genres: Floats) -> world.Space:
    """The space as far as the oracle needs it: genres only."""
    return world.Space(genres=np.asarray(genres, dtype=np.float64), archetypes=np.zeros((0, world.LATENT)))


def make_truth(
    space: world.Space,
    members: Members,
    catalogue: Catalogue,
    choice: ChoiceModel,
    sessions: Sessions,
    plays: Plays,
) -> Truth:
    """Gather what led to each play."""
    member, day = sessions.member[plays.session], sessions.day[plays.session]
    choices = pl.DataFrame(
        {
            words.USER_ID: members.user_id[member].tolist(),
            words.TIMESTAMP: milliseconds(plays.second),
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
    return Truth(config=choice.config, choices=choices, members=by_member, items=by_item, arrays=arrays)
