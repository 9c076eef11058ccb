"""If these fail, `palate tokenize` says something else than the documentation promises."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.tokens.test_merges import viewings
from typer.testing import CliRunner

from palate.cli.main import app
from palate.errors import ConfigError, MissingTableError, SchemaError

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dataset = viewings(members=60)
    dataset.events.write_parquet(tmp_path / "events.parquet")
    schema = dataset.schema.model_copy(update={"one_target_a_run": False})
    schema.write(tmp_path / "schema.yaml")
    return tmp_path


def test_json_has_a_row_a_size(folder: Path) -> None:
    result = runner.invoke(app, ["tokenize", str(folder), "--sizes", "3,4,6", "--json"], catch_exceptions=False)
    content = json.loads(result.stdout)
    sizes = [row["vocabulary_size"] for row in content["rows"]]
    assert sizes[:3] == [3, 4, 6]
    for row in content["rows"]:
        assert 0 < row["tokens_per_event"] <= 1
        assert set(row["kept"]) == {"event_type", "timestamp", "event_value", "device"}
        assert set(row["history_tokens"]) == {"mean", "median", "p90", "max"}
    assert content["rows"][1]["names"]


def test_the_table_says_what_to_do_next(folder: Path) -> None:
    result = runner.invoke(app, ["tokenize", str(folder)], catch_exceptions=False)
    assert "runs: merge" in result.stdout
    assert "one_target_a_run: true" in result.stdout


@pytest.mark.parametrize(("sizes", "message"), [("3,x", "not a list"), ("2", "too few"), ("0,5", "at least one")])
def test_sizes_that_make_no_sense(folder: Path, sizes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        runner.invoke(app, ["tokenize", str(folder), "--sizes", sizes], catch_exceptions=False)


def test_a_prepared_log_gives_the_same_trade(folder: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "log"
    runner.invoke(app, ["data", "prepare", str(folder), "--out", str(prepared)], catch_exceptions=False)
    found = [
        json.loads(runner.invoke(app, ["tokenize", str(each), "--json"], catch_exceptions=False).stdout)
        for each in (folder, prepared)
    ]
    assert found[0] == found[1]


def test_a_prepared_log_is_trained_on(folder: Path, tmp_path: Path) -> None:
    prepared, run = tmp_path / "log", tmp_path / "run"
    runner.invoke(app, ["data", "prepare", str(folder), "--out", str(prepared)], catch_exceptions=False)
    command = ["pretrain", str(prepared), "--out", str(run), "--epochs", "1", "--json"]
    result = runner.invoke(app, command, catch_exceptions=False)
    assert json.loads(result.stdout)["run"] == str(run)
    evaluated = runner.invoke(app, ["evaluate", str(run), str(folder), "--json"], catch_exceptions=False)
    assert json.loads(evaluated.stdout)["metrics"]["ndcg@10"]["value"] > 0
    other = tmp_path / "other"
    other.mkdir()
    pl.read_parquet(folder / "events.parquet").drop("device").write_parquet(other / "events.parquet")
    with pytest.raises(SchemaError, match=r"other does not have the form .* was trained on"):
        runner.invoke(app, ["evaluate", str(run), str(other)], catch_exceptions=False)
    again = runner.invoke(app, ["data", "prepare", str(folder), "--out", str(prepared), "--resume"])
    assert again.exit_code == 0, "a finished preparation is opened"
    with pytest.raises(MissingTableError, match="prepared log"):
        runner.invoke(app, ["evaluate", str(run), str(prepared)], catch_exceptions=False)


def test_what_comes_next_can_be_done(folder: Path, tmp_path: Path) -> None:
    """`palate evaluate` refuses a prepared log, so no one is sent there with it."""
    prepared = tmp_path / "log"
    runner.invoke(app, ["data", "prepare", str(folder), "--out", str(prepared)], catch_exceptions=False)
    said = {}
    for data in (folder, prepared):
        command = ["pretrain", str(data), "--out", str(tmp_path / f"run-{data.name}"), "--epochs", "1"]
        said[data] = runner.invoke(app, command, catch_exceptions=False).stdout.split("next: ")[1].strip()
    assert said[folder].endswith(f" {folder}")
    assert said[prepared].endswith(f" DATA, the data folder that {prepared} was prepared from")


def test_sizes_are_read_before_the_log(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a list"):
        runner.invoke(app, ["tokenize", str(tmp_path / "nowhere"), "--sizes", "3,x"], catch_exceptions=False)
