"""What only the simulator knows, as tables and arrays that the oracle reads: never among the written tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from palate.errors import MissingTableError, TornFileError
from palate.simulate import world
from palate.simulate.config import SimulationConfig
from palate.simulate.grid import Floats
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
