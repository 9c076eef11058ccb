"""If these fail, a training is promised that does not fit, or telling the price changes what is trained."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.tokens.worlds import world
from torch import nn

from palate.data import Part, split
from palate.errors import ConfigError, UnfinishedRunError
from palate.foundation import FoundationModel
from palate.tokens import Pack, Rectangle, Tokenizer
from palate.train import PretrainConfig, measure, pretrain
from palate.train.loop import Trainer
from palate.train.pretrain import estimate_training
from palate.train.trial import try_out


def config(**changes: object) -> PretrainConfig:
    base = {
        "epochs": 2,
        "windows": {"context": 16},
        "packing": {"batch_tokens": 64},
        "model": {"encoder": {"kind": "transformer", "width": 16}},
    }
    return PretrainConfig.parse({**base, **changes}, source="test")


def test_trial_steps_are_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that was estimated ends with the same weights as one that was not."""
    dataset = world(4)
    tried = pretrain(dataset, tmp_path / "tried", config())
    monkeypatch.setattr(Trainer, "estimate", lambda *_, **__: None)
    plain = pretrain(dataset, tmp_path / "plain", config())
    for part in ("model", "optimizer"):
        one, two = (load_file(run.folder / f"{part}.safetensors") for run in (tried, plain))
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            assert tensor.equal(two[name]), name


def test_processes_stop_trying_together() -> None:
    """By one clock, not each by its own: none can do a step without the others."""
    pack = Pack((), (Rectangle(2, 4),))
    weight = nn.Parameter(torch.ones(2))
    for stop in (1, 3):
        done: list[int] = []

        def agreed(wish: bool, done: list[int] = done, stop: int = stop) -> bool:
            assert not wish, "no clock is so slow"
            return len(done) > stop

        optimizer = torch.optim.AdamW([weight])
        try_out(config(), done.append, None, [pack] * 9, [weight], optimizer, agreed)
        assert len(done) == 1 + stop


def test_what_happened_stands_beside_what_was_told(tmp_path: Path) -> None:
    run = pretrain(world(4), tmp_path / "run", config())
    training = json.loads((run.folder / "metrics.json").read_text())["training"]
    told, whole = training["estimate"], training["whole"]
    assert 0.5 < told["peak_bytes"] / whole["peak_bytes"] < 2
    assert whole["peak_bytes"] >= training["peak_bytes"]
    parts = training["seconds"] + whole["new_items_seconds"] + whole["sealing_seconds"]
    assert whole["seconds"] == pytest.approx(parts)
    parts = told["training_seconds"] + told["new_items_seconds"] + told["sealing_seconds"]
    assert told["seconds"] == pytest.approx(parts)
    assert min(told["validation_seconds"], told["new_items_seconds"], told["sealing_seconds"]) > 0
    assert all(size >= 0 for size in told["memory"].values())
    assert told["peak_bytes"] >= told["memory"]["in use before"]


def test_what_is_sealed_is_measured_on_the_validation_targets(tmp_path: Path) -> None:
    """At most so many as the configuration says: a log with millions of them would be ranked for days."""
    run = pretrain(world(4), tmp_path / "run", config(validation={"targets": 3}))
    found = json.loads((run.folder / "metrics.json").read_text())
    assert found["protocol"]["targets"] == 3
    model = FoundationModel(run)
    whole = measure(model.scorer(world(4)), world(4), split(world(4)), Part.VALIDATION)
    assert whole is not None
    assert whole.protocol.targets > 3


TOLD = """
import sys
from pathlib import Path
from tests.tokens.worlds import world
from tests.train.test_estimate import config
from palate.train import estimate_training
changes = eval(sys.argv[1])
print(estimate_training(world(4, members=800), Path(sys.argv[2]), config(**changes)).model_dump_json())
"""


def told(tmp_path: Path, **changes: object) -> dict[str, int]:
    """In a process of its own: what is held already need not be asked for."""
    command = [sys.executable, "-c", TOLD, repr(changes), str(tmp_path / "run")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    memory: dict[str, int] = json.loads(said)["memory"]
    return memory


def test_larger_batches_and_weights_are_told_to_take_more(tmp_path: Path) -> None:
    encoder = {"kind": "transformer", "width": 64}
    few = told(tmp_path)
    small = told(tmp_path, model={"encoder": encoder})
    many = told(tmp_path, packing={"batch_tokens": 8192}, model={"encoder": encoder})
    wider = told(tmp_path, model={"encoder": {"kind": "transformer", "width": 256}})
    assert many["a step or a validation"] > small["a step or a validation"]
    assert many["optimizer"] >= few["optimizer"]
    assert wider["optimizer"] > 16 * few["optimizer"]
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_training_goes_on_with_the_tokenizer_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted again it may differ in the last bit, and the training would be refused as another one's."""
    dataset = world(4)
    whole = pretrain(dataset, tmp_path / "whole", config())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_end_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(dataset, tmp_path / "run", config(checkpoint_seconds=0))
    monkeypatch.setattr(Tokenizer, "fit_parts", killed)
    with pytest.raises(UnfinishedRunError, match="other data"):
        pretrain(world(5), tmp_path / "run", config(checkpoint_seconds=0), resume=True)
    with pytest.raises(UnfinishedRunError, match="other settings"):
        pretrain(dataset, tmp_path / "run", config(tokenizer={"time_features": False}), resume=True)
    run = pretrain(dataset, tmp_path / "run", config(checkpoint_seconds=0), resume=True)
    one, two = (load_file(each.folder / "model.safetensors") for each in (whole, run))
    assert all(tensor.equal(two[name]) for name, tensor in one.items())


def test_shards_need_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="torchrun"):
        pretrain(world(4), tmp_path / "run", config(), sharded=True)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_estimate_left_is_not_read(tmp_path: Path) -> None:
    """It may have been fitted on other data."""
    left = tmp_path / "run.estimate" / "tokenizer"
    left.mkdir(parents=True)
    (left / "fitted.json").write_text('{"data": "other", "settings": "other"}', encoding="utf-8")
    assert estimate_training(world(4), tmp_path / "run", config()).seconds > 0
    assert not left.parent.exists()
