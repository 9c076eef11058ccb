"""If this fails, each step of training pays for its memory again."""

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from palate.train.memory import keep_freed_memory
assert {kept} == "left" or keep_freed_memory()
torch.set_num_threads(1)
for _ in range(3):
    torch.ones(4 << 20), torch.ones(3 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(4 << 20), torch.ones(3 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_memory_that_is_freed_and_asked_for_again_is_not_touched_for_the_first_time() -> None:
    found = subprocess.run(
        [sys.executable, "-c", COUNT.format(kept='"kept"')], check=True, capture_output=True, text=True
    )
    assert int(found.stdout) < 20_000, "page faults; 140,000 where each of the 20 times 28 MB are new"
