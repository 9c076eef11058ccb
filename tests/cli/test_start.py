"""If these fail, every command waits seconds for torch, or a public name cannot be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import palate

NAMES = ["Dataset", "FoundationModel", "PalateError", "PretrainConfig", "Schema", "SplitRule", "pretrain"]

CODE = """
import json, os, sys
import palate.cli.main

found = {"imported": "torch" in sys.modules, "policy": os.environ["OMP_WAIT_POLICY"]}
try:
    palate.cli.main.main()
finally:
    found["ran"] = "torch" in sys.modules
    print(json.dumps(found), file=sys.stderr)
"""


def start(*arguments: object, policy: str | None = None) -> tuple[str, dict[str, object]]:
    """What a fresh process prints for a command line, and what it had imported."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if policy is not None:
        environment["OMP_WAIT_POLICY"] = policy
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


def test_data_commands_start_without_torch(tmp_path: Path) -> None:
    events = pl.DataFrame(
        {"user_id": [1, 1, 2], "item_id": [5, 6, 5], "timestamp": [1_700_000_000, 1_700_000_100, 1_700_000_200]}
    )
    events.write_csv(tmp_path / "events.csv")
    said, found = start("data", "inspect", tmp_path, "--json")
    assert json.loads(said)["events"] == 3
    assert found == {"imported": False, "policy": "PASSIVE", "ran": False}


def test_help_starts_without_torch() -> None:
    said, found = start("--help", policy="ACTIVE")
    assert all(command in said for command in ("demo", "data", "tokenize", "pretrain", "evaluate", "recommend"))
    assert found == {"imported": False, "policy": "ACTIVE", "ran": False}, "whoever has set the policy keeps it"


def test_public_names() -> None:
    assert palate.__all__ == NAMES
    assert set(NAMES) <= set(dir(palate))
    for name in NAMES:
        assert getattr(palate, name).__name__ == name
    with pytest.raises(AttributeError, match="Datset"):
        _ = palate.Datset  # type: ignore[attr-defined]
