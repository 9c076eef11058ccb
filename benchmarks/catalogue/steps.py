"""Steps of training over a catalogue of one size: time, memory, and how far a sampled gradient is from the exact one.

One process a size, which prints a JSON object as its last line:

    python benchmarks/catalogue/steps.py 100000 --variants ids/exact ids/sampled default/sampled
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from log import log

from palate.data import split
from palate.model import ModelConfig, NegativeSampler, ObjectiveConfig, SamplingConfig, SequenceModel, TowerConfig
from palate.tokens import Batch, Catalogue, PackConfig, Tokenizer, WindowConfig, training_catalogue
from palate.train import PretrainConfig, new_model
from palate.train.material import Material
from palate.train.optimizer import build_optimizer, clip_gradients, optimizer_tensors
from palate.train.plan import BatchPlanner
from palate.train.softmax import choose_softmax

MODELS = {
    "ids": ModelConfig(tower=TowerConfig(metadata=False, ages=False), intents=None),
    "default": ModelConfig(),
}
DRAWS = (1024, 8192)


class Clock:
    """Seconds since it was last read."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def read(self) -> float:
        """And begin anew."""
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        return passed


def memory(name: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (highest since `forget_peak`) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def forget_peak() -> None:
    """Let the highest resident memory be that of now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def variant(
    name: str, config: PretrainConfig, tokenizer: Tokenizer, catalogue: Catalogue, batches: list[Batch]
) -> tuple[dict[str, object], SequenceModel]:
    """Train on the batches, timed."""
    which, softmax = name.split("/")
    config = config.model_copy(
        update={"model": MODELS[which], "objective": ObjectiveConfig.model_validate({"softmax": softmax})}
    )
    forget_peak()
    before = memory("VmRSS")
    model = new_model(config, tokenizer).train()
    choice = choose_softmax(config, model, catalogue)
    optimizer = build_optimizer(model, config.optimizer, by_rows=choice.sampler is not None)
    seconds, losses = [], []
    for number, batch in enumerate(batches):
        torch.manual_seed(number)
        targets = int((batch.target > 0).sum())
        clock = Clock()
        found = model.loss(batch, catalogue, config.objective, choice.sampler)
        parts = [clock.read()]
        (found.total / targets).backward()
        parts.append(clock.read())
        clip_gradients(model, config.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        parts.append(clock.read())
        seconds.append(parts)
        losses.append(float(found.item) / targets)
    counted = np.array(seconds[min(2, len(seconds) - 1) :])
    kept = sum(value.nbytes for value in optimizer_tensors(model, optimizer).values())
    return {
        "step": float(np.median(counted.sum(1))),
        "forward": float(np.median(counted[:, 0])),
        "backward": float(np.median(counted[:, 1])),
        "optimizer": float(np.median(counted[:, 2])),
        "steps": len(counted),
        "targets": targets,
        "weights": sum(parameter.nbytes for parameter in model.parameters()),
        "optimizer_state": kept,
        "memory": memory("VmHWM") - before,
        "losses": [losses[0], losses[-1]],
    }, model


def gradient_errors(model: SequenceModel, batch: Batch, catalogue: Catalogue, *, draws: int) -> dict[str, object]:
    """Of the encoder's weights on one batch: the sampled gradient against the exact one, single and as a mean."""
    model.eval()
    objective = ObjectiveConfig()
    weights = [*model.encode.parameters(), *model.embed.parameters()]

    def gradient(sampler: NegativeSampler | None) -> torch.Tensor:
        loss = model.loss(batch, catalogue, objective, sampler).total
        return torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss, weights)])

    exact = gradient(None)
    found: dict[str, object] = {}
    for negatives in DRAWS:
        sampler = NegativeSampler(SamplingConfig(negatives=negatives), catalogue.counts)
        singles = torch.stack([gradient(sampler) for _ in range(draws)])
        error = (singles - exact).norm(dim=1) / exact.norm()
        found[str(negatives)] = {
            "error": float(error.mean()),
            "error_of_mean": float((singles.mean(0) - exact).norm() / exact.norm()),
            "cosine": float(torch.cosine_similarity(singles, exact[None]).mean()),
        }
    return found


def main() -> None:
    """Print the figures of a size."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("items", type=int)
    arguments.add_argument("--events", type=int, default=0)
    arguments.add_argument("--variants", nargs="+", default=["ids/exact", "ids/sampled"])
    arguments.add_argument("--steps", type=int, default=12)
    arguments.add_argument("--exact-steps", type=int, default=3)
    arguments.add_argument("--gradient", type=int, default=8, help="draws; 0: leave it out")
    asked = arguments.parse_args()
    clock, seconds = Clock(), {}
    dataset = log(asked.items, asked.events or max(2 * asked.items, 300_000))
    seconds["log"] = clock.read()
    config = PretrainConfig(packing=PackConfig(batch_tokens=2048), windows=WindowConfig(context=32))
    division = split(dataset)
    tokenizer = Tokenizer.fit(dataset, division, config.tokenizer)
    seconds["fit"] = clock.read()
    material = Material.of(tokenizer, dataset, division)
    seconds["encode"] = clock.read()
    catalogue = training_catalogue(tokenizer)
    seconds["catalogue"] = clock.read()
    planner = BatchPlanner(material, tokenizer, config)
    plan = planner.epoch(0)
    batches = [planner.batch(plan, number) for number in range(min(asked.steps, len(plan.packs)))]
    events = dataset.events.height
    del dataset, division, material, planner, plan
    forget_peak()
    found: dict[str, object] = {
        "items": len(catalogue.counts),
        "events": events,
        "moments": len(catalogue.moments),
        "ages": type(catalogue.ages).__name__,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "memory_before": memory("VmRSS"),
        "variants": {},
    }
    for name in asked.variants:
        steps = batches if name.endswith("sampled") else batches[: asked.exact_steps]
        figures, model = variant(name, config, tokenizer, catalogue, steps)
        found["variants"][name] = figures
        print(name, figures, file=sys.stderr, flush=True)
        if name == "ids/sampled" and asked.gradient:
            part = batches[0]._replace(
                target=torch.where(torch.arange(len(batches[0].target)) < 512, batches[0].target, 0)
            )
            found["gradient"] = gradient_errors(model, part, catalogue, draws=asked.gradient)
        del model
    found["peak"] = memory("VmHWM")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
