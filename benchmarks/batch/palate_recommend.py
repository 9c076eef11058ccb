"""Recommends for all members each time a line is read, and says how long it took: a run, its data, a file, k."""

import json
import shutil
import sys
import time
from pathlib import Path

from palate.data import PreparedLog
from palate.foundation import FoundationModel
from palate.rank.batch import BatchConfig

sys.path.insert(0, str(Path(__file__).parents[1]))

from batch.peak import peak_mib, reset_peak
from palate.data import Dataset


def main() -> None:
    run, data, out, k = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    model = FoundationModel.from_pretrained(run)
    log = PreparedLog.open(data) if PreparedLog.is_there(data) else Dataset.from_folder(data, schema=model.schema)
    reset_peak()
    for _ in sys.stdin:
        if out.is_dir():
            shutil.rmtree(out)
        began, busy = time.perf_counter(), time.process_time()
        done = model.batch(log, BatchConfig(k=k)).write(out)
        seconds = time.perf_counter() - began
        said = {"seconds": seconds, "members_per_second": done.members / seconds, "peak_mib": peak_mib()}
        said["processor_seconds"] = time.process_time() - busy
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
