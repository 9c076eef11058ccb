"""If these fail, a killed training is lost, or goes on as another one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from safetensors.torch import load_file
from tests.tokens.conftest import service
from tests.tokens.worlds import with_items, world

from palate.data import Dataset
from palate.errors import (
    ConfigError,
    DamagedRunError,
    FormatVersionError,
    RunExistsError,
    TrainingError,
    UnfinishedRunError,
)
from palate.model import Losses, NegativeSampler, ObjectiveConfig, SequenceModel
from palate.runs import Run, read_checkpoint, write_checkpoint
from palate.runs.run import FORMAT
from palate.tokens import Batch, Catalogue
from palate.train import PretrainConfig, estimate_training, pretrain
from palate.train.loop import Trainer
from palate.train.state import TrainingState

SETTINGS = (
    "epochs: 3\ncheckpoint_seconds: 0\nmodel: {encoder: {kind: transformer, width: 16}}\npacking: {batch_tokens: 64}\n"
)


def small(**changes: object) -> PretrainConfig:
    return PretrainConfig.parse(
        {"epochs": 2, "model": {"encoder": {"kind": "transformer", "width": 8}}, **changes}, source="test"
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    pretrain(service(members=20), out, small())
    return out


def test_a_run_is_sealed_and_read(run: Path) -> None:
    found = Run.read(run)
    assert found.tokenizer.items.size == len(found.model.tower.id)
    assert not run.with_name("run.training").exists()
    for name in ("config.yaml", "schema.yaml", "tokenizer.json", "catalogue.parquet", "metrics.json", "README.md"):
        assert (run / name).is_file()


def test_a_taken_folder_is_left_alone(run: Path) -> None:
    with pytest.raises(RunExistsError, match="exists already"):
        pretrain(service(members=20), run, small())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 3}, "epochs is 2, not 3"),
        ({"objective": {"softmax": "sampled"}}, "objective.softmax is exact, not sampled"),
        ({"model": {"tower": {"id_dropout": 0.5}}}, "id_dropout is .*, not 0.5"),
        ({"model": {"intents": None}}, "model.intents is .*, not None"),
    ],
)
def test_a_finished_run_is_not_resumed_with_other_settings(run: Path, changes: dict[str, Any], said: str) -> None:
    """Else who trains anew with more epochs is told that it is done."""
    model = {"encoder": {"kind": "transformer", "width": 8}} | changes.get("model", {})
    with pytest.raises(RunExistsError, match=said):
        pretrain(service(members=20), run, small(**changes | {"model": model}), resume=True)


def test_a_finished_run_is_read_again_with_its_own_settings(run: Path) -> None:
    """As they were given, and as they were chosen."""
    chosen = PretrainConfig.from_yaml(run / "config.yaml")
    assert chosen != small()
    for config in (small(), chosen):
        assert pretrain(service(members=20), run, config, resume=True).folder == run


def test_damage_is_noticed(run: Path, tmp_path: Path) -> None:
    import shutil

    for name in ("model.safetensors", "schema.yaml"):
        copy = tmp_path / name.replace(".", "-")
        shutil.copytree(run, copy)
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(DamagedRunError, match=name):
            Run.read(copy)
        (copy / name).unlink()
        with pytest.raises(DamagedRunError, match="missing"):
            Run.read(copy)
    copy = tmp_path / "version"
    shutil.copytree(run, copy)
    manifest = (copy / "manifest.json").read_text().replace(f'"format_version": {FORMAT}', '"format_version": 99')
    (copy / "manifest.json").write_text(manifest)
    with pytest.raises(FormatVersionError, match="99"):
        Run.read(copy)


@pytest.mark.parametrize("out", [".", "/"])
def test_a_run_has_a_name(out: str) -> None:
    with pytest.raises(RunExistsError, match="exists already"):
        pretrain(service(members=20), out, small())
    with pytest.raises(RunExistsError, match="exists already"):
        estimate_training(service(members=20), out, small())


def test_checkpoints_that_were_never_finished_are_cleared_away(tmp_path: Path) -> None:
    """Each may be as large as the model, and the training killed many times."""
    (tmp_path / ".step-0000000003.writing-abc").mkdir()
    state = TrainingState(data="")
    for step in (5, 8, 13):
        write_checkpoint(tmp_path, step, model={}, optimizer={}, best={}, state=state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000000008", "step-0000000013"]


def test_a_folder_that_is_no_run_costs_no_training(tmp_path: Path) -> None:
    """A mount point that was made while the training was cut off, say."""
    work = tmp_path / "run.training"
    work.mkdir()
    (work / "days of training").touch()
    (tmp_path / "run").mkdir()
    with pytest.raises(DamagedRunError, match=r"no manifest\.json"):
        pretrain(service(members=20), tmp_path / "run", small(), resume=True)
    assert (work / "days of training").exists()


def test_an_unfinished_training_asks_for_resume(tmp_path: Path) -> None:
    (tmp_path / "run.training").mkdir()
    with pytest.raises(UnfinishedRunError, match="cut off"):
        pretrain(service(members=20), tmp_path / "run", small())


def test_a_setting_that_the_data_lack_leaves_nothing_behind(tmp_path: Path) -> None:
    """Else the corrected one would be refused, for a training that never began."""
    with pytest.raises(ConfigError, match="no 'genre' to predict"):
        pretrain(service(members=20), tmp_path / "run", small(model={"intents": {"heads": ["genre"]}}))
    assert not list(tmp_path.iterdir())


def test_a_part_of_the_loss_that_is_not_finite_stops_before_the_weights_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the checkpoint from which training goes on would hold it."""
    plain = SequenceModel.loss
    monkeypatch.setattr(Trainer, "estimate", lambda *_, **__: None)  # it takes steps to see how long they take
    steps = 0

    def torn(
        self: SequenceModel,
        batch: Batch,
        known: Catalogue,
        objective: ObjectiveConfig,
        sampler: NegativeSampler | None = None,
    ) -> Losses:
        nonlocal steps
        steps += 1
        found = plain(self, batch, known, objective, sampler)
        return found if steps < 3 else found._replace(total=found.total * float("nan"))

    monkeypatch.setattr(SequenceModel, "loss", torn)
    with pytest.raises(TrainingError, match="step 3 is nan"):
        pretrain(service(members=20), tmp_path / "run", small(checkpoint_seconds=0, packing={"batch_tokens": 64}))
    checkpoint = read_checkpoint(tmp_path / "run.training" / "checkpoints")
    assert checkpoint is not None
    assert all(tensor.isfinite().all() for tensor in checkpoint.model.values())


def test_a_training_goes_on_with_the_metadata_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else half of it would have learned from another catalogue, in silence."""
    dataset = world(1)
    assert dataset.items is not None

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_end_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(dataset, tmp_path / "run", small(checkpoint_seconds=0))
    swapped = dataset.items.with_columns(pl.col("origin").reverse())
    with pytest.raises(UnfinishedRunError, match="other data"):
        pretrain(with_items(dataset, swapped), tmp_path / "run", small(checkpoint_seconds=0), resume=True)
    assert pretrain(dataset, tmp_path / "run", small(checkpoint_seconds=0), resume=True).folder.exists()


def kill_and_resume(tmp_path: Path, kills: int, *, seed: int, more: str = "") -> None:
    """Train once undisturbed; train again, killed at random moments; compare the weights."""
    dataset: Dataset = service(members=40, seed=seed)
    data = tmp_path / "data"
    data.mkdir()
    dataset.events.write_parquet(data / "events.parquet")
    assert dataset.users is not None
    dataset.users.write_parquet(data / "users.parquet")
    dataset.schema.write(data / "schema.yaml")
    (tmp_path / "settings.yaml").write_text(SETTINGS + more)

    def command(out: Path, *more: str) -> list[str]:
        settings = str(tmp_path / "settings.yaml")
        code = "from palate.cli.main import main; main()"
        return [sys.executable, "-c", code, "pretrain", str(data), "--out", str(out), "--config", settings, *more]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, env=environment)
    whole = time.monotonic() - started
    rng = random.Random(seed)
    killed = 0
    out = tmp_path / "killed"
    while killed < kills:
        process = subprocess.Popen(
            command(out, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        try:
            process.wait(rng.uniform(0.3, 1.0) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        # It came to its end before it was killed: a new one.
        import shutil

        shutil.rmtree(out)
    subprocess.run(command(out, "--resume"), check=True, capture_output=True, env=environment)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, tmp_path / "whole"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.equal(theirs[name]), f"{name} differs"


def test_killed_once_and_resumed_gives_the_same_weights(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 1, seed=1)


def test_a_sampled_training_that_is_killed_gives_the_same_weights(tmp_path: Path) -> None:
    """With its negatives, and the rows of its tables that are not up to date."""
    kill_and_resume(tmp_path, 1, seed=3, more="objective: {softmax: sampled, sampling: {negatives: 8}}\n")


@pytest.mark.slow
def test_killed_ten_times_and_resumed_gives_the_same_weights(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 10, seed=2)
