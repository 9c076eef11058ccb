"""If these fail, more processes train another model than one does, or a training can't change their number."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.tokens.worlds import world
from tests.train.spawned import CUT, Losses

from palate.data import Dataset
from palate.errors import ConfigError
from palate.tokens import Pack
from palate.tokens.pack import rectangles
from palate.train import PretrainConfig, pretrain
from palate.train.plan import share_of
from palate.train.processes import Processes, processes

NO_DROPOUT = """
epochs: 2
checkpoint_seconds: 0
windows: {context: 12}
packing: {batch_tokens: 40}
model:
  encoder: {kind: transformer, width: 16, dropout: 0}
  tower: {metadata: false}
  hidden_rows: 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, the settings, and what one process makes of them: ``one``."""
    folder = tmp_path_factory.mktemp("processes")
    dataset = world(2, members=14)
    (folder / "data").mkdir()
    dataset.events.write_parquet(folder / "data" / "events.parquet")
    assert dataset.items is not None
    dataset.items.write_parquet(folder / "data" / "items.parquet")
    dataset.schema.write(folder / "data" / "schema.yaml")
    (folder / "settings.yaml").write_text(NO_DROPOUT)
    alone(folder, "one")
    return folder


def alone(folder: Path, name: str, *, cut: bool = False, resume: bool = False) -> None:
    """Train in this process."""
    losses = Losses()
    losses.most = CUT if cut else None
    config = PretrainConfig.from_yaml(folder / "settings.yaml")
    try:
        pretrain(Dataset.from_folder(folder / "data"), folder / name, config, resume=resume, reporters=[losses])
    except KeyboardInterrupt:
        assert cut
    losses.write(folder, name, 0)


def start(folder: Path, name: str, *options: str, number: int) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for rank in range(number):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        if number > 1:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(number)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, str(Path(__file__).with_name("spawned.py")), str(folder), name, *options]
        found.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    return found


def train(folder: Path, name: str, *options: str, number: int) -> None:
    started = start(folder, name, *options, number=number)
    try:
        said = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * number, "\n".join(said)


def losses(folder: Path, name: str, rank: int = 0) -> list[float]:
    found: list[float] = json.loads((folder / f"{name}.{rank}.json").read_text())
    return found


def assert_same_model(folder: Path, one: str, other: str) -> None:
    ours, theirs = (load_file(folder / name / "model.safetensors") for name in (one, other))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=2e-3, atol=2e-4, msg=lambda said, name=name: name + said)


def test_two_processes_learn_what_one_learns(folder: Path) -> None:
    train(folder, "two", number=2)
    expected = losses(folder, "one")
    assert losses(folder, "two", 0) == losses(folder, "two", 1), "every process knows the loss of all"
    np.testing.assert_allclose(losses(folder, "two"), expected, rtol=1e-4)
    assert_same_model(folder, "two", "one")
    validated = [
        json.loads((folder / name / "metrics.json").read_text())["training"]["best"]["value"] for name in ("one", "two")
    ]
    np.testing.assert_allclose(validated, validated[0], rtol=1e-6)


@pytest.mark.slow
def test_from_two_processes_with_shards_to_one(folder: Path) -> None:
    expected = losses(folder, "one")
    train(folder, "fewer", "cut", "sharded", number=2)
    np.testing.assert_allclose(losses(folder, "fewer"), expected[:CUT], rtol=1e-4)
    alone(folder, "fewer", resume=True)
    went_on = losses(folder, "fewer")
    assert 0 < len(went_on) < len(expected)
    np.testing.assert_allclose(went_on, expected[-len(went_on) :], rtol=1e-4)
    assert_same_model(folder, "fewer", "one")


def test_from_one_process_to_two_with_shards(folder: Path) -> None:
    expected = losses(folder, "one")
    alone(folder, "more", cut=True)
    train(folder, "more", "resume", "sharded", number=2)
    went_on = losses(folder, "more")
    assert 0 < len(went_on) < len(expected)
    np.testing.assert_allclose(went_on, expected[-len(went_on) :], rtol=1e-4)
    assert_same_model(folder, "more", "one")


def test_who_waits_for_a_dead_process_says_so(folder: Path) -> None:
    """Else it would wait for hours."""
    first, second = start(folder, "run", "dies", number=2)
    _, errors = first.communicate(timeout=300)
    second.communicate(timeout=300)
    assert second.returncode == 9
    assert first.returncode == 1
    assert "process 0 of 2: another process has ended before its time" in errors
    assert len(errors.strip().splitlines()[-1]) < 300


@pytest.mark.slow
def test_with_dropout_the_curves_are_alike(folder: Path, tmp_path: Path) -> None:
    settings = NO_DROPOUT.replace("dropout: 0", "dropout: 0.2").replace("hidden_rows: 0", "hidden_rows: 0.1")
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / "settings.yaml").write_text(settings.replace("epochs: 2", "epochs: 6"))
    alone(tmp_path, "one")
    train(tmp_path, "two", number=2)
    one, two = (np.mean(np.reshape(losses(tmp_path, name)[-20:], (4, 5)), axis=1) for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=0.1)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_the_shares_of_a_pack_are_the_pack(number: int) -> None:
    rng = np.random.default_rng(number)
    lengths = rng.integers(1, 30, 200)
    windows = rng.permutation(200)[:7]
    windows = windows[np.argsort(-lengths[windows])]
    whole = Pack(windows, rectangles(lengths[windows]))
    shares = [share_of(whole, lengths, Processes(rank, number)) for rank in range(number)]
    there = np.concatenate([share.windows for share in shares if share is not None])
    assert sorted(there) == sorted(windows)
    for share in shares:
        if share is not None:
            assert (np.diff(lengths[share.windows]) <= 0).all()
            assert sum(b for b, _ in share.rectangles) == len(share.windows)
    assert [share is None for share in shares] == [rank >= 7 for rank in range(number)]


def test_shares_of_rows_lie_end_to_end() -> None:
    for length in (0, 1, 5, 17):
        rows = [row for rank in range(3) for row in range(length)[Processes(rank, 3).share(length)]]
        assert rows == list(range(length))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, .* RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"WORLD_SIZE": "many", "RANK": "0", "MASTER_ADDR": "here", "MASTER_PORT": "1"}, "WORLD_SIZE is many"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}, "RANK is 2"),
    ],
)
def test_an_environment_of_half_a_torchrun(given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedulers set some of its variables for jobs of their own."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said), processes():
        pass
