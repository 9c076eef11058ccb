"""What caches of members save: an appended event, a question and a decoded step, against working everything out.

Simulated members with long histories; a model of random weights (time does not depend on them), default parts. Each
time is the median over members that are handled one after the other, as a service does; recomputation is
`LiveMembers.recomputed`, which reads the whole history for each. ``in a batch`` asks 32 members at once. Run as

    python benchmarks/cache/bench.py --json benchmarks/cache/metrics.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from palate.data import Dataset, split
from palate.model import ModelConfig, TransformerConfig
from palate.model.cache import CacheConfig
from palate.rank.decode import decode
from palate.rank.live import LiveMembers
from palate.rank.member_rows import History, Questions
from palate.rank.versions import ItemVersions
from palate.simulate import preset, simulate
from palate.tokens import Tokenizer, TokenStore, WindowConfig, present_catalogue
from palate.train import PretrainConfig, new_model

BATCH = 32
STEPS = 10
ATTENTION = {"dense": {}, "window 256 and summaries": {"window": 256, "block": 64}}


class Members:
    """Histories of one length, cut from a log; each grows by one event at a time."""

    def __init__(self, store: TokenStore, length: int, count: int) -> None:
        self.store, self.count = store, count
        room = (len(store.begin) - length - 100) // count
        assert room > 0, "the log is too short"
        self.begin = np.arange(count) * room
        self.length = np.full(count, length)

    def history(self, member: Hashable) -> History:
        """Of a member, so far."""
        assert isinstance(member, int)
        begin = int(self.begin[member])
        return History.of(self.store, begin, begin + int(self.length[member]))

    def questions(self, members: list[int], tokenizer: Tokenizer) -> Questions:
        """What their next events know at their request."""
        rows = self.begin[members] + self.length[members]
        post, values = tokenizer.post_columns, tokenizer.post_values
        return Questions(self.store.ids[rows, post:], self.store.values[rows, values:], self.store.time[rows])


Clock = Callable[[], float]


def median_ms(clock: Clock, members: list[int], act: Callable[[int], object]) -> float:
    """Milliseconds of the median member; the first ones warm up."""
    seconds = []
    for member in members:
        began = clock()
        act(member)
        seconds.append(clock() - began)
    return float(np.median(seconds[len(seconds) // 5 :])) * 1000


def measure(clock: Clock, tokenizer: Tokenizer, live: LiveMembers, members: Members) -> dict[str, float]:
    """All times of one model and length."""
    some = list(range(members.count))
    V = len(tokenizer.items.values)
    allowed = torch.ones(1, V, dtype=torch.bool)
    live.append(some)
    row = {"rebuild": median_ms(clock, some[:5], lambda member: (live.forget(member), live.append([member])))}

    def appended(member: int) -> None:
        members.length[member] += 1
        live.append([member])

    def asked(member: int) -> None:
        live.states([member], members.questions([member], tokenizer))

    def recomputed(member: int) -> None:
        live.recomputed([member], members.questions([member], tokenizer))

    def scored(member: int) -> None:
        question = members.questions([member], tokenizer)
        live.scores(live.states([member], question), torch.from_numpy(question.time))

    def decoded(steps: int) -> Callable[[int], object]:
        return lambda member: decode(live, [member], members.questions([member], tokenizer), allowed, steps=steps)

    row["append"] = median_ms(clock, some, appended)
    row["question"] = median_ms(clock, some, asked)
    row["question and scores"] = median_ms(clock, some, scored)
    row["recomputed"] = median_ms(clock, some[:5], recomputed)
    row["decoded step"] = (median_ms(clock, some, decoded(STEPS + 1)) - median_ms(clock, some, decoded(1))) / STEPS
    together = members.questions(some[:BATCH], tokenizer)
    row["question in a batch"] = median_ms(clock, [0] * 8, lambda _: live.states(some[:BATCH], together)) / BATCH
    row["bytes"] = live.store.nbytes / len(live.store)
    return row


def main() -> None:
    """Print the tables; ``--json FILE`` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--processor-time", action="store_true", help="of a busy machine, with OMP_NUM_THREADS=1")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    made = simulate(preset("long", members=4, items=1000, days=365))
    dataset = Dataset.from_frames(made.events, made.items, made.users, schema=made.schema)
    tokenizer = Tokenizer.fit(dataset, split(dataset), PretrainConfig().tokenizer)
    store = tokenizer.encode(dataset)
    rows = []
    for width in given.widths:
        for length in given.lengths:
            for attention, settings in ATTENTION.items():
                encoder = TransformerConfig.model_validate({"width": width, "heads": max(width // 64, 2)} | settings)
                windows = WindowConfig(context=length + 400)
                config = PretrainConfig(model=ModelConfig(encoder=encoder), windows=windows)
                model = new_model(config, tokenizer)
                versions = ItemVersions(model, tokenizer, present_catalogue(tokenizer, dataset))
                members = Members(store, length, 40)
                live = LiveMembers(model, versions, members.history, windows=windows)
                row = {"width": width, "length": length, "attention": attention}
                row |= measure(
                    time.process_time if given.processor_time else time.perf_counter, tokenizer, live, members
                )
                for precision in ("bfloat16", "int8"):
                    narrow = LiveMembers(
                        model,
                        versions,
                        members.history,
                        windows=windows,
                        config=CacheConfig(precision=precision),
                    )
                    narrow.append([0])
                    row[f"bytes {precision}"] = narrow.store.nbytes
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    table = Table(
        "width", "history", "attention", "append", "question", "recomputed", "ratio", "decoded step", "in a batch",
        "rebuild", "KiB", "bfloat16", "int8", title="milliseconds a member", box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for row in rows:
        table.add_row(
            str(row["width"]),
            f"{row['length']:,}",
            str(row["attention"]),
            *(f"{row[name]:.2f}" for name in ("append", "question", "recomputed")),
            f"{row['recomputed'] / row['question']:.1f}",
            *(f"{row[name]:.2f}" for name in ("decoded step", "question in a batch", "rebuild")),
            *(f"{row[name] / 1024:,.0f}" for name in ("bytes", "bytes bfloat16", "bytes int8")),
        )
    Console(width=160).print(table)
    if given.json is not None:
        content = {
            "processor_time": given.processor_time,
            "threads": torch.get_num_threads(),
            "items": len(tokenizer.items.values),
            "rows": rows,
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
