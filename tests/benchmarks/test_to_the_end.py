"""If these fail, a benchmark of hours breaks after its first training: an interface has moved on without it."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "heading"),
    [("intents", "true intent at the session's fourth play"), ("objective", "propensities of places")],
)
def test_a_benchmark_runs_to_its_last_table(script: str, heading: str) -> None:
    command = [sys.executable, BENCHMARKS / script / "bench.py", "--preset", "tiny", "--seeds", "1", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert heading in done.stdout
