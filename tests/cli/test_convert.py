"""The command as typed: if these fail, people can't bring their data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.foreign import samples
from typer.testing import CliRunner

from palate.cli.main import app

runner = CliRunner()


def palate(*arguments: object) -> str:
    found = runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_convert_then_inspect(tmp_path: Path) -> None:
    source = samples.movielens_csv(tmp_path / "ml")
    said = palate("data", "convert", source, "--out", tmp_path / "data")
    assert "6 events, 2 members, 2 items, 3 described items" in said
    assert "types of events: rate 3, tag 3" in said
    assert f"next: palate data inspect {tmp_path / 'data'}" in said
    inspected = json.loads(palate("data", "inspect", tmp_path / "data", "--json", "--strict"))
    assert inspected["events"] == 6
    readme = (tmp_path / "data" / "README.md").read_text()
    assert readme.startswith("# ml, converted from MovieLens CSV")
    assert "To be predicted: rate" in readme
    assert str(tmp_path) not in readme, "a path of somebody's machine"


def test_json_is_one_object(tmp_path: Path) -> None:
    source = samples.personalize(tmp_path / "source")
    found = json.loads(palate("data", "convert", source, "--out", tmp_path / "data", "--json"))
    assert found["folder"] == str(tmp_path / "data")
    assert found["format"] == "Amazon Personalize"
    assert found["counts"]["events"] == 3
    assert found["event_types"] == {"watch": 2, "click": 1}
    assert isinstance(found["notes"], list)
    assert found["repairs"] == []


def test_there_and_back(tmp_path: Path) -> None:
    palate("data", "convert", samples.recbole(tmp_path / "source"), "--out", tmp_path / "data")
    said = palate("data", "convert", tmp_path / "data", "--to", "personalize", "--out", tmp_path / "aws")
    assert "note: items.embedding: left out: Personalize has no vector there" in said
    names = {path.name for path in (tmp_path / "aws").iterdir()}
    assert names >= {"interactions.csv", "interactions-schema.json", "items.csv", "users.csv", "README.md"}
    palate("data", "convert", tmp_path / "aws", "--out", tmp_path / "back")
    palate("data", "convert", tmp_path / "back", "--to", "recbole", "--out", tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} >= {"again.inter", "again.item", "again.user"}


def test_columns_are_named_by_options(tmp_path: Path) -> None:
    rows = "buyer:token\tasin:token\twhen:float\n1\ta\t1700000000\n"
    source = samples.write(tmp_path / "source", log__inter=rows)
    options = ("--format", "recbole", "--user-column", "buyer", "--item-column", "asin", "--time-column", "when")
    assert "1 events" in palate("data", "convert", source, "--out", tmp_path / "data", *options)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such folder or file"),
        (["empty"], "empty: no format was recognised; it holds no files (supported are movielens: u.data"),
        (["source", "--to", "recbole", "--item-column", "x"], "--to goes without --item-column"),
        (["torn", "--strict"], "torn: 1 repair needed: tiny.item, column item_id: duplicate id"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], said: str) -> None:
    samples.recbole(tmp_path / "source")
    samples.recbole(tmp_path / "torn", tiny__item="item_id:token\tyear:float\n007\t1\n007\t2\n")
    (tmp_path / "empty").mkdir()
    code = "from palate.cli.main import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code, "data", "convert", *arguments, "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stdout == ""
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert said in found.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "source", "torn"]
