"""RecTools' SASRec, trained for a few steps, recommends for all members each time a line is read.

Run by the python of the peer's virtual environment (benchmarks/peer/setup.sh); imports nothing of Palate.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "peer"))

import pytorch_lightning
import torch
from rectools_sasrec import Clock, build_model, read_dataset

from batch.peak import peak_mib, reset_peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=Path, required=True)
    for name in ("width", "context", "blocks", "heads", "k"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args(namespace=argparse.Namespace(loss="softmax", lr=1e-3, dropout=0.2, batch=128))
    options.epochs, options.steps = 1, 2
    torch.set_num_threads(2)
    pytorch_lightning.seed_everything(0, verbose=False)
    dataset = read_dataset(options.events)
    model = build_model(options, Clock(None))
    model.fit(dataset)
    members = dataset.user_id_map.external_ids
    reset_peak()
    for _ in sys.stdin:
        began, busy = time.perf_counter(), time.process_time()
        table = model.recommend(members, dataset, k=options.k, filter_viewed=True)
        seconds = time.perf_counter() - began
        assert table["user_id"].nunique() == len(members)
        said = {"seconds": seconds, "members_per_second": len(members) / seconds, "peak_mib": peak_mib()}
        said["processor_seconds"] = time.process_time() - busy
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
