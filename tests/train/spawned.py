"""What the tests of several processes start: `python spawned.py TASK FOLDER`, once for each rank, as torchrun does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from tests.tokens.worlds import world

from palate.data import Dataset, PreparedLog
from palate.errors import PalateError
from palate.train import PretrainConfig, pretrain
from palate.train.loop import Trainer
from palate.train.processes import processes
from palate.train.report import Step


class Losses:
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, step: Step) -> None:
        self.values.append(step.loss)

    def start(self, *_: object) -> None: ...
    def validating(self, *_: object) -> None: ...
    def validated(self, *_: object, **__: object) -> None: ...
    def finish(self, *_: object) -> None: ...


def main() -> None:
    """Train by ``FOLDER/settings.yaml`` on ``FOLDER/data`` into ``FOLDER/NAME``; write the losses of each rank."""
    torch.set_num_threads(1)
    folder, name, options = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    config = PretrainConfig.from_yaml(folder / "settings.yaml")
    losses = Losses()
    rank = int(os.environ.get("RANK", "0"))
    if "cut" in options:
        plain = Trainer._step
        steps = 0

        def cut(self: Trainer, *arguments: object) -> None:
            nonlocal steps
            steps += 1
            if steps == 6:
                raise KeyboardInterrupt
            plain(self, *arguments)  # type: ignore[arg-type]

        Trainer._step = cut  # type: ignore[method-assign,assignment]
    if "dies" in options and rank == 1:
        Trainer._end_epoch = lambda *_: os._exit(9)  # type: ignore[method-assign,assignment]
    try:
        with processes() as joined:
            data = Dataset.from_folder(folder / "data") if (folder / "data").is_dir() else PreparedLog.open(folder)
            assert isinstance(data, Dataset)
            pretrain(
                data,
                folder / name,
                config,
                resume="resume" in options,
                reporters=[losses],
                processes=joined,
                sharded="sharded" in options,
            )
    except KeyboardInterrupt:
        os._exit(0)  # as if it had been killed: nothing is said to the others
    except PalateError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    (folder / f"{name}.{rank}.json").write_text(json.dumps(losses.values))


if __name__ == "__main__":
    assert callable(world)
    main()
