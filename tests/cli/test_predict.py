"""If these fail, `palate predict` and looking ahead do not work for who types them."""

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.cli.conftest import palate

from palate.data import Dataset
from palate.errors import ConfigError, UnknownMemberError
from palate.foundation import FoundationModel


def test_the_heads_of_a_run(whole_service: Path) -> None:
    said = palate("predict", whole_service / "run", "--heads")
    assert "genres" in said
    listed = json.loads(palate("predict", whole_service / "run", "--heads", "--json"))["heads"]
    assert {"genres", "language", "entity_type"} <= listed.keys()
    assert "film" in listed["entity_type"]


def test_predictions_are_a_table(whole_service: Path) -> None:
    run, data, out = whole_service / "run", whole_service / "data", whole_service / "new" / "wants.csv"
    command = ["predict", run, data, "--head", "genres", "--head", "language", "-k", 2, "--user", "m00007"]
    found = json.loads(palate(*command, "--json"))["predictions"]
    assert [(row["head"], row["rank"]) for row in found] == [(h, r) for h in ("genres", "language") for r in (1, 2)]
    assert found[0].keys() == {"user_id", "head", "rank", "value", "probability", "attention"}
    said = palate(*command, "--out", out)
    assert said.endswith("wants.csv: 4 predictions for 1 members\n")
    assert pl.read_csv(out)["value"].to_list() == [row["value"] for row in found]
    model = FoundationModel.from_pretrained(run)
    table = model.predict(Dataset.from_folder(data), ["genres", "language"], k=2, user_ids=["m00007"])
    assert table["value"].to_list() == [row["value"] for row in found]
    everybody = palate("predict", run, data, "-k", 1)
    assert everybody.count("\nm00007,") == len(model.heads)


def test_predictions_are_those_of_a_moment(whole_service: Path) -> None:
    command = ["predict", whole_service / "run", whole_service / "data", "--user", "m00007", "--json"]
    assert palate(*command, "--at", "2030-01-31T20:00") != palate(*command)


def test_what_is_no_prediction(whole_service: Path, tmp_path: Path) -> None:
    run, data = whole_service / "run", whole_service / "data"
    with pytest.raises(ConfigError, match=r"does not predict 'mood' \(its heads: "):
        palate("predict", run, data, "--head", "mood")
    with pytest.raises(ConfigError, match="no DATA"):
        palate("predict", run)
    with pytest.raises(UnknownMemberError, match=r"no event of member nobody$"):
        palate("predict", run, data, "--user", "nobody")
    with pytest.raises(UnknownMemberError, match=r"no events of 4 members: a, b, c, …$"):
        palate("predict", run, data, *(part for name in "abcd" for part in ("--user", name)))
    with pytest.raises(ConfigError, match=r"m00007 has events at or after the moment 2001-01-31 00:00 UTC"):
        palate("predict", run, data, "--user", "m00007", "--at", "2001-01-31")
    with pytest.raises(ConfigError, match="unknown ending"):
        palate("predict", run, data, "--out", tmp_path / "wants.txt")


def test_recommendations_for_a_horizon(whole_service: Path) -> None:
    command = ["recommend", whole_service / "run", whole_service / "data", "--user", "m00007", "--json"]
    near, far = (json.loads(palate(*command, "--horizon", n))["recommendations"] for n in (1, 3))
    assert len(near) == len(far) == 10
    assert all(0 < row["score"] < 1 for row in far), "shares of the next three targets"
    assert palate(*command) == palate(*command, "--horizon", 1)
    with pytest.raises(ConfigError, match="this run looks 3 targets ahead"):
        palate(*command, "--horizon", 4)


def test_an_evaluation_shows_heads_and_the_next_targets(whole_service: Path) -> None:
    run, data = whole_service / "run", whole_service / "data"
    command = ["evaluate", run, data, "--no-baselines", "--part", "validation"]
    found = json.loads(palate(*command, "--json"))
    assert found["heads"].keys() == FoundationModel.from_pretrained(run).heads.keys()
    assert {"accuracy", "majority_accuracy", "log_loss", "prior_log_loss"} <= found["heads"]["genres"].keys()
    assert "next_recall@10" in found["metrics"]
    assert "most probable class" in palate(*command)
    sealed = json.loads((run / "metrics.json").read_text())
    assert sealed["heads"]["genres"]["majority"] == found["heads"]["genres"]["majority"]
    assert sealed["heads"]["genres"]["targets"] == found["heads"]["genres"]["targets"]
    far = json.loads(palate(*command, "--horizon", 3, "--compare", run, "--json"))
    assert (found["protocol"]["horizon"], far["protocol"]["horizon"]) == (1, 3)
    assert "next_recall@10" in far["comparison"][str(run)]
    said = " ".join(palate(*command, "--horizon", 3, "--compare", run).split())
    assert "ranked for the next 3 targets together" in said
    assert far["metrics"] != found["metrics"]


def test_python_and_command_agree_on_a_horizon(whole_service: Path) -> None:
    run, data = whole_service / "run", whole_service / "data"
    said = json.loads(palate("recommend", run, data, "--horizon", 2, "--user", "m00003", "--json"))["recommendations"]
    table = FoundationModel.from_pretrained(run).recommend(Dataset.from_folder(data), horizon=2, user_ids=["m00003"])
    assert_frame_equal(table, pl.DataFrame(said).select(table.columns), check_dtypes=False)
