"""Palate: a foundation model for personalised recommendation."""

import os

# Threads that wait must sleep: spinning ones make a training on a shared machine several times slower. It has to be
# said before torch is imported, and whoever has set it otherwise keeps it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from palate.data import Dataset, Schema, SplitRule
from palate.errors import PalateError
from palate.foundation import FoundationModel
from palate.train import PretrainConfig, pretrain

__all__ = ["Dataset", "FoundationModel", "PalateError", "PretrainConfig", "Schema", "SplitRule", "pretrain"]
