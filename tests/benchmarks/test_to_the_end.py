"""If these fail, a benchmark of hours breaks after its first training: an interface has moved on without it."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "of", "heading"),
    [
        ("intents", ["--preset", "tiny", "--seeds", "1"], "true intent at the session's fourth play"),
        ("objective", ["--preset", "tiny", "--seeds", "1"], "propensities of places"),
        ("time", ["--preset", "tiny", "--seeds", "1"], "popular of 7 days, rolling"),
        ("next", ["--preset", "tiny", "--seeds", "1"], "asked for the next ten"),
        ("cold", ["tiny", "--seeds", "0", "--share", "0.3"], "full model - ids alone, other targets"),
    ],
)
def test_a_benchmark_runs_to_its_last_table(script: str, of: list[str], heading: str) -> None:
    command = [sys.executable, BENCHMARKS / script / "bench.py", *of, "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert heading in done.stdout
