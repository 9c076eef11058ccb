"""What the tests of several processes start: `python spawned.py TASK FOLDER`, once for each rank, as torchrun does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from palate.data import Dataset
from palate.errors import PalateError
from palate.train import PretrainConfig, pretrain
from palate.train.loop import Trainer
from palate.train.processes import processes
from palate.train.report import Step

CUT = 6
"""Steps after which a training is cut off."""


class Losses:
    """The loss of every step; after ``most`` of them it interrupts."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.most: int | None = None

    def step(self, step: Step) -> None:
        self.values.append(step.loss)
        if len(self.values) == self.most:
            raise KeyboardInterrupt

    def write(self, folder: Path, name: str, rank: int) -> None:
        (folder / f"{name}.{rank}.json").write_text(json.dumps(self.values))

    def start(self, *_: object) -> None: ...
    def validating(self, *_: object) -> None: ...
    def validated(self, *_: object, **__: object) -> None: ...
    def finish(self, *_: object) -> None: ...
    def stage(self, *_: object) -> None: ...
    def sealed(self, *_: object) -> None: ...


def main() -> None:
    """Train by ``FOLDER/settings.yaml`` on ``FOLDER/data`` into ``FOLDER/NAME``; write the losses of each rank."""
    torch.set_num_threads(1)
    folder, name, options = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    losses, rank = Losses(), int(os.environ["RANK"])
    if "cut" in options:
        losses.most = CUT
    if "dies" in options and rank == 1:
        Trainer._end_epoch = lambda *_: os._exit(9)  # type: ignore[method-assign,assignment]
    try:
        with processes() as joined:
            pretrain(
                Dataset.from_folder(folder / "data"),
                folder / name,
                PretrainConfig.from_yaml(folder / "settings.yaml"),
                resume="resume" in options,
                reporters=[losses],
                processes=joined,
                sharded="sharded" in options,
            )
    except PalateError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        losses.write(folder, name, rank)
        os._exit(0)  # as if it had been killed: nothing is said to the others
    losses.write(folder, name, rank)


if __name__ == "__main__":
    main()
