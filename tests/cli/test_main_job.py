"""If these fail, the main job does not work for who types it."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from palate.cli.main import app
from palate.errors import ConfigError, StrictError

SETTINGS = "epochs: 2\nmodel: {encoder: {kind: transformer, width: 16}}\n"
runner = CliRunner()


def palate(*arguments: object) -> str:
    found = runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    palate("data", "simulate", folder / "data", "--members", 60, "--items", 80, "--days", 40)
    (folder / "settings.yaml").write_text(SETTINGS)
    # Members of the simulated service do see things again; here they may not, so that the filter has work.
    schema = folder / "data" / "schema.yaml"
    schema.write_text(schema.read_text().replace("play: allow", "play: exclude"))
    said = palate("pretrain", folder / "data", "--out", folder / "run", "--config", folder / "settings.yaml")
    assert "next: palate evaluate" in said
    # The figure is that of what was sealed, not that of an epoch.
    sealed = json.loads((folder / "run" / "metrics.json").read_text())["metrics"]["ndcg@10"]["value"]
    assert f"validation NDCG@10 {sealed:.4f}\n" in said
    return folder


def test_evaluate_prints_one_object(service: Path) -> None:
    found = json.loads(palate("evaluate", service / "run", service / "data", "--json"))
    assert {"protocol", "metrics"} <= found.keys()
    for name in ("ndcg@10", "hr@10"):
        figure = found["metrics"][name]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert found["protocol"]["part"] == "test"
    assert {"popular", "recent_popular"} <= found["baselines"].keys()
    assert len((service / "run.looks.jsonl").read_text().splitlines()) >= 1


def test_a_run_equals_itself(service: Path) -> None:
    run, data = service / "run", service / "data"
    found = json.loads(palate("evaluate", run, data, "--no-baselines", "--compare", run, "--json"))
    assert found["comparison"][str(run)]["ndcg@10"]["value"] == 0


def test_recommend_gives_what_may_be_recommended(service: Path) -> None:
    out = service / "picks.parquet"
    palate("recommend", service / "run", service / "data", "-k", 5, "--out", out)
    picks = pl.read_parquet(out)
    events = pl.read_parquet(service / "data" / "events.parquet").filter(pl.col("event_type") == "play")
    assert picks.height == 5 * picks["user_id"].n_unique()
    assert picks.join(events, on=["user_id", "item_id"]).is_empty(), "a title that the member has had"
    assert "title" in picks.columns
    one = json.loads(palate("recommend", service / "run", service / "data", "--user", picks["user_id"][0], "--json"))
    assert [row["item_id"] for row in one["recommendations"][:5]] == picks["item_id"].head(5).to_list()


def test_recommend_at_a_moment(service: Path) -> None:
    command = ["recommend", service / "run", service / "data", "--user", "m00007", "--json"]
    later = palate(*command, "--at", "2030-01-31T20:00")
    assert later == palate(*command, "--at", "2030-01-31T21:00+01:00"), "a time without a zone is UTC"
    assert len(json.loads(later)["recommendations"]) == 10
    assert later != palate(*command), "scores are those of the moment"
    with pytest.raises(ConfigError, match="--at soon: not a time"):
        palate(*command, "--at", "soon")
    with pytest.raises(ConfigError, match="events at or after the moment"):
        palate(*command, "--at", "2001-01-31")


def test_recommend_writes_csv(service: Path) -> None:
    out = service / "new" / "picks.csv"
    command = ["recommend", service / "run", service / "data", "-k", 3, "--user", "m00007", "--user", "m00003", "--out"]
    said = palate(*command, out)
    assert said.endswith("picks.csv: 6 recommendations for 2 members\n")
    palate(*command, service / "picks.parquet")
    assert_frame_equal(pl.read_csv(out), pl.read_parquet(service / "picks.parquet"), check_dtypes=False)
    with pytest.raises(ConfigError, match="unknown ending"):
        palate(*command, service / "picks.txt")


def test_recommend_replaces_no_data(service: Path) -> None:
    log = service / "data" / "events.parquet"
    before = log.read_bytes()
    for name in ("events.parquet", "items.csv"):
        with pytest.raises(ConfigError, match="is a table of"):
            palate("recommend", service / "run", service / "data", "-k", 3, "--out", service / "data" / name)
    assert log.read_bytes() == before
    assert not (service / "data" / "items.csv").exists()


def test_strict_training_refuses_repairs(service: Path, tmp_path: Path) -> None:
    events = pl.read_parquet(service / "data" / "events.parquet")
    pl.concat([events, events.tail(2)]).write_parquet(tmp_path / "events.parquet")
    out = tmp_path / "run"
    with pytest.raises(StrictError, match=r"events\.parquet.* 2 "):
        palate("pretrain", tmp_path, "--out", out, "--strict")
    assert not out.exists()


def test_a_seed_that_does_not_fit(service: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"seed: .* less than or equal to 2147483647"):
        palate("pretrain", service / "data", "--out", tmp_path / "run", "--seed", 2**32)
    assert not list(tmp_path.iterdir())


def test_a_split_that_does_not_exist(service: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--split: kind: .*'temporal', 'leave_one_out' or 'none'"):
        palate("pretrain", service / "data", "--out", tmp_path / "run", "--split", "weekly")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "nowhere", "data"], "nowhere: no such run"),
        (["pretrain", "nowhere", "--out", "run"], "nowhere"),
        (["data", "inspect", "nowhere"], "nowhere"),
        (["data", "simulate", "taken/service"], "taken"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "taken").touch()
    code = "from palate.cli.main import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert found.stdout == ""
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert said in found.stderr
