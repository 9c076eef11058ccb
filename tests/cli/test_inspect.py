"""What a script or a pipeline relies on: the keys, the exit status, one object on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from palate.cli.data import data_app
from palate.errors import ConfigError, MissingExtraError, StrictError

KEYS = {
    "events", "members", "items", "described_items", "items_without_events", "described_members", "density",
    "repeat_share", "history_length", "item_events", "top_item_share", "first_time", "last_time", "event_types",
    "missing", "split", "split_note", "cuts", "schema", "report", "findings",
}  # fmt: skip
FINDING_KEYS = [
    "code", "severity", "what", "table", "column", "example", "advice", "measure", "figure", "bound", "threshold",
]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data_app, ["inspect", *map(str, arguments)], env={"COLUMNS": "160"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Too few events, so there is an error; and a constant column, so there is a warning."""
    folder = tmp_path / "data"
    folder.mkdir()
    number = pl.int_range(300, eager=True)
    pl.DataFrame(
        {
            "user_id": (number // 10).cast(pl.String) + "[red]",
            "item_id": number * 7 % 29,
            "timestamp": 1_700_000_000 + number * 9_000,
            "channel": "all",
        }
    ).write_csv(folder / "events.csv")
    return folder


def test_json_has_stable_keys(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content.keys() == KEYS
    assert content["findings"]
    for finding in content["findings"]:
        assert list(finding) == FINDING_KEYS
        assert finding["severity"] in ("error", "warning", "info")
        assert finding["bound"] in ("at most", "at least")
        assert isinstance(finding["figure"], int | float)
    severities = [finding["severity"] for finding in content["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_the_table_says_what_to_do(folder: Path) -> None:
    output = run(folder).stdout
    assert output.index("Columns") < output.index("What to do")
    for word in ("few_targets", "constant_column", "channel: {role: ignore", "300 target"):
        assert word in output
    assert output.index("few_targets") < output.index("constant_column")


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--fail-on", "error"], 1), (["--fail-on", "warning"], 1)])
def test_exit_status(folder: Path, arguments: list[str], status: int) -> None:
    result = run(folder, "--json", *arguments)
    assert result.exit_code == status
    assert json.loads(result.stdout)["findings"], "the answer is there all the same"
    assert ("failed: 1 error" in result.stderr) == bool(status)


def test_warnings_are_no_errors(folder: Path, tmp_path: Path) -> None:
    events = pl.read_csv(folder / "events.csv")
    more = [events.with_columns(pl.col("user_id") + str(n), pl.col("timestamp") + 400 * n) for n in range(6)]
    pl.concat(more).write_csv(folder / "events.csv")
    assert run(folder, "--fail-on", "error").exit_code == 0
    assert run(folder, "--fail-on", "warning").exit_code == 1


def test_strict_refuses_repairs(folder: Path) -> None:
    assert run(folder, "--strict").exit_code == 0
    with (folder / "events.csv").open("a") as file:
        file.write(",5,1700000000,all\n1,6,soon,all\n")
    assert run(folder).exit_code == 0
    result = run(folder, "--strict", "--json")
    assert isinstance(result.exception, StrictError)
    assert result.stdout == ""
    for words in ("events.csv", "user_id", "timestamp", "'soon'"):
        assert words in str(result.exception)


def test_the_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = run(folder, "--html", out, "--json")
    assert result.exit_code == 0
    json.loads(result.stdout)
    assert "page:" in result.stderr
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run(folder, "--html", out).exit_code == 0, "an older page is replaced"
    assert isinstance(run(folder, "--html", tmp_path).exception, ConfigError)


def test_a_page_replaces_no_data(folder: Path) -> None:
    log = folder / "events.csv"
    before = log.read_bytes()
    assert isinstance(run(folder, "--html", log).exception, ConfigError)
    assert log.read_bytes() == before


def test_a_missing_extra_is_said_before_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    exception = run(folder, "--html", "report.html").exception
    assert isinstance(exception, MissingExtraError)
    assert "palate[plots]" in str(exception)
