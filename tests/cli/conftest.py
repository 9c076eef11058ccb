"""A small service and a run of it that has every part, for the commands that answer for members."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from palate.cli.main import app

SETTINGS = "epochs: 1\nmodel: {encoder: {kind: transformer, width: 16}, next: {n: 3}}\n"
runner = CliRunner()


def palate(*arguments: object) -> str:
    """The stdout of a command that must succeed."""
    found = runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.fixture(scope="session")
def whole_service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and ``run``."""
    folder = tmp_path_factory.mktemp("whole-service")
    palate("data", "simulate", folder / "data", "--members", 60, "--items", 80, "--days", 40)
    (folder / "settings.yaml").write_text(SETTINGS)
    schema = folder / "data" / "schema.yaml"
    schema.write_text(schema.read_text().replace("play: allow", "play: exclude"))
    palate("pretrain", folder / "data", "--out", folder / "run", "--config", folder / "settings.yaml")
    return folder
