"""Ranking of large catalogues: blocks of items, merged, against one matrix of scores; time, memory, the same answer.

python benchmarks/catalogue/ranking.py 1000000 5000000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from steps import forget_peak, memory

from palate.rank.blocks import BLOCK
from palate.rank.topk import RunningTopK, TopK, top_k

WIDTH, K = 64, 10


def whole(state: torch.Tensor, items: torch.Tensor, allowed: torch.Tensor, ties: torch.Tensor) -> TopK:
    """One matrix of scores."""
    return top_k(state @ items.T, allowed.expand(len(state), -1), ties, K)


def blocked(state: torch.Tensor, items: torch.Tensor, allowed: torch.Tensor, ties: torch.Tensor) -> TopK:
    """A block of items at a time."""
    running = RunningTopK(len(state), K)
    for start in range(0, len(items), BLOCK):
        part = slice(start, start + BLOCK)
        running.add(start, state @ items[part].T, allowed[part].expand(len(state), -1), ties[part])
    return running.result()


def main() -> None:
    """Print a JSON object."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("items", type=int, nargs="+")
    arguments.add_argument("--queries", type=int, default=256)
    arguments.add_argument("--whole", type=int, default=1_000_000, help="largest catalogue that is scored as a whole")
    asked = arguments.parse_args()
    found = {}
    for V in asked.items:
        torch.manual_seed(0)
        state, items = torch.randn(asked.queries, WIDTH), torch.randn(V, WIDTH)
        allowed, ties = torch.rand(V) < 0.9, torch.randperm(V)
        rows: dict[str, object] = {"queries": asked.queries, "threads": torch.get_num_threads()}
        answers = []
        for name, rank in (("blocked", blocked), ("whole", whole)):
            if name == "whole" and asked.whole < V:
                continue
            forget_peak()
            before, started = memory("VmRSS"), time.perf_counter()
            answers.append(rank(state, items, allowed, ties))
            rows[name] = {"seconds": time.perf_counter() - started, "memory": memory("VmHWM") - before}
        if len(answers) == 2:
            rows["same"] = float((answers[0].indices == answers[1].indices).float().mean())
        found[str(V)] = rows
        print(V, rows, file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
