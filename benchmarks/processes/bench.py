"""One training by one process and by two, as copies (DDP) and as shards (FSDP2): losses, memory of a process, time.

    make bench-processes

The simulated service in small, no dropout, so that losses can be compared. On a machine with two cores two
processes are no faster than one with two threads; each process has one thread here, the single one two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

SETTINGS = {
    "epochs": 2,
    "model": {
        "encoder": {"kind": "transformer", "width": 128, "blocks": 2, "heads": 2, "dropout": 0.0},
        "tower": {"id_dropout": 0.0, "metadata_dropout": 0.0},
        "hidden_rows": 0.0,
    },
}
KINDS: dict[str, tuple[int, list[str]]] = {"one": (1, []), "two, copies": (2, []), "two, shards": (2, ["--sharded"])}


def palate(*arguments: object, number: int = 1) -> str:
    """The stdout of a command, by one process or several."""
    command = [sys.executable]
    if number > 1:
        command += ["-m", "torch.distributed.run", f"--nproc-per-node={number}"]
    command += ["-m", "palate", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2" if number == 1 else "1"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def main() -> None:
    """Train, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    print(f"{'':14}{'loss':>9}{'validation':>12}{'peak MiB':>10}{'s':>8}")
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        work = Path(name)
        palate("data", "simulate", work / "data", "--members", 1000, "--items", 400, "--days", 90, "--json")
        (work / "settings.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
        for title, (number, more) in KINDS.items():
            out = work / title.replace(", ", "-")
            options = ["--out", out, "--config", work / "settings.yaml", "--json", *more]
            said = palate("pretrain", work / "data", *options, number=number)
            training = json.loads(said.strip().splitlines()[-1])["training"]
            row = {
                "loss": [each["loss"] for each in training["validations"]],
                "validation": [each["value"] for each in training["validations"]],
                "peak_bytes": training["peak_bytes"],
                "seconds": training["seconds"],
            }
            rows[title] = row
            shown = f"{row['loss'][-1]:9.5f}{row['validation'][-1]:12.5f}"
            print(f"{title:14}{shown}{row['peak_bytes'] / 2**20:10,.0f}{row['seconds']:8.1f}", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
