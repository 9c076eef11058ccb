"""Where a model is trained: on the processor, or on one GPU.

Only the model that is descended, the batches and the catalogue go there. Data preparation, validation, the fit of new
items and everything that is written stay with a copy on the processor, so a run does not know where it was trained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, Literal, ParamSpec, TypeVar

import torch

from palate.errors import ConfigError, TrainingError
from palate.model import ModelConfig, TransformerConfig
from palate.train.processes import Processes

PROCESSOR: Final = torch.device("cpu")

NARROWEST: Final = 16
"""Width of a head that FlexAttention takes."""

_Given = ParamSpec("_Given")
_Done = TypeVar("_Done")

Precision = Literal["auto", "float32", "bfloat16"]


def find_device(name: str) -> torch.device:
    """The device of that name: ``cpu``, ``cuda`` or ``cuda:1``. Raises `ConfigError` where it is not there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"no device is called {name!r}", hint="use cpu, cuda, or cuda:1 for the second GPU")
    if device.type == "cuda":
        there = torch.cuda.device_count()
        if not there:
            built = torch.version.cuda or torch.version.hip
            why = "torch sees no GPU" if built else "this build of torch is for processors alone"
            raise ConfigError(f"{name}: {why}", hint="install torch's build for your GPU, or train with --device cpu")
        if (device.index or 0) >= there:
            plural = "s" if there > 1 else ""
            raise ConfigError(f"{name}: torch sees {there} GPU{plural}", hint="they are counted from cuda:0")
    return device


def present(device: str | torch.device) -> torch.device:
    """The device, if it is there; see `find_device`."""
    if isinstance(device, torch.device) and device.type not in ("cpu", "cuda"):
        return device
    return find_device(str(device))


def check_device(device: torch.device, processes: Processes) -> None:
    """Raise `ConfigError` where several processes would share a GPU."""
    if device.type != "cpu" and processes.world > 1:
        raise ConfigError(
            f"{processes.world} processes train on processors, not on {device}",
            hint="train in one process with --device, or leave it out",
        )


def told_when_full(work: Callable[_Given, _Done]) -> Callable[_Given, _Done]:
    """What a GPU's memory does not hold, as a `TrainingError` that says what takes less."""

    @wraps(work)
    def wrapped(*given: _Given.args, **named: _Given.kwargs) -> _Done:
        try:
            return work(*given, **named)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                "a step does not fit into the memory of the GPU",
                hint="smaller packing.batch_tokens, windows.context or model.encoder.width take less",
            ) from error

    return wrapped


def check_heads(model: ModelConfig, device: torch.device) -> None:
    """Raise `ConfigError` where heads are too narrow for the kernel that windows have on a GPU."""
    encoder = model.encoder
    if device.type == "cuda" and isinstance(encoder, TransformerConfig) and encoder.window is not None:
        width = encoder.width // encoder.heads
        if width < NARROWEST:
            raise ConfigError(
                f"heads of width {width} can't have a window on a GPU: FlexAttention takes {NARROWEST} and wider",
                hint="fewer model.encoder.heads, or a larger model.encoder.width",
            )


def lowered_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The type of the encoder's products there, where that is not float32."""
    if precision == "auto":
        short = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if short else None
    return torch.bfloat16 if precision == "bfloat16" else None


def allow_short_products(device: torch.device, lowered: torch.dtype | None) -> None:
    """Where the encoder's products are lowered, those that stay float32 may be TF32's, in all of the process."""
    if device.type == "cuda" and lowered is not None:
        torch.backends.cuda.matmul.allow_tf32 = True


def told(device: torch.device, lowered: torch.dtype | None) -> str:
    """A device in words."""
    if device.type == "cuda":
        name = f"{device}, {torch.cuda.get_device_name(device)}"
    else:
        name = f"{torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    return name if lowered is None else f"{name}, products of the encoder in {str(lowered).removeprefix('torch.')}"


def most_bytes(device: torch.device) -> int | None:
    """The most memory of a GPU that torch had in use at any moment; none elsewhere."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
