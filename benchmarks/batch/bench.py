"""Recommending for all members of ML-1M beside RecTools' SASRec: members a second and peak memory, in one run.

    make bench-batch

Both models have the same width, depth, heads and context, and hardly any training (what they recommend does not matter
here). Then both processes stay, and are asked in turns for the ten best items of all 6,040 members, what they have had
left out: RecTools by ``model.recommend`` into a data frame; Palate by ``model.batch(data).write`` onto the disk, as
``palate recommend RUN DATA --out FILE`` does. Further rows: our default model at the same width, and the same from a
prepared log, part by part. Peak memory is that of the process from the first question on (Linux: VmHWM after a reset).
Both run with OMP_WAIT_POLICY=PASSIVE: on a busy machine spinning threads would make the peer ten times slower.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import ROOT, data_folder
from palate.baselines.sasrec import sasrec_recipe
from palate.data import Dataset, PrepareConfig, Split, prepare
from palate.model import ModelConfig, TransformerConfig
from palate.runs import write_run
from palate.tokens import Tokenizer
from palate.train import PretrainConfig, new_model
from palate.train.optimizer import build_optimizer, optimizer_tensors

WIDTH, CONTEXT, BLOCKS, HEADS, K = 128, 200, 2, 2, 10
HERE = Path(__file__).parent
PEER = ROOT / ".venv-rectools" / "bin" / "python"


def whole(dataset: Dataset) -> Split:
    """Everything is training: the peer sees all events too."""
    from palate.data import SplitRule, split

    return split(dataset, SplitRule(kind="none"))


def run_folder(dataset: Dataset, config: PretrainConfig, out: Path) -> Path:
    """A run with its first weights: what it recommends does not matter, and takes as long."""
    tokenizer = Tokenizer.fit(dataset, whole(dataset), config.tokenizer)
    model = new_model(config, tokenizer)
    optimizer = build_optimizer(model, config.optimizer)
    tensors = optimizer_tensors(model, optimizer)
    write_run(
        out,
        config=config.to_yaml(),
        tokenizer=tokenizer,
        items=dataset.items,
        model=model.state_dict(),
        optimizer=tensors,
        metrics="{}\n",
        card="",
        extra={},
    )
    return out


@contextmanager
def asked(
    python: Path | str, script: str, *arguments: object, environment: dict[str, str]
) -> Iterator[subprocess.Popen]:
    """A process that recommends each time it is given a line, and says what it took."""
    command = [str(word) for word in (python, HERE / script, *arguments)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answer(process: subprocess.Popen) -> dict[str, float]:
    """Ask once."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("again\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            return found
    sys.exit(f"{process.args} has ended")


def main() -> None:
    """Run the rounds, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    data = data_folder("ml-1m")
    dataset = Dataset.from_folder(data)
    recipe = sasrec_recipe(width=WIDTH, blocks=BLOCKS, heads=HEADS, context=CONTEXT)
    encoder = TransformerConfig(width=WIDTH, blocks=BLOCKS, heads=HEADS)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    ours = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path[1:])}
    theirs = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name, ExitStack() as stack:
        work = Path(name)
        runs = {
            "sasrec": run_folder(dataset, recipe, work / "sasrec"),
            "default": run_folder(
                dataset, recipe.model_copy(update={"model": ModelConfig(encoder=encoder)}), work / "default"
            ),
        }
        dataset.events.select("user_id", "item_id", "position").write_parquet(work / "events.parquet")
        prepare(data, work / "log", PrepareConfig(part_rows=200_000), schema=dataset.schema)
        shape = ["--width", WIDTH, "--context", CONTEXT, "--blocks", BLOCKS, "--heads", HEADS, "--k", K]
        options = ["--events", work / "events.parquet", *shape]
        peer = stack.enter_context(asked(PEER, "rectools_recommend.py", *options, environment=theirs))
        python = sys.executable
        processes = {
            "sasrec": stack.enter_context(
                asked(python, "palate_recommend.py", runs["sasrec"], data, work / "a.parquet", K, environment=ours)
            ),
            "sasrec, prepared log": stack.enter_context(
                asked(python, "palate_recommend.py", runs["sasrec"], work / "log", work / "b", K, environment=ours)
            ),
            "default": stack.enter_context(
                asked(python, "palate_recommend.py", runs["default"], data, work / "c.parquet", K, environment=ours)
            ),
        }
        rounds: list[dict[str, dict[str, float]]] = []
        for number in range(arguments.rounds + 1):
            found = {"peer": answer(peer)} | {name: answer(process) for name, process in processes.items()}
            if number:  # the first one is a warm-up
                rounds.append(found)
                print({name: round(each["members_per_second"]) for name, each in found.items()}, flush=True)
    rates = {
        name: statistics.median(each[name]["members_per_second"] for each in rounds) for name in ("peer", *processes)
    }
    memory = {name: max(each[name]["peak_mib"] for each in rounds) for name in rates}
    ratios = {
        name: statistics.median(
            each[name]["members_per_second"] / each["peer"]["members_per_second"] for each in rounds
        )
        for name in processes
    }
    # Busy seconds depend less on what else the machine does.
    busy = {name: statistics.median(each[name]["processor_seconds"] for each in rounds) for name in rates}
    print(f"{'':24}{'members/s':>10}{'× peer':>8}{'busy s':>8}{'× peer':>8}{'peak MiB':>10}")
    for name, rate in rates.items():
        ratio = ratios.get(name, 1.0)
        print(
            f"{name:24}{rate:10,.0f}{ratio:8.2f}{busy[name]:8.1f}{busy['peer'] / busy[name]:8.2f}{memory[name]:10,.0f}"
        )
    if arguments.json is not None:
        figures = {"members_per_second": rates, "ratio": ratios, "processor_seconds": busy, "peak_mib": memory}
        figures |= {"settings": {"width": WIDTH, "context": CONTEXT, "blocks": BLOCKS, "heads": HEADS, "k": K}}
        figures |= {"threads": torch.get_num_threads(), "rounds": rounds}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
