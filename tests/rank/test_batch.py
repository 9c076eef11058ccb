"""If these fail, a night's work of recommending is lost when it is killed, or ends with other recommendations."""

import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.tokens.worlds import world

from palate.data import Dataset, PrepareConfig, PreparedLog, SplitRule, prepare
from palate.errors import ConfigError, SchemaError, UnfinishedRunError, UnknownMemberError
from palate.foundation import FoundationModel
from palate.rank.batch import BatchConfig
from palate.train import PretrainConfig, pretrain

SETTINGS = {
    "epochs": 1,
    "windows": {"context": 8},
    "model": {"encoder": {"kind": "transformer", "width": 8}, "next": {"n": 2}},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, the ``log`` prepared from it, and a ``run``."""
    folder = tmp_path_factory.mktemp("batch")
    dataset = world(3)
    (folder / "data").mkdir()
    dataset.events.write_parquet(folder / "data" / "events.parquet")
    assert dataset.items is not None
    # One item that nobody announced, one that nobody has had.
    dataset.items.write_parquet(folder / "data" / "items.parquet")
    if dataset.users is not None:
        dataset.users.write_parquet(folder / "data" / "users.parquet")
    dataset.schema.write(folder / "data" / "schema.yaml")
    prepare(folder / "data", folder / "log", PrepareConfig(part_rows=60))
    read = Dataset.from_folder(folder / "data").with_split(SplitRule(kind="leave_one_out"))
    pretrain(read, folder / "run", PretrainConfig.parse(SETTINGS, source="test"))
    return folder


def batch(work: Path, data: str = "data", **settings: object):
    model = FoundationModel.from_pretrained(work / "run")
    log = PreparedLog.open(work / data) if data == "log" else Dataset.from_folder(work / data, schema=model.schema)
    return model.batch(log, BatchConfig.parse({"k": 4, "part_members": 5, **settings}, source="test"))


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("part_members", [3, 5, 1000])
def test_a_log_in_parts_gets_what_it_gets_in_memory(work: Path, horizon: int, part_members: int) -> None:
    assert len(PreparedLog.open(work / "log").log_parts) > 2
    model = FoundationModel.from_pretrained(work / "run")
    dataset = Dataset.from_folder(work / "data", schema=model.schema)
    expected = model.recommend(dataset, k=4, horizon=horizon)
    for data in ("data", "log"):
        table = pl.concat(batch(work, data, horizon=horizon, part_members=part_members).tables())
        assert_frame_equal(table.select(expected.columns), expected, rel_tol=1e-4, abs_tol=1e-5)


@pytest.mark.parametrize("data", ["data", "log"])
def test_views_move_on_as_in_training(work: Path, tmp_path: Path, data: str) -> None:
    """A run whose views move on by several rows: the first row that is seen is where one question at a time has it."""
    windows = {"windows": {"context": 8, "slide": 4}}
    read = Dataset.from_folder(work / "data").with_split(SplitRule(kind="leave_one_out"))
    pretrain(read, tmp_path / "run", PretrainConfig.parse(SETTINGS | windows, source="test"))
    model = FoundationModel.from_pretrained(tmp_path / "run")
    dataset = Dataset.from_folder(work / "data", schema=model.schema)
    log = PreparedLog.open(work / "log") if data == "log" else dataset
    table = pl.concat(model.batch(log, BatchConfig(k=4)).tables())
    expected = model.recommend(dataset, k=4)
    assert_frame_equal(table.select(expected.columns), expected, rel_tol=1e-4, abs_tol=1e-5)


@pytest.mark.parametrize("data", ["data", "log"])
def test_some_members_get_what_they_get_among_all(work: Path, data: str) -> None:
    model = FoundationModel.from_pretrained(work / "run")
    everybody = pl.concat(batch(work, data).tables())
    some = everybody["user_id"].unique().sort().to_list()[2:7:2]
    log = PreparedLog.open(work / "log") if data == "log" else Dataset.from_folder(work / "data", schema=model.schema)
    table = pl.concat(model.batch(log, BatchConfig(k=4), user_ids=some).tables())
    assert_frame_equal(table, everybody.filter(pl.col("user_id").is_in(some)), rel_tol=1e-4, abs_tol=1e-5)
    with pytest.raises(UnknownMemberError):
        model.batch(log, user_ids=[some[0], "nobody"])
    with pytest.raises(ConfigError, match="no member is asked for"):
        model.batch(log, user_ids=[])


@pytest.mark.parametrize("out", ["picks.parquet", "picks.csv", "picks"])
@pytest.mark.parametrize("data", ["data", "log"])
def test_cut_off_anywhere_it_ends_with_the_same_bytes(work: Path, tmp_path: Path, out: str, data: str) -> None:
    def content(path: Path) -> dict[str, bytes]:
        files = [path] if path.is_file() else sorted(path.iterdir())
        return {file.name: file.read_bytes() for file in files}

    whole = batch(work, data).write(tmp_path / "whole" / out)
    assert whole.resumed_parts == 0
    for cut in range(1, whole.parts):

        def stop(done: int, total: int, cut: int = cut) -> None:
            if done > 5 * cut:
                raise KeyboardInterrupt

        target = tmp_path / str(cut) / out
        with pytest.raises(KeyboardInterrupt):
            batch(work, data).write(target, progress=stop)
        assert not target.exists(), "it appears whole"
        again = batch(work, data).write(target)
        assert 0 < again.resumed_parts <= cut
        assert content(target) == content(tmp_path / "whole" / out)
        assert again.recommendations == whole.recommendations
        assert [path.name for path in target.parent.iterdir()] == [out], "nothing is left beside it"


SLOWLY = """
import sys, time
from pathlib import Path
from palate.data import PreparedLog
from palate.foundation import FoundationModel
from palate.rank.batch import BatchConfig
model = FoundationModel.from_pretrained(sys.argv[1])
batch = model.batch(PreparedLog.open(sys.argv[2]), BatchConfig(k=4, part_members=2))
batch.write(Path(sys.argv[3]), progress=lambda *_: time.sleep(0.3))
"""


def test_a_killed_process_leaves_whole_parts(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "picks.parquet"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, work / "run", work / "log", out], env=environment)
    aside = tmp_path / ".picks.parquet.recommending"
    until = time.monotonic() + 60
    while len(list(aside.glob("part-*.parquet"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = batch(work, "log", part_members=2).write(out)
    assert 2 <= done.resumed_parts < done.parts
    assert_frame_equal(pl.read_parquet(out), pl.concat(batch(work, "log", part_members=2).tables()))


def test_others_work_is_not_gone_on_with(work: Path, tmp_path: Path) -> None:
    """Else a file would hold ten items for some members and twenty for the others."""
    out = tmp_path / "picks.parquet"

    def stop(done: int, _: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch(work).write(out, progress=stop)
    with pytest.raises(UnfinishedRunError, match="other settings: k 4 there, 7 now"):
        batch(work, k=7).write(out)
    with pytest.raises(UnfinishedRunError, match="other data"):
        batch(work, "log").write(out)
    assert batch(work).write(out).resumed_parts


def test_a_finished_folder_is_left_as_it_is(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "picks"
    first = batch(work).write(out)
    again = batch(work).write(out)
    assert again.resumed_parts == again.parts == first.parts
    with pytest.raises(UnfinishedRunError, match="other settings: horizon 1 there, 2 now"):
        batch(work, horizon=2).write(out)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    with pytest.raises(ConfigError, match="already exists"):
        batch(work).write(other)
    with pytest.raises(ConfigError, match="already exists"):  # and nobody is told to delete the run
        batch(work).write(work / "run")
    assert_frame_equal(pl.read_parquet(out / "*.parquet"), pl.concat(batch(work).tables()))


def test_what_can_not_be_asked_leaves_nothing_behind(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a horizon of 5"):
        batch(work, horizon=5).write(tmp_path / "picks.parquet")
    with pytest.raises(ConfigError, match="events at or after the moment"):
        batch(work, at=1_000).write(tmp_path / "picks.parquet")
    for name in ("picks.json", "picks.csv.gz"):  # and not Parquet under another name
        with pytest.raises(ConfigError, match="unknown ending"):
            batch(work).write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_log_prepared_under_another_schema_is_refused(work: Path, tmp_path: Path) -> None:
    schema = Dataset.from_folder(work / "data").schema
    other = schema.model_copy(update={"session_gap_seconds": 60.0})
    prepare(work / "data", tmp_path / "log", PrepareConfig(), schema=other)
    model = FoundationModel.from_pretrained(work / "run")
    with pytest.raises(SchemaError, match="session_gap_seconds"):
        model.batch(PreparedLog.open(tmp_path / "log"))
