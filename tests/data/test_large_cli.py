"""``palate data prepare`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from palate.cli.data import data_app
from palate.data import Dataset, PreparedLog
from palate.errors import ConfigError, RunExistsError, StrictError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": rng.integers(0, 9, 300),
            "item_id": rng.integers(0, 9, 300),
            "timestamp": 1_600_000_000 + np.arange(300),
        }
    )
    (tmp_path / "data").mkdir()
    pl.concat([log, log[:3]]).write_csv(tmp_path / "data" / "events.csv")
    return tmp_path / "data"


def test_a_folder_is_prepared_and_reported(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "log"
    result = CliRunner().invoke(data_app, ["prepare", str(folder), "--out", str(out), "--memory", "1GiB", "--json"])
    assert result.exit_code == 0, result.exception
    content = json.loads(result.stdout)
    assert (content["events"], content["members"], content["parts"]) == (300, 9, 1)
    assert content["report"] == json.loads(json.dumps(Dataset.from_folder(folder).report.to_dict()))
    assert PreparedLog.open(out).events == 300
    again = CliRunner().invoke(data_app, ["prepare", str(folder), "--out", str(out)])
    assert isinstance(again.exception, RunExistsError)


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path) -> None:
    command = ["prepare", str(folder), "--out", str(tmp_path / "log")]
    assert isinstance(CliRunner().invoke(data_app, [*command, "--memory", "lots"]).exception, ConfigError)
    assert isinstance(CliRunner().invoke(data_app, [*command, "--memory", "1MiB"]).exception, ConfigError)
    assert isinstance(CliRunner().invoke(data_app, [*command, "--strict"]).exception, StrictError)
    assert CliRunner().invoke(data_app, command).exit_code == 0
