"""Checkpoints: everything that a training needs to go on as if it had never stopped.

Randomness of a step is derived from the seed and the number of the step, and the order of batches from the seed and
the epoch; so the position in the data is two numbers, and there is no random state to keep.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from palate.runs.files import verify, whole_folder

FORMAT: Final = 1
KEPT: Final = 2


class Checkpoint(NamedTuple):
    """Tensors by name, and the training's own state as JSON."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    best: dict[str, Tensor]
    """Weights of the best validation so far; empty before the first."""
    state: str


def write_checkpoint(
    folder: Path,
    step: int,
    *,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    state: BaseModel,
) -> None:
    """Write the checkpoint of ``step`` into ``folder``; older ones than the last two go."""
    target = folder / f"step-{step:010d}"
    if target.exists():
        return
    for left_over in folder.glob(".step-*"):  # by whoever was killed while it wrote, perhaps of another step
        shutil.rmtree(left_over)
    with whole_folder(target, format_version=FORMAT) as aside:
        for name, tensors in (("model", model), ("optimizer", optimizer), ("best", best)):
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside / f"{name}.safetensors")
        (aside / "state.json").write_text(state.model_dump_json(indent=1), encoding="utf-8")
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The last checkpoint, verified; none where there is none. Raises `DamagedRunError` for a damaged one."""
    found = _checkpoints(folder)
    if not found:
        return None
    last = found[-1]
    verify(last, format_version=FORMAT)
    model, optimizer, best = (load_file(last / f"{name}.safetensors") for name in ("model", "optimizer", "best"))
    return Checkpoint(model, optimizer, best, (last / "state.json").read_text(encoding="utf-8"))


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))
