"""Run folders: written whole, verified when read; checkpoints."""

from palate.runs.card import HeadFigure, model_card
from palate.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from palate.runs.network import network
from palate.runs.run import Run, catalogue, write_run

__all__ = [
    "Checkpoint",
    "HeadFigure",
    "Run",
    "catalogue",
    "model_card",
    "network",
    "read_checkpoint",
    "write_checkpoint",
    "write_run",
]
