"""Shared by all tests: shapes are checked at run time, and torch keeps to one thread (tests are small)."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from jaxtyping import install_import_hook

HOOK = install_import_hook(["palate.tokens", "palate.model", "palate.rank", "palate.evaluate"], "beartype.beartype")

import torch

torch.set_num_threads(1)
