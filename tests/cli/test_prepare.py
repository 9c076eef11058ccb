"""What a person who prepares a log is told about the options."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from palate.cli.data import data_app
from palate.errors import ConfigError


@pytest.mark.parametrize(
    ("size", "message"), [("many", "not a size"), ("10", "at least 512MiB"), ("511MiB", "at least 512MiB")]
)
def test_a_memory_that_makes_no_sense(tmp_path: Path, size: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(
            data_app,
            ["prepare", str(tmp_path), "--out", str(tmp_path / "log"), "--memory", size],
            catch_exceptions=False,
        )
