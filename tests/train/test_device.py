"""If these fail, who has a GPU gets an error in the first step, another model, or a run that only a GPU can read."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.model.test_model import OBJECTIVE, TOWERS, ready
from tests.pretend import pretending
from tests.tokens.worlds import everything, world
from torch import Tensor

from palate.errors import ConfigError, TrainingError
from palate.model import (
    ModelConfig,
    NegativeSampler,
    SamplingConfig,
    SasRecConfig,
    SequenceModel,
    TowerConfig,
    TransformerConfig,
    product,
    rows,
)
from palate.tokens import TokenizerConfig
from palate.tokens.ages import AgeConfig
from palate.train import PretrainConfig, estimate_training, loop, pretrain
from palate.train import device as devices
from palate.train.compute import measured_peak
from palate.train.loop import Trainer
from palate.train.parallel import Learner
from palate.train.processes import ALONE, Processes

DENSE = TransformerConfig(width=16, heads=2, blocks=2)
WINDOWED = TransformerConfig(width=16, heads=2, blocks=2, window=4, block=2, summaries=2, rank=2)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Another device. Nowhere products by oneDNN: rows that are added for them would shift what is drawn; nor sparse
    gradients, which what only pretends to be a device can't hold."""

    def dense(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).index_copy(0, rows, gradient), None

    monkeypatch.setattr(product, "HAS_ONEDNN", False)
    monkeypatch.setattr(rows._TakeRows, "backward", staticmethod(dense))
    with pretending() as device:
        yield device


def settings(**changes: object) -> PretrainConfig:
    return everything(**changes).model_copy(update={"epochs": 2, "checkpoint_seconds": 0.0, "precision": "float32"})


def learned(
    config: PretrainConfig, device: torch.device, *, sampled: bool = False, lowered: torch.dtype | None = None
) -> dict[str, Tensor]:
    """The loss of a batch and all gradients."""
    model, batch, known, _ = ready(world(1), config)
    learner = Learner(model, ALONE, device=device, lowered=lowered)
    learner.train()
    sampling = SamplingConfig(negatives=12, uniform=0.4, popularity=0.4, in_batch=0.2)
    sampler = NegativeSampler(sampling, known.counts).to(device) if sampled else None
    losses = learner.loss(batch.to(device), known.to(device), OBJECTIVE, sampler, seed=5)
    assert losses.total.device.type == device.type
    losses.total.backward()
    found = {"loss": losses.total.detach().cpu()}
    for name, parameter in learner.trained.named_parameters():
        assert parameter.device.type == device.type
        assert parameter.grad is not None, name
        found[name] = parameter.grad.to_dense().cpu()
    return found


CASES = {
    **{name: settings(tower=tower) for name, tower in TOWERS.items()},
    "windowed": settings(encoder=WINDOWED, context=20),
    "sasrec": settings(encoder=SasRecConfig(width=16, heads=2, blocks=2), tower=TowerConfig(metadata=False)),
    "counted ages": settings().model_copy(update={"tokenizer": TokenizerConfig(ages=AgeConfig(cells=1))}),
}


@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("sampled", [False, True])
def test_a_step_elsewhere_is_that_of_the_processor(
    config: PretrainConfig, sampled: bool, elsewhere: torch.device
) -> None:
    """And no operation mixes tensors of both."""
    here, there = (learned(config, device, sampled=sampled) for device in (torch.device("cpu"), elsewhere))
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, msg=name)


def test_a_training_elsewhere_is_that_of_the_processor(
    elsewhere: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off there it goes on here, and the run is one that knows nothing of devices."""
    module = import_module("palate.train.pretrain")  # the package gives its name to the function
    monkeypatch.setattr(module, "fit_new_items", lambda *_, **__: None)  # on the processor, and long
    monkeypatch.setattr(loop, "measured_peak", lambda *_, **__: 1e9)  # of products as large as a GPU's
    data, config = world(1), settings()
    pretrain(data, tmp_path / "here", config)

    plain, steps = Trainer._step, 0

    def cut(self: Trainer, *given: object) -> None:
        nonlocal steps
        plain(self, *given)  # type: ignore[arg-type]
        steps += 1
        if steps == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", cut)
        with pytest.raises(KeyboardInterrupt):
            pretrain(data, tmp_path / "there", config, device=elsewhere)
    pretrain(data, tmp_path / "there", config, resume=True)
    run = pretrain(data, tmp_path / "whole", config, device=elsewhere)
    for other in ("there", "whole"):
        for name, value in load_file(tmp_path / "here" / "model.safetensors").items():
            found = load_file(tmp_path / other / "model.safetensors")[name]
            torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-5, msg=f"{other}: {name}")
    assert all(parameter.device.type == "cpu" for parameter in run.model.parameters())
    assert (tmp_path / "whole" / "config.yaml").read_text() == (tmp_path / "here" / "config.yaml").read_text()
    assert measured_peak(seconds=0.02, size=64, device=elsewhere) > 1e6


@pytest.mark.parametrize(
    "encoder", [TransformerConfig(width=16, heads=2, blocks=2), WINDOWED], ids=["dense", "windowed"]
)
def test_lowered_products_say_nearly_the_same(encoder: TransformerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of bfloat16 have eight bits; a function that mixes types or loses a mask is far off."""
    monkeypatch.setattr(product, "HAS_ONEDNN", False)  # as in `elsewhere`
    config, here = settings(encoder=encoder, context=20), torch.device("cpu")
    exact, lowered = learned(config, here), learned(config, here, lowered=torch.bfloat16)
    name = "encode.blocks.0.attention.update.project_in.weight"
    assert not torch.equal(lowered[name], exact[name]), "nothing was lowered"
    for name, value in exact.items():
        assert lowered[name].dtype == torch.float32
        away = float((lowered[name] - value).norm() / value.norm().clamp(min=1e-3))
        assert away < 0.05, f"{name} is {away:.0%} away"


def test_a_device_that_is_not_there_is_said() -> None:
    for name, said in (
        ("cuda", "cuda"),
        ("gpu", "no device is called 'gpu'"),
        ("mps", "no device"),
        ("cuda:99", "cuda"),
    ):
        if name == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ConfigError, match=said):
            devices.find_device(name)
    assert devices.find_device("cpu") == devices.PROCESSOR
    with pytest.raises(ConfigError, match="no device"):
        pretrain(world(1), "never", device="gpu")
    with pytest.raises(ConfigError, match="no device"):
        estimate_training(world(1), "never", device="gpu")
    with pytest.raises(ConfigError, match="cuda:99"):
        pretrain(world(1), "never", device=torch.device("cuda", 99))
    with pytest.raises(ConfigError, match="heads of width 8 can't have a window"):
        devices.check_heads(ModelConfig(encoder=WINDOWED), torch.device("cuda"))
    devices.check_heads(ModelConfig(encoder=WINDOWED), devices.PROCESSOR)
    with pytest.raises(ConfigError, match="2 processes train on processors"):
        devices.check_device(torch.device("cuda"), Processes(0, 2))


def test_precision_is_chosen_by_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert devices.lowered_type("auto", gpu) is None, "one that would only pretend"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert devices.lowered_type("auto", gpu) == torch.bfloat16
    assert devices.lowered_type("auto", devices.PROCESSOR) is None
    assert devices.lowered_type("float32", gpu) is None
    assert devices.lowered_type("bfloat16", devices.PROCESSOR) == torch.bfloat16


def test_a_step_that_does_not_fit_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: SequenceModel, *_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SequenceModel, "loss", full)
    with pytest.raises(TrainingError, match=r"does not fit into the memory of the GPU .*batch_tokens"):
        pretrain(world(1), tmp_path / "run", settings(), device="cpu")
