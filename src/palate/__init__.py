"""Palate: a foundation model for personalised recommendation."""

import os
from typing import TYPE_CHECKING

# Threads that wait must sleep: spinning ones make a training on a shared machine several times slower. It has to be
# said before torch is imported, and whoever has set it otherwise keeps it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = ["Dataset", "FoundationModel", "PalateError", "PretrainConfig", "Schema", "SplitRule", "pretrain"]

if TYPE_CHECKING:
    from palate.data import Dataset, Schema, SplitRule
    from palate.errors import PalateError
    from palate.foundation import FoundationModel
    from palate.train import PretrainConfig, pretrain
else:
    # The public names are imported when they are first asked for: torch takes seconds, and most commands need none.
    _HOMES = {
        "Dataset": "palate.data",
        "FoundationModel": "palate.foundation",
        "PalateError": "palate.errors",
        "PretrainConfig": "palate.train",
        "Schema": "palate.data",
        "SplitRule": "palate.data",
        "pretrain": "palate.train",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
