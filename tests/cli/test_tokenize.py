"""If these fail, `palate tokenize` says something else than the documentation promises."""

import json
from pathlib import Path

import pytest
from tests.tokens.test_merges import viewings
from typer.testing import CliRunner

from palate.cli.main import app
from palate.errors import ConfigError

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
